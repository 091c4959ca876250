import { describe, expect, it } from 'vitest';
import { invalid } from '../../host/base/errors.ts';
import { empty } from '../../host/qapi/types.ts';
import { abort } from '../../host/qmp/actions/abort.ts';
import { type ActionDefinition, defineAction } from '../../host/qmp/actions/action.ts';
import { blockdevBackup } from '../../host/qmp/actions/blockdev-backup.ts';
import { runTransaction } from '../../host/qmp/transaction.ts';
import { World } from '../jobs/world.ts';
import { mib } from '../support/units.ts';

/** An action that writes down its steps. */
function recorder(
  log: string[],
  name: string,
  fails = false,
): { definition: ActionDefinition; data: object } {
  const definition = defineAction({
    type: name,
    data: empty,
    supportsGrouped: false,
    create: () => ({
      async prepare() {
        log.push(`prepare ${name}`);
        if (fails) throw invalid(`${name} failed`);
      },
      commit: () => void log.push(`commit ${name}`),
      abort: async () => void log.push(`abort ${name}`),
    }),
  });
  return { definition: definition as unknown as ActionDefinition, data: {} };
}

function backup(device: string, target: string, id: string, more: object = {}) {
  return {
    definition: blockdevBackup as unknown as ActionDefinition,
    data: { device, target, 'job-id': id, sync: 'full', ...more },
  };
}

const aborting = { definition: abort as unknown as ActionDefinition, data: {} };

async function twoDisks(): Promise<World> {
  const world = new World();
  for (const [name, fill] of [
    ['a', 1],
    ['b', 2],
    ['t', 0],
    ['u', 0],
  ] as const) {
    await world.disk(name, mib, fill);
  }
  await world.disk('small', mib / 2);
  return world;
}

