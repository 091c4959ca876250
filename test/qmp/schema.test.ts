/**
 * Every command, argument, enum member and event of QEMU 10.0's block layer is there, with the same names, types and
 * optionality all the way down, except where the list below says why not. The fixture is QEMU's own answer to
 * query-qmp-schema, cut down to what concerns disks, jobs and the monitor.
 */
import { describe, expect, test } from 'vitest';
import { humanMonitor } from '../../host/cli/hmp/monitor.ts';
import { withObjectOptions } from '../../host/cli/shared/object-types.ts';
import { drivers } from '../../host/drivers.ts';
import { introspect, type SchemaInfo } from '../../host/qapi/introspect.ts';
import { checkStrict } from '../../host/qapi/strict.ts';
import { systemCommands } from '../../host/qmp/commands/system.ts';
import { events, machineEvents } from '../../host/qmp/events.ts';
import { schemaInfoList } from '../../host/qmp/schema-types.ts';
import { QmpServer } from '../../host/qmp/server.ts';
import { VirtualPlatform } from '../support/virtual-platform.ts';
import qemuSchema from './fixtures/qemu-10.0-schema.json';

/** What is different, by place, and why. */
const allowed: readonly (readonly [RegExp, string])[] = [
  [
    /^blockdev-(add|reopen\.options\[\]|create\.options<qcow2>\.file\|object)\.driver: not: /,
    'drivers that are not served',
  ],
  [
    /^blockdev-(add|reopen\.options\[\]|create\.options<qcow2>\.file\|object)\.driver: more: (memory|s3|store)$/,
    'drivers that QEMU does not have',
  ],
  [
    /^blockdev-(add|reopen\.options\[\]|create\.options<qcow2>\.file\|object)<https?>: more: x-(prefetch|retry)\?$/,
    'an option of our own',
  ],
  [
    /^blockdev-(add|reopen\.options\[\]|create\.options<qcow2>\.file\|object)<nbd>\.server\.type: more: ws$/,
    'servers behind WebSockets',
  ],
  [
    /^blockdev-(add|reopen\.options\[\]|create\.options<qcow2>\.file\|object)<nbd>: more: x-connections\?$/,
    'an option of our own',
  ],
  [
    /(^drive-backup|^blockdev-backup|<(drive|blockdev)-backup>\.data|<copy-before-write>): more: x-cbw-(buffer|policy|spill|spill-max)\?$/,
    'options of our own',
  ],
  [
    /^blockdev-(add|reopen\.options\[\]|create\.options<qcow2>\.file\|object)<qcow2>\.(encrypt|data-file): /,
    'data files are refused by name when opened; how an image is encrypted, it says itself',
  ],
  [
    /^blockdev-(add|reopen\.options\[\]|create\.options<qcow2>\.file\|object)<luks>.*header/,
    'detached headers',
  ],
  [/^blockdev-create\.options<luks>.*(header|file)/, 'detached headers, beside which there need be no file'],
  [
    /^blockdev-create\.options<(?!file>|qcow2>|luks>|vdi>|vmdk>|vpc>)/,
    'images of formats that are not served',
  ],
  [
    /^object-add<(?!throttle-group>|iothread>|main-loop>|secret>|authz-(simple|list)>|tls-creds-\w+>)/,
    'types of objects that are known but not served',
  ],
  [
    /^(add-fd|remove-fd|query-fdsets|getfd|closefd): no such/,
    'descriptors that come with a message cannot be taken over by Node',
  ],
  [
    /^(chardev-add|chardev-remove|query-chardev): no such/,
    'monitors take their chardevs from the command line, and nothing else has any',
  ],
  [/^block-export-add<(vhost-user-blk|fuse|vduse-blk)>/, 'kinds of exports that are refused by name'],
  [/^(block-export-add|query-block-exports\[\])\.type: more: nbd-ws$/, 'a kind of exports of our own'],
];

interface Entry {
  name: string;
  'meta-type': string;
  'arg-type'?: string;
  'element-type'?: string;
  values?: string[];
  members?: { name: string; type: string; default?: null }[];
  tag?: string;
  variants?: { case: string; type: string }[];
}

class Schema {
  private readonly entries: Map<string, Entry>;

  constructor(entries: readonly SchemaInfo[]) {
    this.entries = new Map((entries as unknown as Entry[]).map((entry) => [entry.name, entry]));
  }

  has(name: string): boolean {
    return this.entries.has(name);
  }

  get(name: string): Entry {
    const entry = this.entries.get(name);
    if (!entry) throw new Error(`the schema has no entry ${name}`);
    return entry;
  }
}

