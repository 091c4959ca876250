/**
 * blockdev-reopen next to the real storage daemon, generated: every driver, opened with some of its options, then reopened with one
 * of them changed, left out or added, and back. What is answered and how the nodes are open must be equal.
 *
 * REOPENS sets how many nodes there are, REOPENS_SEED the seed of the first one.
 */
import { execFileSync } from 'node:child_process';
import { mkdirSync } from 'node:fs';
import { beforeAll, describe, expect, test } from 'vitest';
import { type Message, runScript, startOurs, startStorageDaemon } from '../support/qmp-sessions.ts';
import { scratchDirectory } from '../support/scratch.ts';
import { Seeded } from '../support/seeded.ts';
import { haveQemu } from '../support/tools.ts';
import { briefNodes, graph, nodes, reopen, run, sortedGraph } from './transcripts/scenario.ts';

const cases = Number(process.env['REOPENS'] ?? 36);
const firstSeed = Number(process.env['REOPENS_SEED'] ?? 1);
const casesPerSession = 18;

type Options = Record<string, unknown>;

const images = [
  'qemu-img create -q -f raw r.raw 4M',
  'qemu-img create -q -f raw s.raw 4M',
  'qemu-img create -q -f raw t.raw 4M',
  'qemu-img create -q -f qcow2 base.qcow2 4M',
  'qemu-img create -q -f qcow2 -b base.qcow2 -F qcow2 top.qcow2',
  'qemu-img create -q -f qcow2 -o compat=0.10 old.qcow2 4M',
  'qemu-img create -q -f qcow2 q.qcow2 4M',
];

/** Nodes that there are throughout, for others to use by name. */
const standing: readonly Options[] = [
  ...['n1', 'n2'].map((name) => ({
    driver: 'null-co',
    'node-name': name,
    size: 4 << 20,
    'read-zeroes': true,
  })),
  { driver: 'file', 'node-name': 's', filename: 's.raw' },
  { driver: 'file', 'node-name': 't', filename: 't.raw', 'read-only': true },
  { driver: 'raw', 'node-name': 'sr', file: 's' },
  {
    driver: 'qcow2',
    'node-name': 'b',
    'read-only': true,
    file: { driver: 'file', filename: 'base.qcow2', locking: 'off' },
  },
];

/** `force-share` comes only with the reopening: once it was said QEMU takes nothing that is said of it for the same. */
const onOff: readonly unknown[] = [true, false];
const common: Options = {
  'read-only': onOff,
  'auto-read-only': onOff,
  'force-share': onOff,
  discard: ['ignore', 'unmap'],
  'detect-zeroes': ['off', 'on', 'unmap'],
  cache: [
    { direct: true },
    { direct: false },
    { 'no-flush': true },
    { direct: true, 'no-flush': true },
    { direct: false, 'no-flush': false },
  ],
};

/** Without those that QEMU forgets to compare, or compares with their own text. */
const fileOptions = {
  filename: ['r.raw', './r.raw', 's.raw'],
  locking: ['auto', 'on', 'off'],
  aio: ['threads', 'native', 'io_uring'],
};

const child = ['n1', 'n2', 's', 'sr'];

