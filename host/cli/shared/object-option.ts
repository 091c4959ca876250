/**
 * `--object [qom-type=]TYPE,id=ID,…`, `-object` of a machine: object-add on the command line. The argument may be JSON.
 * Asked for help, it says which types there are, or what a type's properties are.
 */
import { invalid } from '../../base/errors.ts';
import type { BlockGraph } from '../../block/graph.ts';
import { hostObjectTypes } from '../../objects/host-types.ts';
import { refusalOf } from '../../objects/refused-types.ts';
import type { ObjectOptions } from '../../objects/types.ts';
import { UserObjects } from '../../objects/user-objects.ts';
import { checkIdentifier } from '../../qapi/identifier.ts';
import { parseKeyval } from '../../qapi/keyval.ts';
import { parseOption } from '../../qapi/keyval-values.ts';
import type { Type } from '../../qapi/types.ts';
import { knownObjectOptions } from './object-types.ts';

/** What an object is to be, whatever it belongs to. Errors: BlockError. */
export function readObject(text: string): ObjectOptions {
  return parseOption(knownObjectOptions, text, 'qom-type');
}

/** What a program without a monitor has: in such a one nothing runs in an iothread. */
export const imageToolTypes = hostObjectTypes.filter(({ name }) => name !== 'iothread');

/** As `readObject`, of a type that there is without a monitor. Errors: BlockError. */
export function readImageToolObject(text: string): ObjectOptions {
  const options = readObject(text);
  const type = options['qom-type'];
  const isServed = (types: typeof hostObjectTypes): boolean => types.some(({ name }) => name === type);
  if (isServed(hostObjectTypes) && !isServed(imageToolTypes)) {
    checkIdentifier(options.id);
    throw invalid(refusalOf(type));
  }
  return options;
}

/** Objects for nodes of `graph`. Errors: BlockError. */
export async function makeObjects(graph: BlockGraph, wanted: readonly ObjectOptions[]): Promise<void> {
  const objects = new UserObjects({ graph }, hostObjectTypes);
  for (const options of wanted) await objects.add(options);
}

/** What to print instead when the argument asks for help, where there are these types. */
export function objectHelp(text: string, types = hostObjectTypes): string | undefined {
  if (text.startsWith('{')) return undefined;
  const { values, help } = parseKeyval(text, 'qom-type');
  return help ? objectTypeHelp(values['qom-type'], types) : undefined;
}

/** The properties of the type `wanted`; the types that there are when it is none of them. */
export function objectTypeHelp(wanted: unknown, types = hostObjectTypes): string {
  const type = types.find(({ name }) => name === wanted);
  if (!type) {
    return ['List of user creatable objects:', ...types.map(({ name }) => `  ${name}`).sort(), ''].join('\n');
  }
  const properties = type.options.members.map((member) => `  ${member.name}=<${typeName(member.type)}>`);
  return [`${type.name} options:`, ...properties.sort(), ''].join('\n');
}

function typeName(type: Type): string {
  return 'name' in type ? type.name : type.kind;
}
