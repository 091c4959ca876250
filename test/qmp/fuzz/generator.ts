/**
 * Commands that are valid or nearly so: values are made from the declared types, names come from a small pool, so that
 * they often mean something, and now and then something is broken.
 */
import type { Member, StructType, Type, UnionType } from '../../../host/qapi/types.ts';
import type { Command } from '../../../host/qmp/command.ts';
import type { Seeded } from '../../support/seeded.ts';

/** What there is to name at the moment. */
export interface Names {
  nodes(): readonly string[];
  jobs(): readonly string[];
  bitmaps(): readonly string[];
  /** Of `-drive`. */
  drives(): readonly string[];
  devices(): readonly string[];
}

const fresh = {
  nodes: ['n0', 'n1', 'n2', 'n3', 'n4', 'n5', 'f0', 'f1'],
  jobs: ['j0', 'j1', 'j2', 'n0'],
  bitmaps: ['b0', 'b1', 'b2'],
  drives: ['d0', 'd1', 'd9'],
  devices: ['v0', 'v1', 'h0', 'c0'],
};
const files = ['a.qcow2', 'b.qcow2', 'c.raw', 'new1.qcow2', 'new2.qcow2', 'missing'];

/** Commands that are asked for more or less often than once in so many. */
const weights: readonly [RegExp, number][] = [
  [/^blockdev-add$/, 8],
  [/^transaction$/, 8],
  [/^(blockdev-(backup|mirror|snapshot|reopen|snapshot-sync)|drive-|block-(commit|stream))/, 5],
  [/^(block-)?job-/, 2],
  [/^block-dirty-bitmap-/, 2],
  [/^device_(add|del)$/, 8],
  [/^(eject|blockdev-.*-(tray|medium)|block_set_io_throttle|cont)$/, 3],
  [/^query-(version|commands|qmp-schema|command-line-options)$/, 0],
];

const integers = [0, 1, 2, 512, 4096, 65_536, 1 << 20, 4 << 20, 2 ** 31, 2 ** 40, -1, -512, 1000];
const maxDepth = 4;

export class CommandGenerator {
  private readonly commands: readonly Command[];
  private command = '';

  constructor(
    private readonly random: Seeded,
    commands: readonly Command[],
    private readonly names: Names,
    /** Arguments that the declared type does not tell; undefined: it does. */
    private readonly special: (command: string) => object | undefined = () => undefined,
  ) {
    this.commands = commands.flatMap((command) => {
      const weight = weights.find(([pattern]) => pattern.test(command.name))?.[1] ?? 1;
      return Array.from({ length: weight }, () => command);
    });
  }

  /** A request as text; now and then with something wrong in its JSON. */
  next(): string {
    const { random } = this;
    const command = random.pick(this.commands);
    this.command = command.name;
    const args = this.special(command.name) ?? this.value(command.args, 'arguments', 0);
    const request = { execute: random.oneIn(200) ? 'nosuch' : command.name, arguments: args };
    const text = JSON.stringify(request);
    if (!random.oneIn(150)) return text;
    const at = random.below(text.length);
    return `${text.slice(0, at)}${random.pick(['"', '{', ']', ',', '\u0001', '\\'])}${text.slice(at + 1)}\u0001\n`;
  }

  private value(type: Type, name: string, depth: number): unknown {
    const { random } = this;
    if (random.oneIn(120)) return random.pick([null, 1, 'x', {}, [], true, 1.5]);
    switch (type.kind) {
      case 'string':
        return this.name(name);
      case 'bool':
        return random.oneIn(2);
      case 'null':
        return null;
      case 'number':
      case 'int':
        return random.pick(integers);
      case 'enum':
        return random.oneIn(60) ? 'zz' : random.pick(type.values);
      case 'array':
        return Array.from({ length: random.below(4) }, () => this.value(type.element, name, depth + 1));
      case 'alternate':
        // Deep down, what is shortest.
        return this.value(
          depth < maxDepth ? random.pick(type.branches()) : shortest(type.branches()),
          name,
          depth + 1,
        );
      case 'struct':
        return this.members(type, depth);
      case 'union':
        return this.union(type, depth);
      case 'any':
        return random.pick<unknown>([0, 'x', true, { 'iops-total': 100 }, {}]);
    }
  }

  private union(type: UnionType, depth: number): unknown {
    const base = this.members(type.base as StructType, depth);
    const branches = type.branches();
    const chosen = this.random.pick(Object.keys(branches));
    if (!this.random.oneIn(60)) base[type.discriminator] = chosen;
    const branch = branches[chosen];
    return branch ? { ...base, ...this.members(branch as StructType, depth) } : base;
  }

  private members(type: StructType, depth: number): Record<string, unknown> {
    const { random } = this;
    const result: Record<string, unknown> = {};
    for (const member of type.members as readonly Member[]) {
      const isWanted = member.optional ? random.oneIn(3) : !random.oneIn(80);
      if (isWanted) result[member.name] = this.value(member.type, member.name, depth + 1);
    }
    if (random.oneIn(100)) result['unknown'] = 1;
    return result;
  }

  private name(member: string): string {
    const { random } = this;
    if (random.oneIn(120)) return random.pick(['', '1x', 'x'.repeat(2000), '#x', 'json:{', 'a:b', '\u0000']);
    if (/filename|-file$/.test(member) || (member === 'target' && this.command === 'transaction')) {
      return random.pick(files);
    }
    if (/^target$/.test(member) && this.command.startsWith('drive-')) return random.pick(files);
    if (/format|fmt/.test(member)) return random.pick(['qcow2', 'raw', 'qcow2', 'zz']);
    if (/^path$/.test(member)) return this.path();
    if (/^property$/.test(member)) return random.pick(['limits', 'type', 'drive', 'bootindex', 'realized']);
    return random.pick(this.pool(member));
  }

  /** Mostly what is there. */
  private pool(member: string): readonly string[] {
    const { names, random } = this;
    const isNew = member === 'job-id' || (member === 'node-name' && this.command === 'blockdev-add');
    const kind = this.kindOf(member);
    const known = names[kind]();
    return isNew || known.length === 0 || random.oneIn(8) ? fresh[kind] : known;
  }

  private path(): string {
    const { random } = this;
    const devices = this.names.devices().map((id) => `/machine/peripheral/${id}`);
    return random.pick(['/objects/tg', 'tg', '/objects', '/', '/machine', ...devices]);
  }

  private kindOf(member: string): keyof Names {
    if (/^(device_|qom)/.test(this.command)) return 'devices';
    if (member === 'id' && this.names.devices().length > 0) return 'devices';
    if (member === 'device' && this.names.drives().length > 0 && this.random.oneIn(2)) return 'drives';
    if (/job/.test(member) || /^(block-)?job-/.test(this.command)) return 'jobs';
    if (/^(name|bitmap|bitmaps|target)$/.test(member) && /bitmap/.test(this.command)) return 'bitmaps';
    if (/^(name|bitmap|bitmaps)$/.test(member)) return 'bitmaps';
    return 'nodes';
  }
}

function shortest(types: readonly Type[]): Type {
  return types.find((type) => type.kind === 'string' || type.kind === 'null') ?? types[0]!;
}