/** By driver: what it always has, and the values that other options may have; `undefined` among them: it may be left out. */
const subjects: readonly { fixed: Options; varied: Record<string, readonly unknown[]> }[] = [
  { fixed: { driver: 'file', filename: 'r.raw' }, varied: fileOptions },
  {
    fixed: { driver: 'raw', file: 's' },
    varied: {
      offset: [0, 512, 65536, 1000, 8 << 20],
      size: [512, 65536, 4 << 20, 100, 8 << 20],
      file: [...child, { driver: 'file', filename: 's.raw' }],
    },
  },
  {
    fixed: { driver: 'raw', file: { driver: 'file', filename: 'r.raw' } },
    varied: {
      offset: [0, 512],
      file: [
        { driver: 'file', filename: 'r.raw', 'read-only': true },
        { driver: 'file', filename: 'r.raw', discard: 'unmap' },
        { driver: 'file', filename: 'r.raw', cache: { direct: true } },
        { driver: 'file', filename: 'r.raw', locking: 'off' },
        { driver: 'file', filename: 'other.raw' },
        { driver: 'null-co' },
        's',
      ],
    },
  },
  ...['q.qcow2', 'old.qcow2'].map((filename) => ({
    fixed: { driver: 'qcow2', file: { driver: 'file', filename } },
    varied: {
      backing: [null, 'b', 'n1', { driver: 'null-co', size: 4 << 20 }],
      'lazy-refcounts': onOff,
      'pass-discard-request': onOff,
      'pass-discard-snapshot': onOff,
      'pass-discard-other': onOff,
      'discard-no-unref': onOff,
      'overlap-check': [
        'none',
        'constant',
        'cached',
        'all',
        { template: 'none' },
        { template: 'all', 'main-header': false },
      ],
      'cache-size': [0, 65536, 1 << 20, 1],
      'l2-cache-size': [0, 65536, 1 << 20],
      'l2-cache-entry-size': [512, 4096, 65536, 1 << 20, 3],
      'refcount-cache-size': [0, 65536, 1 << 20],
      'cache-clean-interval': [0],
    },
  })),
  {
    fixed: { driver: 'qcow2', file: { driver: 'file', filename: 'top.qcow2' } },
    varied: {
      backing: [
        null,
        'b',
        'n1',
        'sr',
        'none',
        { driver: 'qcow2', file: { driver: 'file', filename: 'base.qcow2' } },
      ],
      'lazy-refcounts': onOff,
    },
  },
  {
    fixed: { driver: 'null-co' },
    varied: { size: [0, 512, 1 << 20, 100], 'latency-ns': [0, 1000, -1], 'read-zeroes': onOff },
  },
  {
    fixed: { driver: 'null-aio' },
    varied: { size: [512, 1 << 20], 'latency-ns': [0, 1000], 'read-zeroes': onOff },
  },
  {
    fixed: { driver: 'blkdebug', image: 'n1' },
    varied: {
      image: child,
      align: [512, 4096, 100],
      'max-transfer': [4096, 65536],
      'opt-write-zero': [4096],
      'max-discard': [65536],
      'inject-error': [[{ event: 'read_aio' }], [{ event: 'flush_to_os' }]],
      'take-child-perms': [['write'], ['resize']],
      'unshare-child-perms': [['write']],
    },
  },
  { fixed: { driver: 'blkverify', test: 'n1', raw: 'n2' }, varied: { test: child, raw: child } },
  { fixed: { driver: 'copy-on-read', file: 'n1' }, varied: { file: child, bottom: ['n1', 'b'] } },
  { fixed: { driver: 'compress', file: 'n1' }, varied: { file: [...child, 'b'] } },
  {
    fixed: { driver: 'copy-before-write', file: 's', target: 'n2' },
    varied: {
      file: child,
      target: child,
      'on-cbw-error': ['break-guest-write', 'break-snapshot'],
      'cbw-timeout': [0, 5],
      'min-cluster-size': [65536, 1 << 20],
    },
  },
  {
    fixed: { driver: 'preallocate', file: 's' },
    varied: {
      file: child,
      'prealloc-align': [512, 1 << 20, 100, 4096],
      'prealloc-size': [0, 1 << 20, 100, 512],
    },
  },
  {
    fixed: { driver: 'throttle', file: 'n1', 'throttle-group': 'g1' },
    varied: { file: child, 'throttle-group': ['g1', 'g2', 'none'] },
  },
  {
    fixed: { driver: 'quorum', 'vote-threshold': 1, children: ['n1', 'n2'] },
    varied: {
      'vote-threshold': [1, 2, 3],
      children: [
        ['n1', 'n2'],
        ['n2', 'n1'],
        ['n1', 's'],
      ],
      blkverify: onOff,
      'read-pattern': ['quorum', 'fifo'],
    },
  },
  { fixed: { driver: 'snapshot-access', file: 'n1' }, varied: { file: child } },
];