/** Where ours differs from QEMU's, one line for each place. */
function differences(
  ours: Schema,
  theirs: Schema,
  path: string,
  a: string,
  b: string,
  seen = new Set<string>(),
): string[] {
  const key = `${a} ${b}`;
  if (seen.has(key)) return [];
  seen.add(key);
  const [own, real] = [ours.get(a), theirs.get(b)];
  const compare = (place: string, x: string, y: string) => differences(ours, theirs, place, x, y, seen);
  if (own['meta-type'] !== real['meta-type'])
    return [`${path}: ${own['meta-type']} for ${real['meta-type']}`];
  switch (own['meta-type']) {
    case 'builtin':
      return a === b ? [] : [`${path}: ${a} for ${b}`];
    case 'enum':
      return listDifferences(path, own.values!, real.values!);
    case 'array':
      return compare(`${path}[]`, own['element-type']!, real['element-type']!);
    case 'alternate':
      return alternateDifferences(path, ours, theirs, own, real, compare);
    default:
      return [
        ...listDifferences(path, own.members!.map(label), real.members!.map(label)),
        ...own.members!.flatMap(({ name, type }) => {
          const other = real.members!.find((member) => member.name === name);
          return other ? compare(`${path}.${name}`, type, other.type) : [];
        }),
        ...(own.variants ?? []).flatMap((variant) => {
          const other = real.variants?.find((candidate) => candidate.case === variant.case);
          return other ? compare(`${path}<${variant.case}>`, variant.type, other.type) : [];
        }),
      ];
  }
}

const label = ({ name, default: optional }: { name: string; default?: null }): string =>
  `${name}${optional === null ? '?' : ''}`;

function listDifferences(path: string, own: readonly string[], real: readonly string[]): string[] {
  return [
    ...own.filter((name) => !real.includes(name)).map((name) => `${path}: more: ${name}`),
    ...real.filter((name) => !own.includes(name)).map((name) => `${path}: not: ${name}`),
  ];
}

function alternateDifferences(
  path: string,
  ours: Schema,
  theirs: Schema,
  own: Entry,
  real: Entry,
  compare: (path: string, a: string, b: string) => string[],
): string[] {
  const kind = (schema: Schema, type: string): string => {
    const entry = schema.get(type);
    return entry['meta-type'] === 'builtin' ? entry.name : entry['meta-type'];
  };
  return [
    ...listDifferences(
      path,
      own.members!.map(({ type }) => kind(ours, type)),
      real.members!.map(({ type }) => kind(theirs, type)),
    ),
    ...own.members!.flatMap(({ type }) => {
      const other = real.members!.find((member) => kind(theirs, member.type) === kind(ours, type));
      return other ? compare(`${path}|${kind(ours, type)}`, type, other.type) : [];
    }),
  ];
}

const commands = withObjectOptions([...systemCommands, humanMonitor]);
const server = new QmpServer({ platform: new VirtualPlatform(), drivers, commands });
const entries = introspect(server.commands.list(), [...events, ...machineEvents]);

describe('query-qmp-schema', () => {
  test('describes arguments and events as QEMU does', () => {
    const [ours, theirs] = [new Schema(entries), new Schema(qemuSchema)];
    const named = (qemuSchema as unknown as Entry[]).filter((entry) =>
      ['command', 'event'].includes(entry['meta-type']),
    );
    const found = named.flatMap((entry) => {
      const { name } = entry;
      if (!ours.has(name)) return [`${name}: no such ${entry['meta-type']}`];
      return differences(ours, theirs, name, ours.get(name)['arg-type']!, entry['arg-type']!);
    });
    expect(found.filter((line) => !allowed.some(([place]) => place.test(line)))).toEqual([]);
    // What is no longer different has no business in the list.
    expect(allowed.filter(([place]) => !found.some((line) => place.test(line)))).toEqual([]);
  });

  test('describes its own answer', () => {
    expect(() => checkStrict(schemaInfoList, JSON.parse(JSON.stringify(entries)))).not.toThrow();
  });

  test('names every type that it refers to, once', () => {
    const names = entries.map(({ name }) => name);
    expect(new Set(names).size).toBe(names.length);
    const types = new Set(names);
    const referred = JSON.stringify(entries).matchAll(/"(?:type|arg-type|ret-type|element-type)":"([^"]*)"/g);
    expect([...referred].map(([, name]) => name).filter((name) => !types.has(name))).toEqual([]);
  });
});
