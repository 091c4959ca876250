import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { withoutUndefined } from '../../host/base/without-undefined.ts';
import {
  type Message,
  runScript,
  type Step,
  startOurs,
  startQemu,
  statusOf,
} from '../support/qmp-sessions.ts';
import { haveQemu, haveQemuSystem } from '../support/tools.ts';

let directories: string[] = [];

beforeEach(() => {
  directories = ['theirs', 'ours'].map((name) => mkdtempSync(join(tmpdir(), `blockyard-${name}-`)));
});
afterEach(() => {
  for (const directory of directories) rmSync(directory, { recursive: true });
});

function run(directory: string, tool: string, ...args: string[]): string {
  const result = spawnSync(tool, args, { cwd: directory, encoding: 'utf8' });
  if (result.status !== 0) throw new Error(`${tool} ${args.join(' ')}: ${result.stdout}${result.stderr}`);
  return result.stdout;
}

/** Two qcow2 disks with data, zeros and holes, and some images that targets may run into. */
function makeDisks(directory: string): void {
  for (const [name, pattern] of [
    ['a', 1],
    ['b', 2],
  ]) {
    run(directory, 'qemu-img', 'create', '-q', '-f', 'qcow2', `${name}.qcow2`, '4M');
    run(
      directory,
      'qemu-io',
      '-c',
      `write -q -P ${pattern} 0 2M`,
      '-c',
      'write -q -z 1M 64k',
      `${name}.qcow2`,
    );
  }
  run(directory, 'qemu-img', 'create', '-q', '-f', 'qcow2', '-b', 'a.qcow2', '-F', 'qcow2', 'top.qcow2');
  run(directory, 'qemu-io', '-c', 'write -q -P 9 3M 64k', 'top.qcow2');
  run(directory, 'qemu-img', 'create', '-q', '-f', 'qcow2', 'small.qcow2', '1M');
  run(directory, 'qemu-img', 'create', '-q', '-f', 'raw', 'there.raw', '4M');
  run(directory, 'qemu-img', 'create', '-q', '-f', 'qcow2', 'free.qcow2', '4M');
}

const add = (name: string, more: object = {}): Step => ({
  execute: 'blockdev-add',
  arguments: {
    driver: 'qcow2',
    'node-name': name,
    file: { driver: 'file', filename: `${name}.qcow2` },
    ...more,
  },
});
const disks: Step[] = [add('a'), add('b')];

const backup = (device: string, id: string | undefined, more: object = {}): object => ({
  device,
  target: `${device}-copy.qcow2`,
  sync: 'full',
  ...withoutUndefined({ 'job-id': id }),
  ...more,
});
const driveBackup = (...args: Parameters<typeof backup>): Step => ({
  execute: 'drive-backup',
  arguments: backup(...args),
});
const transaction = (actions: object[], mode?: string): Step => ({
  execute: 'transaction',
  arguments: { actions, ...(mode === undefined ? {} : { properties: { 'completion-mode': mode } }) },
});
const action = (...args: Parameters<typeof backup>): object => ({
  type: 'drive-backup',
  data: backup(...args),
});
const job = (verb: string, id = 'j0'): Step => ({ execute: `job-${verb}`, arguments: { id } });
const blockJob = (verb: string, more: object = {}): Step => ({
  execute: `block-job-${verb}`,
  arguments: { device: 'j0', ...more },
});
const query = { execute: 'query-block-jobs' };
const jobs = { execute: 'query-jobs' };
const done = (id = 'j0'): Step => ({ wait: statusOf(id, 'null') });
/** The first megabyte is copied at once, the second after 16 seconds. */
const slow = { speed: 65536 };

async function both(steps: readonly Step[]): Promise<{ theirs: Message[]; ours: Message[] }> {
  const sessions = [startQemu(directories[0]!), startOurs(directories[1]!)];
  for (const directory of directories) makeDisks(directory);
  const transcripts: Message[][] = [];
  for (const session of sessions) {
    transcripts.push(await runScript(session, steps));
    await session.close();
  }
  return { theirs: transcripts[0]!, ours: transcripts[1]! };
}

const statusIn = (data: unknown): string => (data as { status?: string } | undefined)?.status ?? '';

/** Where the last answer is: from there on, the jobs run. */
function afterStart(transcript: readonly Message[]): number {
  return transcript.findLastIndex((message) => 'return' in message);
}