/** A node as it is opened at first, and what it is reopened with, one after the other. */
interface Case {
  seed: number;
  first: Options;
  again: readonly Options[];
}

function makeCase(seed: number): Case {
  const random = new Seeded(seed);
  const { fixed, varied } = subjects[(seed - 1) % subjects.length]!; // the remainder is below the length
  const choices: Record<string, readonly unknown[]> = {
    ...varied,
    ...(common as Record<string, readonly unknown[]>),
  };
  const names = Object.keys(choices);
  const first: Options = { 'node-name': 'x', ...fixed };
  for (const name of names) {
    if (!(name in fixed) && name !== 'force-share' && random.oneIn(8))
      first[name] = random.pick(choices[name]!); // a name of it
  }
  const again: Options[] = [];
  for (let i = 0; i < 5; i++) {
    const last = random.oneIn(2) ? first : (again.at(-1) ?? first);
    const changed = { ...last };
    for (let count = random.oneIn(4) ? 2 : 1; count > 0; count--) {
      const name = random.pick(names);
      if (name in changed && !(name in fixed && name !== 'backing') && random.oneIn(2)) delete changed[name];
      else changed[name] = random.pick(choices[name]!); // a name of it
    }
    again.push(changed);
  }
  again.push(first);
  return { seed, first, again };
}

const groups = ['g1', 'g2'].map((id) => run('object-add', { 'qom-type': 'throttle-group', id }));

function stepsOf({ first, again }: Case): Message[] {
  return [
    run('blockdev-add', first),
    nodes,
    ...again.flatMap((options) => [reopen(options), nodes, graph]),
    run('blockdev-del', { 'node-name': 'x' }),
  ];
}

/** The same whatever the order in which nodes are listed. */
function plain(message: Message): Message {
  return sortedGraph(briefNodes(message));
}

const scratch = scratchDirectory();

describe.skipIf(!haveQemu)('blockdev-reopen of any node', () => {
  let folder = '';

  beforeAll(() => {
    folder = scratch('images');
    mkdirSync(folder);
    execFileSync('sh', ['-c', ['set -e', ...images].join('\n')], { cwd: folder, stdio: 'pipe' });
  });

  const all = Array.from({ length: cases }, (_, i) => makeCase(firstSeed + i));
  const sessions = Array.from({ length: Math.ceil(cases / casesPerSession) }, (_, i) =>
    all.slice(i * casesPerSession, (i + 1) * casesPerSession),
  );

  test.each(sessions.map((session) => [session[0]!.seed, session] as const))(
    'is answered as there (seeds from %i)',
    async (seed, session) => {
      const [real, ours] = [`${folder}.real${seed}`, `${folder}.ours${seed}`];
      for (const copy of [real, ours]) execFileSync('cp', ['-R', folder, copy]);
      const first = [...groups, ...standing.map((options) => run('blockdev-add', options))];
      const steps = [...first, ...session.flatMap(stepsOf)];
      const [expected, actual] = await Promise.all(
        [startStorageDaemon(real), startOurs(ours)].map(async (daemon) => {
          const messages = await runScript(daemon, steps);
          await daemon.close();
          return messages
            .filter(({ event }) => event === undefined)
            .slice(1)
            .map(plain);
        }),
      );
      // A difference is shown with what led to it, not with all nodes before and after.
      const differing: unknown[] = [];
      let at = first.length;
      for (const one of session) {
        const own = stepsOf(one);
        const index = own.findIndex(
          (_, i) => JSON.stringify(expected![at + i]) !== JSON.stringify(actual![at + i]),
        );
        if (index >= 0) {
          const led = own
            .slice(0, index + 1)
            .filter(({ execute }) => !/^(query|x-debug)-/.test(String(execute)));
          const [wanted, got] = [expected, actual].map((messages) => messages![at + index]);
          differing.push({ seed: one.seed, led, wanted, got });
        }
        at += own.length;
      }
      expect(differing).toEqual([]);
    },
    60_000,
  );
});