describe('a transaction', () => {
  it('prepares in order, and commits the last first', async () => {
    const log: string[] = [];
    await runTransaction(new World(), [recorder(log, 'x'), recorder(log, 'y')]);
    expect(log).toEqual(['prepare x', 'prepare y', 'commit y', 'commit x']);
  });

  it('aborts in reverse order, the one that failed first, and reports its error', async () => {
    const log: string[] = [];
    const actions = [recorder(log, 'x'), recorder(log, 'y', true), recorder(log, 'z')];
    await expect(runTransaction(new World(), actions)).rejects.toThrow('y failed');
    expect(log).toEqual(['prepare x', 'prepare y', 'abort y', 'abort x']);
  });

  it('refuses actions that cannot be grouped before they do anything', async () => {
    const log: string[] = [];
    await expect(runTransaction(new World(), [recorder(log, 'x')], 'grouped')).rejects.toThrow(
      "Action 'x' does not support transaction property completion-mode = grouped",
    );
    expect(log).toEqual([]);
  });

  it('does nothing without actions', async () => {
    await runTransaction(new World(), []);
  });

  it('starts two backups at one instant, each with a pause while its source is drained', async () => {
    const world = await twoDisks();
    await runTransaction(world, [backup('a', 't', 'j0'), backup('b', 'u', 'j1')]);
    expect(world.take()).toEqual([
      'S j0 created',
      'S j1 created',
      'S j1 running',
      'S j1 paused',
      'S j0 running',
      'S j0 paused',
      'S j1 running',
      'S j0 running',
    ]);
    await world.platform.settle();
    expect(
      world
        .take()
        .filter((line) => line.endsWith('null'))
        .sort(),
    ).toEqual(['S j0 null', 'S j1 null']);
  });

  it('lets no write land between the instants of its actions', async () => {
    const world = await twoDisks();
    const [a, b] = [await world.guest(world.graph.getNode('a')), await world.guest(world.graph.getNode('b'))];
    let round = 10;
    let writing = true;
    // Every record on b follows the one of the same number on a.
    const writer = (async () => {
      while (writing) {
        round = (round + 1) % 200;
        await a.write(0, new Uint8Array(512).fill(round));
        if (round % 3 === 0) await world.platform.clock.yield();
        await b.write(0, new Uint8Array(512).fill(round));
        if (round % 3 === 1) await world.platform.clock.yield();
      }
    })();
    for (let turn = 0; turn < 5; turn++) await world.platform.clock.yield();
    await runTransaction(world, [backup('a', 't', 'j0'), backup('b', 'u', 'j1')]);
    await world.platform.settle();
    writing = false;
    await writer;
    const [t, u] = [world.disks[2]!.bytes[0]!, world.disks[3]!.bytes[0]!];
    expect([t, (t + 199) % 200]).toContain(u);
  });

  const failures: [string, { definition: ActionDefinition; data: object }, string][] = [
    ['abort', aborting, 'Transaction aborted using Abort action'],
    ['no such source', backup('zz', 'u', 'j1'), "Cannot find device='zz' nor node-name='zz'"],
    ['no such target', backup('b', 'zz', 'j1'), "Cannot find device='zz' nor node-name='zz'"],
    ['same source and target', backup('b', 'b', 'j1'), 'Source and target cannot be the same'],
    ['target too small', backup('b', 'small', 'j1'), 'Source and target image have different sizes'],
    [
      'target in use by the first action',
      backup('b', 't', 'j1'),
      "Node 't' is busy: block device is in use by block job: backup",
    ],
    ['duplicate job', backup('b', 'u', 'j0'), "Job ID 'j0' already in use"],
    ['malformed job id', backup('b', 'u', '1c'), "Invalid job ID '1c'"],
    ['speed', backup('b', 'u', 'j1', { speed: -1 }), "Parameter 'speed' expects a non-negative value"],
    [
      'wrong bitmap mode',
      backup('b', 'u', 'j1', { 'bitmap-mode': 'always' }),
      'Cannot specify bitmap sync mode without a bitmap',
    ],
    [
      'no bitmap',
      backup('b', 'u', 'j1', { sync: 'incremental' }),
      "must provide a valid bitmap name for 'incremental' sync mode",
    ],
    [
      'name of the filter taken',
      backup('b', 'u', 'j1', { 'filter-node-name': 'a' }),
      "Could not create node: Duplicate nodes with node-name='a'",
    ],
    [
      'max-workers',
      backup('b', 'u', 'j1', { 'x-perf': { 'max-workers': 0 } }),
      'max-workers must be between 1 and 2147483647',
    ],
    [
      'max-chunk',
      backup('b', 'u', 'j1', { 'x-perf': { 'max-chunk': 4096 } }),
      'Required max-chunk (4096) is less than backup cluster size (65536)',
    ],
    [
      'compression',
      backup('b', 'u', 'j1', { compress: true }),
      'Compression is not supported for this drive ',
    ],
  ];

  for (const mode of ['individual', 'grouped'] as const) {
    for (const [what, action, message] of failures) {
      // Which is refused in a group before anything is done.
      if (mode === 'grouped' && what === 'abort') continue;
      it(`undoes everything when the last action fails to start (${mode}): ${what}`, async () => {
        const world = await twoDisks();
        const [a, b] = [world.graph.getNode('a'), world.graph.getNode('b')];
        const guests = [await world.guest(a), await world.guest(b)];
        const before = world.graph.nodes().map(({ name, references }) => ({ name, references }));
        await expect(runTransaction(world, [backup('a', 't', 'j0'), action], mode)).rejects.toThrow(message);
        const events = world.take();
        const own = events.filter((line) => line.startsWith('S j1'));
        expect(events.filter((line) => !own.includes(line))).toEqual([
          'S j0 created',
          'S j0 aborting',
          'S j0 concluded',
          'S j0 null',
        ]);
        expect(own).toEqual(what === 'speed' ? ['S j1 created', 'S j1 null'] : []);
        expect(world.jobs.list()).toEqual([]);
        expect(world.graph.nodes().map(({ name, references }) => ({ name, references }))).toEqual(before);
        expect(
          world.graph.nodes().some((node) => node.isDrained || node.opBlockers.isBlocked('resize')),
        ).toBe(false);
        for (const guest of guests) await guest.write(0, new Uint8Array(512).fill(9));
        expect([...world.disks[2]!.bytes.subarray(0, 1)]).toEqual([0]);
        expect(guests.map((guest) => guest.node)).toEqual([a, b]);
      });
    }
  }
});
