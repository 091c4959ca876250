/**
 * Throttle groups as objects, against the real storage daemon and the real emulator: what is refused in which words,
 * and what properties and queries say.
 */
import { describe, expect, test } from 'vitest';
import { BlockBackend } from '../../host/block/backend.ts';
import { Perm } from '../../host/block/permissions.ts';
import {
  type Message,
  type QmpSession,
  runScript,
  startOurs,
  startQemu,
  startStorageDaemon,
} from '../support/qmp-sessions.ts';
import { haveQemu, haveQemuSystem } from '../support/tools.ts';

type Limits = Record<string, unknown>;

const command = (execute: string, args: object): Message => ({ execute, arguments: args });
const add = (id: string, limits?: Limits, more: object = {}): Message =>
  command('object-add', { 'qom-type': 'throttle-group', id, ...(limits ? { limits } : {}), ...more });
const del = (id: string): Message => command('object-del', { id });
const get = (path: string, property: string): Message => command('qom-get', { path, property });
const set = (path: string, property: string, value: unknown): Message =>
  command('qom-set', { path, property, value });
const list = (path: string): Message => command('qom-list', { path });
const setLimits = (...values: Limits[]): Message[] => values.map((value) => set('tg', 'limits', value));

const huge = 10 ** 16;

const scripts: Record<string, readonly Message[]> = {
  'limits that make no sense': [
    ...[
      { 'bps-total': 1, 'bps-write': 1 },
      { 'iops-total': 1, 'iops-read': 1 },
      { 'bps-total-max': 1, 'bps-read-max': 1 },
      { 'iops-total-max': 1, 'iops-read-max': 1, 'iops-size': 5 },
      { 'iops-size': 5 },
      { 'iops-size': 5, 'bps-total': 5 },
      { 'bps-total': huge },
      { 'bps-total': -1 },
      { 'bps-total': 10 ** 15 },
      { 'iops-read': 5, 'iops-read-max': huge },
      { 'iops-read': 5, 'iops-read-max-length': 0 },
      { 'iops-read': 5, 'iops-read-max-length': 2 },
      { 'iops-read': 5, 'iops-read-max-length': -1 },
      { 'iops-read': 5, 'iops-read-max-length': 2 ** 32 },
      { 'iops-read': 5, 'iops-read-max': 10 ** 14, 'iops-read-max-length': 11 },
      { 'iops-read': 5, 'iops-read-max': 10 ** 14, 'iops-read-max-length': 10 },
      { 'iops-read-max': 5 },
      { 'iops-read': 5, 'iops-read-max': 4 },
      { 'iops-read': 5, zz: 1 },
      { 'iops-read': '5' },
      { 'iops-read': 5.5 },
      { 'iops-total': 5, 'iops-size': -1 },
      // Two mistakes at once.
      { 'bps-read': huge, 'iops-size': 1 },
      { 'bps-read-max': 5, 'bps-total': -1 },
      { 'iops-total-max-length': 0, 'bps-write-max-length': 7 },
    ].map((limits, i) => add(`g${i}`, limits)),
  ],
  'properties that are set on creation': [
    add('a', undefined, { 'x-iops-total': -1 }),
    add('a', undefined, { 'x-iops-total': 'x' }),
    add('a', undefined, { 'x-iops-total-max-length': 2 ** 33 }),
    add('a', undefined, { 'x-iops-total-max-length': 0 }),
    add('a', undefined, { 'x-iops-total': 7, 'x-iops-read': 7 }),
    add('a', undefined, { 'x-zz': 7 }),
    add('a', { 'iops-total': 5 }, { 'x-iops-total': 7, 'x-bps-read': 4 }),
    get('a', 'limits'),
    get('a', 'x-iops-total'),
    get('a', 'x-bps-read'),
    set('a', 'x-iops-total', 5),
    set('a', 'x-iops-total', 'x'),
  ],
  'limits that change': [
    add('tg', { 'iops-total': 100, 'iops-total-max': 200, 'iops-total-max-length': 9 }),
    get('tg', 'limits'),
    ...setLimits({ 'bps-read': 3 }, { 'iops-total-max-length': 4 }),
    get('tg', 'limits'),
    ...setLimits(
      { 'iops-read': 3 },
      { 'iops-total': 300 },
      { 'iops-total': 0 },
      { zz: 1 },
      { 'bps-read': '5' },
    ),
    set('tg', 'limits', 5),
    set('tg', 'limits', null),
    get('/objects/tg', 'limits'),
  ],
  'objects and paths': [
    add('tg'),
    add('tg'),
    add('1x'),
    add(''),
    add('a b'),
    command('object-add', { id: 'a' }),
    command('object-add', { 'qom-type': 'throttle-group' }),
    command('object-add', { 'qom-type': 'zz', id: 'a' }),
    command('object-add', { 'qom-type': 'can-bus', id: 'a' }),
    command('object-add', { 'qom-type': 'can-bus', id: '1' }),
    command('object-add', { 'qom-type': 'secret', id: 's', zz: 1 }),
    list('/objects'),
    list(''),
    list('zz'),
    list('/tg'),
    list('/objects/zz'),
    ...['tg', '/objects/tg', 'objects/tg', '//objects//tg/', '/objects', '/', 'objects'].map((path) =>
      get(path, 'type'),
    ),
    get('/objects', 'tg'),
    get('/objects', 'zz'),
    get('tg', 'zz'),
    set('tg', 'zz', 1),
    set('tg', 'type', 'x'),
    set('/objects', 'tg', 'x'),
    set('/', 'type', 'x'),
    del('zz'),
    del(''),
    del('/objects/tg'),
    del('tg'),
    del('tg'),
  ],
  'filters that use a group': [
    add('t1'),
    add('t2', { 'bps-total': 1000 }),
    command('blockdev-add', {
      driver: 'throttle',
      'node-name': 'th',
      'throttle-group': 't2',
      file: { driver: 'null-co', 'node-name': 'n' },
    }),
    del('t2'),
    ...['n', 'nn', { driver: 'null-co' }].map((file) =>
      command('blockdev-add', { driver: 'throttle', 'node-name': 'th2', 'throttle-group': 'zzz', file }),
    ),
    command('blockdev-add', { driver: 'throttle', 'node-name': 'th2', 'throttle-group': 't1' }),
    command('blockdev-add', { driver: 'throttle', 'node-name': 'th2', file: 'n' }),
    ...['zzz', 't1'].map((group) =>
      command('blockdev-reopen', {
        options: [{ driver: 'throttle', 'node-name': 'th', 'throttle-group': group, file: 'n' }],
      }),
    ),
    command('query-named-block-nodes', { flat: true }),
    del('t1'),
    del('t2'),
    command('blockdev-del', { 'node-name': 'th' }),
    del('t1'),
  ],
};