/** What concerns one job, for scripts in which the order between jobs is a matter of time. */
function of(id: string, transcript: readonly Message[]): Message[] {
  return transcript.filter(({ data }) => {
    const fields = data as { id?: string; device?: string } | undefined;
    return fields?.id === id || fields?.device === id;
  });
}

const bitmap = (verb: string, name: string, more: object = {}): Step => ({
  execute: `block-dirty-bitmap-${verb}`,
  arguments: { node: 'a', name, ...more },
});
const bitmapAction = (verb: string, name: string, more: object = {}): object => ({
  type: `block-dirty-bitmap-${verb}`,
  data: { node: 'a', name, ...more },
});
const hash = (name: string): Step => ({
  execute: 'x-debug-block-dirty-bitmap-sha256',
  arguments: { node: 'a', name },
});
const nodes: Step = { execute: 'query-named-block-nodes', arguments: { flat: true } };

const scripts: [string, Step[]][] = [
  ['a backup that succeeds', [...disks, driveBackup('a', 'j0'), done(), jobs]],
  [
    'a raw target, with speed set',
    [...disks, driveBackup('a', 'j0', { format: 'raw', target: 'copy.raw', speed: 1 << 30 }), done()],
  ],
  [
    'an existing target',
    [...disks, driveBackup('a', 'j0', { target: 'there.raw', format: 'raw', mode: 'existing' }), done()],
  ],
  [
    'a grouped transaction of which one job is cancelled',
    [
      ...disks,
      transaction([action('a', 'j0', slow), action('b', 'j1', { sync: 'none' })], 'grouped'),
      job('cancel', 'j1'),
      done('j0'),
      done('j1'),
    ],
  ],
  [
    'a second action that fails at start',
    [...disks, transaction([action('a', 'j0'), action('b', 'j1', { target: '/nonexistent/t.qcow2' })]), jobs],
  ],
  [
    'abort',
    [...disks, transaction([action('a', 'j0'), action('b', 'j1'), { type: 'abort', data: {} }]), query],
  ],
  ['cancelling', [...disks, driveBackup('a', 'j0', { sync: 'none' }), query, blockJob('cancel'), query]],
  [
    'cancelling what is paused',
    [
      ...disks,
      driveBackup('a', 'j0', { sync: 'none' }),
      job('pause'),
      query,
      job('pause'),
      blockJob('cancel'),
      blockJob('cancel', { force: true }),
      jobs,
    ],
  ],
  [
    'pausing, changing the speed and going on',
    [
      ...disks,
      driveBackup('a', 'j0', { ...slow, sync: 'none' }),
      job('pause'),
      blockJob('set-speed', { speed: 0 }),
      blockJob('set-speed', { speed: -1 }),
      query,
      job('resume'),
      job('resume'),
      query,
      blockJob('complete'),
      job('cancel'),
    ],
  ],
  [
    'finalizing and dismissing by hand',
    [
      ...disks,
      driveBackup('a', 'j0', { 'auto-finalize': false, 'auto-dismiss': false }),
      { wait: statusOf('j0', 'pending') },
      { wait: ({ event }) => event === 'BLOCK_JOB_PENDING' },
      query,
      jobs,
      driveBackup('b', 'j0'),
      job('complete'),
      job('dismiss'),
      job('finalize'),
      jobs,
      job('finalize'),
      blockJob('pause'),
      job('dismiss'),
      jobs,
    ],
  ],
  [
    'cancelling while pending',
    [
      ...disks,
      driveBackup('a', 'j0', { 'auto-finalize': false, 'auto-dismiss': false }),
      { wait: ({ event }) => event === 'BLOCK_JOB_PENDING' },
      blockJob('cancel'),
      jobs,
      query,
      job('dismiss'),
    ],
  ],
  ['sync=top', [add('top'), driveBackup('top', 'j0', { sync: 'top' }), done()]],
  ['sync=top without a backing file', [...disks, driveBackup('a', 'j0', { sync: 'top' }), done()]],
  ['compress', [...disks, driveBackup('a', 'j0', { compress: true }), done()]],
  [
    'names of jobs that are not there',
    [
      ...disks,
      job('cancel'),
      job('finalize'),
      blockJob('cancel'),
      blockJob('set-speed', { speed: 1 }),
      blockJob('resume'),
    ],
  ],
  [
    'what a job blocks',
    [
      ...disks,
      driveBackup('a', 'j0', { sync: 'none', 'filter-node-name': 'filter' }),
      { execute: 'blockdev-del', arguments: { 'node-name': 'a' } },
      { execute: 'blockdev-del', arguments: { 'node-name': 'filter' } },
      { execute: 'block_resize', arguments: { 'node-name': 'a', size: 8 << 20 } },
      driveBackup('filter', 'j1'),
      driveBackup('a', 'j2', { sync: 'none' }),
      query,
      job('cancel', 'j0'),
      job('cancel', 'j2'),
    ],
  ],
  [
    'bitmaps',
    [
      ...disks,
      bitmap('add', 'x'),
      bitmap('add', 'y', { granularity: 512, disabled: true }),
      bitmap('add', 'x'),
      bitmap('add', ''),
      bitmap('add', 'z', { granularity: 1000 }),
      bitmap('add', 'z', { granularity: -1 }),
      { execute: 'block-dirty-bitmap-add', arguments: { node: 'zz', name: 'z' } },
      { execute: 'block-dirty-bitmap-clear', arguments: { node: 'zz', name: 'z' } },
      bitmap('enable', 'y'),
      bitmap('disable', 'x'),
      bitmap('clear', 'z'),
      {
        execute: 'block-dirty-bitmap-merge',
        arguments: { node: 'a', target: 'x', bitmaps: ['y', { node: 'a', name: 'x' }] },
      },
      { execute: 'block-dirty-bitmap-merge', arguments: { node: 'a', target: 'x', bitmaps: ['zz'] } },
      { execute: 'block-dirty-bitmap-merge', arguments: { node: 'a', target: 'x', bitmaps: [1] } },
      hash('x'),
      hash('y'),
      nodes,
      bitmap('remove', 'x'),
      bitmap('remove', 'x'),
      bitmap('remove', 'y'),
      nodes,
    ],
  ],
  [
    'bitmaps in transactions',
    [
      ...disks,
      transaction([bitmapAction('add', 'x'), bitmapAction('disable', 'x'), bitmapAction('add', 'y')]),
      transaction([bitmapAction('remove', 'x'), bitmapAction('add', 'x')]),
      transaction([bitmapAction('clear', 'x'), bitmapAction('enable', 'x'), { type: 'abort', data: {} }]),
      transaction([bitmapAction('remove', 'y'), bitmapAction('enable', 'x')]),
      transaction([bitmapAction('clear', 'x')], 'grouped'),
      nodes,
      transaction([
        bitmapAction('add', 'n'),
        action('a', 'j0', { sync: 'full', bitmap: 'n', 'bitmap-mode': 'always' }),
      ]),
      done(),
      nodes,
    ],
  ],
  [
    'bitmaps of a backup',
    [
      ...disks,
      bitmap('add', 'x'),
      driveBackup('a', 'j0', { sync: 'full', bitmap: 'x' }),
      driveBackup('a', 'j0', { sync: 'full', bitmap: 'x', 'bitmap-mode': 'never' }),
      driveBackup('a', 'j0', { sync: 'none', bitmap: 'x', 'bitmap-mode': 'always' }),
      driveBackup('a', 'j0', { sync: 'incremental', bitmap: 'x', 'bitmap-mode': 'always' }),
      driveBackup('a', 'j0', { sync: 'bitmap', 'bitmap-mode': 'always' }),
      driveBackup('a', 'j0', { sync: 'bitmap', bitmap: 'x' }),
      driveBackup('a', 'j0', { sync: 'full', bitmap: 'x', 'bitmap-mode': 'on-success', ...slow }),
      bitmap('clear', 'x'),
      bitmap('remove', 'x'),
      driveBackup('a', 'j1', { sync: 'incremental', bitmap: 'x' }),
      job('cancel'),
      done(),
      bitmap('clear', 'x'),
      driveBackup('a', 'j2', { bitmap: 'x', 'bitmap-mode': 'always', 'auto-dismiss': false }),
      { wait: statusOf('j2', 'concluded') },
      jobs,
    ],
  ],
  ['a read-only source', [add('a', { 'read-only': true }), driveBackup('a', 'j0'), done(), nodes]],
  [
    'a target that is a node',
    [
      ...disks,
      add('b-copy', { file: { driver: 'file', filename: 'free.qcow2' } }),
      {
        execute: 'blockdev-backup',
        arguments: backup('a', 'j0', { target: 'b-copy', sync: 'none', 'filter-node-name': 'f' }),
      },
      { execute: 'blockdev-del', arguments: { 'node-name': 'b-copy' } },
      { execute: 'blockdev-backup', arguments: backup('b', 'j1', { target: 'b-copy' }) },
      driveBackup('b-copy', 'j1'),
      job('cancel'),
      { execute: 'blockdev-del', arguments: { 'node-name': 'b-copy' } },
      { execute: 'blockdev-del', arguments: { 'node-name': 'b-copy' } },
      { execute: 'blockdev-del', arguments: { 'node-name': 'a' } },
    ],
  ],
  [
    'resizing',
    [
      ...disks,
      { execute: 'block_resize', arguments: { 'node-name': 'a', size: 8 << 20 } },
      { execute: 'block_resize', arguments: { device: 'a', size: (8 << 20) + 512 } },
      { execute: 'block_resize', arguments: { device: 'a', size: 1000 } },
      { execute: 'block_resize', arguments: { 'node-name': 'a', size: -1 } },
      { execute: 'block_resize', arguments: { 'node-name': 'zz', size: 1 } },
      { execute: 'block_resize', arguments: { size: 1 } },
      add('top'),
      { execute: 'query-named-block-nodes' },
    ],
  ],
  [
    'nodes',
    [
      add('a'),
      add('a'),
      add('1-', { file: { driver: 'file', filename: 'b.qcow2' } }),
      { execute: 'blockdev-add', arguments: { driver: 'qcow2', file: 'a' } },
      { execute: 'blockdev-add', arguments: { driver: 'raw', 'node-name': 'r', file: 'a' } },
      { execute: 'blockdev-add', arguments: { driver: 'qcow2', 'node-name': 'q', file: 'zz' } },
      { execute: 'blockdev-add', arguments: { driver: 'qcow2', 'node-name': 'q' } },
      { execute: 'blockdev-add', arguments: { driver: 'nosuch', 'node-name': 'q' } },
      add('none'),
      { execute: 'blockdev-del', arguments: { 'node-name': 'a' } },
      { execute: 'blockdev-del', arguments: { 'node-name': 'zz' } },
      { execute: 'query-named-block-nodes' },
      { execute: 'query-block' },
    ],
  ],
  [
    'arguments that are refused',
    [
      ...disks,
      driveBackup('zz', 'j0'),
      driveBackup('a', undefined),
      driveBackup('a', '1c'),
      driveBackup('a', 'j0', { speed: -1 }),
      driveBackup('a', 'j0', { 'x-perf': { 'max-workers': 0 } }),
      driveBackup('a', 'j0', { 'x-perf': { 'max-chunk': 4096 } }),
      driveBackup('a', 'j0', { 'x-perf': { 'max-chunk': -1 } }),
      driveBackup('a', 'j0', { format: 'raw', compress: true }),
      driveBackup('a', 'j0', { format: 'zz' }),
      driveBackup('a', 'j0', { sync: 'incremental' }),
      driveBackup('a', 'j0', { 'bitmap-mode': 'always' }),
      driveBackup('a', 'j0', { bitmap: 'x' }),
      driveBackup('a', 'j0', { 'filter-node-name': 'b' }),
      driveBackup('a', 'j0', { 'filter-node-name': '1-' }),
      driveBackup('a', 'j0', { mode: 'existing', target: 'nosuch.qcow2' }),
      driveBackup('a', 'j0', { mode: 'existing', target: 'small.qcow2' }),
      driveBackup('a', 'j0', { mode: 'existing', target: 'a.qcow2' }),
      driveBackup('a', 'j0', { sync: 'sideways' }),
      { execute: 'drive-backup', arguments: { device: 'a', sync: 'full' } },
      { execute: 'blockdev-backup', arguments: backup('a', 'j0', { target: 'a' }) },
      { execute: 'blockdev-backup', arguments: backup('a', 'j0', { target: 'zz' }) },
      transaction([{ type: 'nosuch', data: {} }]),
      transaction([{ type: 'abort' }]),
      transaction([]),
      jobs,
      query,
    ],
  ],
];

