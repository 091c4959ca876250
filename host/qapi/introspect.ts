/**
 * `query-qmp-schema`: declared commands and events as a list of SchemaInfo (specification: qmp-protocol, section 7).
 *
 * As in QEMU, types go by numbers, so that nobody relies on their names; all integers are `int`; commands and events
 * come first, then the types in the order in which they are first needed. Two declarations of one type are one entry:
 * unions and alternates, which may be recursive, are told apart by their name, everything else by its shape.
 */
import { assert } from '../base/assert.ts';
import { empty, type Member, type StructType, type Type, type UnionType } from './types.ts';

interface CommandShape {
  readonly name: string;
  readonly args: StructType | UnionType;
  readonly returns: Type;
}

interface EventShape {
  readonly name: string;
  readonly data: StructType;
}

export type SchemaInfo = Readonly<Record<string, unknown>>;

export function introspect(commands: readonly CommandShape[], events: readonly EventShape[]): SchemaInfo[] {
  const types = new TypeTable();
  types.reference(empty);
  const entries: SchemaInfo[] = [
    ...commands.map(({ name, args, returns }) => ({
      name,
      'meta-type': 'command',
      'arg-type': types.reference(args),
      'ret-type': types.reference(returns),
    })),
    ...events.map(({ name, data }) => ({ name, 'meta-type': 'event', 'arg-type': types.reference(data) })),
  ];
  return [...entries, ...types.describeAll()];
}

const builtins = {
  string: ['str', 'string'],
  bool: ['bool', 'boolean'],
  null: ['null', 'null'],
  number: ['number', 'number'],
  int: ['int', 'int'],
  any: ['any', 'value'],
} as const;

/** Equal for declarations that are one type. */
function keyOf(type: Type): string {
  switch (type.kind) {
    case 'enum':
      return `enum ${type.name}(${type.values.join()})`;
    case 'array':
      return `[${keyOf(type.element)}]`;
    case 'struct':
      if (type.members.length === 0) return 'empty';
      return `struct ${type.name}{${type.members.map(memberKey).join()}}`;
    case 'union':
    case 'alternate':
      return `${type.kind} ${type.name}`;
    default:
      return type.kind;
  }
}

function memberKey({ name, type, optional }: Member): string {
  return `${name}${optional ? '?' : ''}:${keyOf(type)}`;
}

class TypeTable {
  private readonly names = new Map<string, string>();
  private readonly pending: { name: string; type: Type }[] = [];
  private numbers = 0;

  /** The name of a type in the schema. The type itself is described later. */
  reference(type: Type): string {
    const key = keyOf(type);
    const known = this.names.get(key);
    if (known !== undefined) return known;
    const name = this.nameFor(type);
    this.names.set(key, name);
    this.pending.push({ name, type });
    return name;
  }

  describeAll(): SchemaInfo[] {
    const described: SchemaInfo[] = [];
    // Describing a type may add others at the end.
    for (let at = 0; at < this.pending.length; at++) {
      const { name, type } = this.pending[at]!; // at < length
      described.push({ name, ...this.describe(type) });
    }
    return described;
  }

  private nameFor(type: Type): string {
    if (type.kind === 'array') return `[${this.reference(type.element)}]`;
    if (type.kind in builtins) return builtins[type.kind as keyof typeof builtins][0];
    return String(this.numbers++);
  }

  private describe(type: Type): SchemaInfo {
    switch (type.kind) {
      case 'enum':
        return {
          'meta-type': 'enum',
          members: type.values.map((name) => ({ name })),
          values: type.values,
        };
      case 'array':
        return { 'meta-type': 'array', 'element-type': this.reference(type.element) };
      case 'struct':
        return { 'meta-type': 'object', members: this.members(type) };
      case 'union':
        return {
          'meta-type': 'object',
          members: this.members(type.base),
          tag: type.discriminator,
          variants: this.variants(type),
        };
      case 'alternate':
        return {
          'meta-type': 'alternate',
          members: type.branches().map((branch) => ({ type: this.reference(branch) })),
        };
      default:
        return { 'meta-type': 'builtin', 'json-type': builtins[type.kind][1] };
    }
  }

  private members({ members }: StructType): object[] {
    return members.map(({ name, type, optional }) => ({
      name,
      type: this.reference(type),
      ...(optional ? { default: null } : {}),
    }));
  }

  /** One for each value of the discriminator. */
  private variants({ base, discriminator, branches }: UnionType): object[] {
    const tag = base.members.find(({ name }) => name === discriminator)?.type;
    assert(tag?.kind === 'enum', `discriminator '${discriminator}' is not an enum`);
    const byValue = branches();
    return tag.values.map((value) => ({ case: value, type: this.reference(byValue[value] ?? empty) }));
  }
}
