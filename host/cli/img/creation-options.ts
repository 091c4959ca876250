/** The `-o` of `create` and `convert`: from text to typed values, and the list that `-o help` prints. */
import { invalid } from '../../base/errors.ts';
import { creationOptions } from '../../block/create.ts';
import type { CreateOption, CreateValues } from '../../block/driver.ts';
import type { BlockGraph } from '../../block/graph.ts';
import { parseInteger, parseSize } from '../shared/numbers.ts';
import { type OptionPair, splitOptionString } from '../shared/option-string.ts';
import type { Tool } from '../shared/tool.ts';

/** Several `-o` count as one list. */
export function addOptionList(tool: Tool, list: string | undefined, more: string): string {
  const trailingCommas = /,*$/.exec(more)![0].length;
  if (more === '' || more.startsWith(',') || trailingCommas % 2 === 1)
    tool.fail(`Invalid option list: ${more}`);
  return list === undefined ? more : `${list},${more}`;
}

export function isHelpWanted(list: string): boolean {
  return splitOptionString(list).some(
    ({ name, value }) => value === undefined && (name === 'help' || name === '?'),
  );
}

export interface CreationOptionList {
  filename: string;
  format: string;
  list: string;
}

/** Errors: BlockError in the words of QemuOpts. */
export function convertCreationOptions(
  graph: BlockGraph,
  { filename, format, list }: CreationOptionList,
): CreateValues {
  const driver = graph.drivers.find(format);
  if (!driver) throw invalid(`Unknown file format '${format}'`);
  const protocol = graph.drivers.protocolOf(filename);
  if (!driver.create) throw invalid(`Format driver '${format}' does not support image creation`);
  if (!protocol.create) throw invalid(`Protocol driver '${protocol.name}' does not support image creation`);
  const known = creationOptions(driver, protocol);
  const values: Record<string, string | number | boolean> = {};
  for (const pair of list === '' ? [] : splitOptionString(list)) {
    const { option, text } = findOption(known, pair);
    values[option.name] = convert(option, text);
  }
  return values;
}

/** A bare name switches an option on, a bare name with `no` in front switches it off. */
function findOption(
  known: readonly CreateOption[],
  { name, value }: OptionPair,
): { option: CreateOption; text: string } {
  const option = known.find((candidate) => candidate.name === name);
  if (option) return { option, text: value ?? 'on' };
  if (value === undefined && name.startsWith('no')) {
    const negated = known.find((candidate) => candidate.name === name.slice(2));
    if (negated) return { option: negated, text: 'off' };
  }
  throw invalid(`Invalid parameter '${name}'`);
}

function convert({ name, type }: CreateOption, text: string): string | number | boolean {
  switch (type) {
    case 'string':
      return text;
    case 'bool':
      if (['on', 'yes', 'true', 'y'].includes(text)) return true;
      if (['off', 'no', 'false', 'n'].includes(text)) return false;
      throw invalid(`Parameter '${name}' expects 'on' or 'off'`);
    case 'number': {
      const value = parseInteger(text, Number.MAX_SAFE_INTEGER);
      if (value === undefined) throw invalid(`Parameter '${name}' expects a number`);
      return value;
    }
    case 'size': {
      const parsed = parseSize(text);
      if (parsed.ok) return parsed.value;
      throw invalid(
        `Parameter '${name}' expects a non-negative number below 2^64`,
        'Optional suffix k, M, G, T, P or E means kilo-, mega-, giga-, tera-, peta-\nand exabytes, respectively.',
      );
    }
  }
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
    const protocol = await tool.attempt(async () => graph.drivers.protocolOf(filename));
    if (!protocol.create) tool.fail(`Protocol driver '${protocol.name}' does not support image creation`);
    options = creationOptions(driver, protocol);
  }
  const size: CreateOption = { name: 'size', type: 'size', help: 'Virtual disk size' };
  const listed = options.some(({ name }) => name === 'size') ? options : [...options, size];
  const lines = [...listed].sort((a, b) => (a.name < b.name ? -1 : 1)).map(describe);
  tool.out(`Supported ${filename === undefined ? `${format} ` : ''}options:\n${lines.join('')}`);
  if (filename === undefined) {
    tool.out('\nThe protocol level may support further options.\n');
    tool.out('Specify the target filename to include those options.\n');
  }
  return 0;
}

const typeNames = { string: 'str', bool: 'bool (on/off)', size: 'size', number: 'num' } as const;

function describe({ name, type, help }: CreateOption): string {
  return `  ${`${name}=<${typeNames[type]}>`.padEnd(22)} - ${help}\n`;
}