describe.skipIf(!haveQemu || !haveQemuSystem)('what a client sees is what QEMU shows', () => {
  for (const [what, steps] of scripts) {
    it(what, async () => {
      const { theirs, ours } = await both(steps);
      // QEMU prints the name of a device that is none.
      const named = JSON.parse(
        JSON.stringify(theirs).replaceAll("Device '(null)'", "Device 'a'"),
      ) as Message[];
      expect(ours).toEqual(named);
    });
  }

  it('the nodes of a running job, but for its own bitmaps and the space images take', async () => {
    const steps = [
      ...disks,
      driveBackup('a', 'j0', { sync: 'none', 'filter-node-name': 'f' }),
      nodes,
      { execute: 'query-named-block-nodes' },
      { execute: 'query-block' },
      job('cancel'),
      nodes,
    ];
    const { theirs, ours } = await both(steps);
    const comparable = (transcript: Message[]): unknown =>
      JSON.parse(
        JSON.stringify(transcript)
          .replace(/"dirty-bitmaps":\[[^\]]*\],/g, '')
          .replace(/"actual-size":\d+,/g, ''),
      );
    expect(comparable(ours)).toEqual(comparable(theirs));
  });

  it('a grouped transaction that succeeds, but for which job is done first', async () => {
    const steps = [
      ...disks,
      transaction([action('a', 'j0'), action('b', 'j1')], 'grouped'),
      done('j1'),
      done('j0'),
    ];
    const { theirs, ours } = await both(steps);
    const inOrder = (transcript: Message[]): Message[] =>
      transcript.filter(({ data }) => (data as { status?: string } | undefined)?.status !== 'waiting');
    expect(inOrder(ours)).toEqual(inOrder(theirs));
    for (const id of ['j0', 'j1']) expect(of(id, ours)).toEqual(of(id, theirs));
  });

  it('individual jobs of one transaction, each for itself', async () => {
    const steps = [...disks, transaction([action('a', 'j0'), action('b', 'j1')]), done('j0'), done('j1')];
    const { theirs, ours } = await both(steps);
    // When a job leaves the graph, the other is paused for a moment if it is not done yet.
    const unpaused = (id: string, transcript: readonly Message[]): Message[] => {
      const [start, end] = [
        transcript.slice(0, afterStart(transcript)),
        transcript.slice(afterStart(transcript)),
      ];
      return of(id, [...start, ...end.filter(({ data }) => !/^(paused|running)$/.test(statusIn(data)))]);
    };
    for (const id of ['j0', 'j1']) expect(unpaused(id, ours)).toEqual(unpaused(id, theirs));
  });
});

