/** The `-o` of `create`, `convert`, `amend` and `measure`: from text to typed values, and the list that `-o help` prints. */
import { invalid } from '../../base/errors.ts';
import { creationOptions } from '../../block/create.ts';
import type { CreateOption, CreateValues, DriverDefinition } from '../../block/driver.ts';
import type { BlockGraph } from '../../block/graph.ts';
import { type OptionPair, OptionValues, parseQemuOpts } from '../../qapi/qemu-opts.ts';
import type { Tool } from '../shared/tool.ts';

/** Several `-o` count as one list. */
export function addOptionList(tool: Tool, list: string | undefined, more: string): string {
  const trailingCommas = /,*$/.exec(more)![0].length; // matches everything
  if (more === '' || more.startsWith(',') || trailingCommas % 2 === 1)
    tool.fail(`Invalid option list: ${more}`);
  return list === undefined ? more : `${list},${more}`;
}

export function isHelpWanted(list: string): boolean {
  return parseQemuOpts(list).pairs.some(
    ({ name, value }) => (name === 'help' || name === '?') && value === 'on',
  );
}

interface CreationOptionList {
  filename: string;
  format: string;
  list: string;
}

/** Errors: BlockError in the words of QemuOpts. */
export async function convertCreationOptions(
  graph: BlockGraph,
  { filename, format, list }: CreationOptionList,
): Promise<CreateValues> {
  return readCreateValues(await knownOptions(graph, filename, format), list);
}

/** The same, and the numbers as 64 bits with a sign, which is how QEMU shows them. */
export async function convertExactly(
  graph: BlockGraph,
  { filename, format, list }: CreationOptionList,
): Promise<{ values: CreateValues; exact: Record<string, bigint> }> {
  const known = await knownOptions(graph, filename, format);
  const { pairs } = parseQemuOpts(list);
  const given = new OptionValues(pairs, known);
  const exact = known.flatMap(({ name }) => {
    const value = given.exactNumber(name);
    return value === undefined ? [] : [[name, BigInt.asIntN(64, value)] as const];
  });
  return { values: optionValues(pairs, known), exact: Object.fromEntries(exact) };
}

async function knownOptions(graph: BlockGraph, filename: string, format: string): Promise<CreateOption[]> {
  const driver = graph.drivers.find(format);
  if (!driver) throw invalid(`Unknown file format '${format}'`);
  const protocol = await makerOf(graph, driver, filename);
  if (!driver.create) throw invalid(`Format driver '${format}' does not support image creation`);
  if (!protocol.create) throw invalid(`Protocol driver '${protocol.name}' does not support image creation`);
  return creationOptions(driver, protocol);
}

/** What makes the file: a protocol that is named as the format does so itself. */
async function makerOf(
  graph: BlockGraph,
  format: DriverDefinition,
  filename: string,
): Promise<DriverDefinition> {
  return format.kind === 'protocol' ? format : graph.drivers.protocolFor(graph.platform.files, filename);
}

/** The list's values as `known` types them. Errors: BlockError in the words of QemuOpts. */
export function readCreateValues(known: readonly CreateOption[], list: string): CreateValues {
  return optionValues(parseQemuOpts(list).pairs, known);
}

/** The same of a list that has been read. */
export function optionValues(pairs: readonly OptionPair[], known: readonly CreateOption[]): CreateValues {
  const given = new OptionValues(pairs, known);
  const values: Record<string, string | number | boolean | undefined> = {};
  for (const { name, type } of known) {
    if (type === 'string') values[name] = given.string(name);
    else if (type === 'bool') values[name] = given.bool(name);
    else values[name] = given.number(name);
  }
  return values;
}

/** What `-o help` prints: with a file name also what its protocol has. */
export async function printCreationOptions(
  tool: Tool,
  graph: BlockGraph,
  format: string,
  filename: string | undefined,
): Promise<number> {
  const driver = graph.drivers.find(format) ?? tool.fail(`Unknown file format '${format}'`);
  if (!driver.create) tool.fail(`Format driver '${format}' does not support image creation`);
  let options = driver.create.options;
  if (filename !== undefined) {
    const protocol = await tool.attempt(() => makerOf(graph, driver, filename));
    if (!protocol.create) tool.fail(`Protocol driver '${protocol.name}' does not support image creation`);
    options = creationOptions(driver, protocol);
  }
  const size: CreateOption = { name: 'size', type: 'size', help: 'Virtual disk size' };
  const listed = options.some(({ name }) => name === 'size') ? options : [...options, size];
  tool.out(`Supported ${filename === undefined ? `${format} ` : ''}options:\n${describeOptions(listed)}`);
  if (filename === undefined) {
    tool.out('\nThe protocol level may support further options.\n');
    tool.out('Specify the target filename to include those options.\n');
  }
  return 0;
}

const typeNames = { string: 'str', bool: 'bool (on/off)', size: 'size', number: 'num' } as const;

/** A line for each, by name. */
export function describeOptions(options: readonly CreateOption[]): string {
  return [...options]
    .sort((a, b) => (a.name < b.name ? -1 : 1))
    .map(describe)
    .join('');
}

function describe({ name, type, help }: CreateOption): string {
  return `  ${`${name}=<${typeNames[type]}>`.padEnd(22)} - ${help}\n`;
}