async function transcript(session: QmpSession, script: readonly Message[]): Promise<Message[]> {
  try {
    return await runScript(session, script);
  } finally {
    await session.close();
  }
}

/** Each answer beside the command it belongs to, so that a difference says where it is. */
function dialogue(
  script: readonly Message[],
  messages: readonly Message[],
): [Message, Message | undefined][] {
  return script.map((step, i) => [step, messages[i + 1]]);
}

describe.skipIf(!haveQemu)('the real storage daemon and ours agree about', () => {
  test.each(Object.entries(scripts))('%s', async (_name, script) => {
    const cwd = '/';
    const [real, ours] = await Promise.all([
      transcript(startStorageDaemon(cwd), script),
      transcript(startOurs(cwd), script),
    ]);
    expect(dialogue(script, ours)).toEqual(dialogue(script, real));
  });

  test('which properties a group has', async () => {
    const script = [add('tg'), list('tg')];
    const [real, ours] = await Promise.all([
      transcript(startStorageDaemon('/'), script),
      transcript(startOurs('/'), script),
    ]);
    const sorted = (messages: Message[]): unknown[] =>
      (messages.at(-1)!.return as { name: string }[]).sort((a, b) => (a.name < b.name ? -1 : 1));
    expect(sorted(ours)).toEqual(sorted(real));
  });
});