describe.skipIf(!haveQemu)('backups', () => {
  const targets: [string, object, string][] = [
    ['qcow2', {}, 'a-copy.qcow2'],
    ['raw', { format: 'raw', target: 'copy.raw' }, 'copy.raw'],
    ['qcow2, compressed', { compress: true }, 'a-copy.qcow2'],
    ['an existing raw file', { format: 'raw', mode: 'existing', target: 'there.raw' }, 'there.raw'],
    ['qcow2, at some speed', { speed: 100 << 20 }, 'a-copy.qcow2'],
    [
      'qcow2, one small request at a time',
      { 'x-perf': { 'max-workers': 1, 'max-chunk': 65536 } },
      'a-copy.qcow2',
    ],
  ];
  for (const [what, more, target] of targets) {
    it(`are identical to the source for real QEMU: ${what}`, async () => {
      const directory = directories[1]!;
      makeDisks(directory);
      const session = startOurs(directory);
      await runScript(session, [...disks, driveBackup('a', 'j0', more), done()]);
      await session.close();
      const format = target.endsWith('.raw') ? 'raw' : 'qcow2';
      run(directory, 'qemu-img', 'compare', '-f', 'qcow2', '-F', format, 'a.qcow2', target);
      if (format === 'qcow2') run(directory, 'qemu-img', 'check', '-q', target);
      run(directory, 'qemu-img', 'check', '-q', 'a.qcow2');
    });
  }

  it('copy with sync=top only the top layer', async () => {
    const directory = directories[1]!;
    makeDisks(directory);
    const session = startOurs(directory);
    await runScript(session, [add('top'), driveBackup('top', 'j0', { sync: 'top' }), done()]);
    await session.close();
    run(directory, 'qemu-img', 'compare', 'top.qcow2', 'top-copy.qcow2');
    const map = JSON.parse(run(directory, 'qemu-img', 'map', '--output=json', 'top-copy.qcow2')) as {
      depth: number;
      length: number;
    }[];
    const own = map.filter(({ depth }) => depth === 0).reduce((sum, { length }) => sum + length, 0);
    expect(own).toBe(64 << 10);
  });
});