const rates = { bps: 0, bps_rd: 0, bps_wr: 0, iops: 0, iops_rd: 0, iops_wr: 0 };
const throttle = (args: object): Message => command('block_set_io_throttle', { ...rates, ...args });

describe.skipIf(!haveQemuSystem)('the real emulator and ours agree about', () => {
  test('the limits of devices, and the groups they are in', async () => {
    const script = [
      throttle({ device: 'nn', iops: 100 }),
      throttle({ device: 'empty', iops: 100 }),
      throttle({ device: 'empty', iops: -5 }),
      throttle({ iops: 100 }),
      throttle({ device: 'd', id: 'x' }),
      throttle({ id: 'xx' }),
      throttle({ id: '/objects' }),
      command('block_set_io_throttle', { device: 'd' }),
      command('block_set_io_throttle', { device: 'd', ...rates, zz: 1 }),
      throttle({ device: 'd', iops_size: 'x' }),
      ...[
        { iops: -5 },
        { bps: huge },
        { iops_size: 5 },
        { iops: 5, iops_rd: 5 },
        { iops: 5, iops_max: 2 },
        { iops_max: 2 },
        { iops: 5, iops_max: 10, iops_max_length: 0 },
        { iops: 5, iops_max: 10, iops_max_length: -1 },
        { iops: 5, iops_max: 10, iops_max_length: 10 ** 15 },
        { iops: 5, iops_max: 10, iops_max_length: 2 ** 32 },
        { iops: 5, iops_size: -1 },
      ].flatMap((limits) => [throttle({ device: 'd', ...limits }), queryBlock]),
      throttle({ device: 'd', iops: 5, iops_size: 4096, iops_max: 20, iops_max_length: 3, bps_rd: 5 }),
      queryBlock,
      throttle({ device: 'e', bps: 7, group: 'd' }),
      queryBlock,
      add('d'),
      add('tg', { 'bps-total': 1000 }),
      throttle({ device: 'd', iops: 5, group: 'tg' }),
      queryBlock,
      get('tg', 'limits'),
      set('tg', 'limits', { 'iops-total': 9 }),
      queryBlock,
      del('tg'),
      add('d'),
      throttle({ device: 'e' }),
      add('d'),
      del('d'),
      throttle({ device: 'd', iops: 6 }),
      queryBlock,
      throttle({ device: 'd' }),
      queryBlock,
      del('tg'),
    ];
    const devices = ['d', 'e'].flatMap((id) => ['-drive', `if=none,id=${id},driver=null-co`]);
    const drives = ['-machine', 'none', ...devices, '-drive', 'if=none,id=empty'];
    const [real, ours] = await Promise.all([
      transcript(startQemu('/', drives), script),
      startWithDevices().then((session) => transcript(session, script)),
    ]);
    expect(dialogue(script, ours.map(limitsOnly))).toEqual(dialogue(script, real.map(limitsOnly)));
  });
});

const queryBlock = command('query-block', {});

/** Devices `d` and `e` with a disk each, and `empty` without one. */
async function startWithDevices(): Promise<QmpSession> {
  const session = startOurs('/');
  const { graph } = session.server;
  for (const name of ['d', 'e', 'empty']) {
    const backend = BlockBackend.create(graph, { name, perm: Perm.none, shared: Perm.all });
    if (name === 'empty') continue;
    const node = await graph.open({ driver: 'null-co' });
    await backend.insert(node);
    await graph.unref(node);
  }
  return session;
}

/** Of an answer to query-block what is about throttling. */
function limitsOnly(message: Message): Message {
  if (!Array.isArray(message.return)) return message;
  return {
    return: message.return.map(({ device, inserted }: { device: string; inserted?: object }) => ({
      device,
      limits: Object.fromEntries(
        Object.entries(inserted ?? {}).filter(([name]) => /^(bps|iops|group)/.test(name)),
      ),
    })),
  };
}
