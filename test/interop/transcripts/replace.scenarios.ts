/** Mirrors that take the place of one child of a quorum, commits through filters, and what every driver can be reopened with. */
import type { Step } from '../../support/qmp-sessions.ts';
import {
  add,
  addNull,
  briefNodes,
  del,
  event,
  file,
  gone,
  graph,
  node,
  nodes,
  reopen,
  run,
  type Scenario,
  sortedGraph,
} from './scenario.ts';

const disks = [
  ...['a', 'b', 'c', 'n'].map((name) => `qemu-img create -q -f raw ${name}.raw 1M`),
  'qemu-img create -q -f qcow2 base.qcow2 1M',
  'qemu-img create -q -f qcow2 -b base.qcow2 -F qcow2 mid.qcow2',
  'qemu-img create -q -f qcow2 -b mid.qcow2 -F qcow2 top.qcow2',
  'qemu-io -f qcow2 -c "write -q -P 5 0 128k" mid.qcow2',
];

const quorum: readonly Step[] = [
  ...['a', 'b', 'c', 'n'].map((name) => node(name, `${name}.raw`)),
  add({ driver: 'quorum', 'node-name': 'q', 'vote-threshold': 1, children: ['a', 'b', 'c'] }),
];
const mirror = (replaces: string, more: object = {}): Step =>
  run('blockdev-mirror', { 'job-id': 'j', device: 'q', target: 'n', sync: 'full', replaces, ...more });
const ready = event('BLOCK_JOB_READY', { device: 'j' });
const complete = [run('job-complete', { id: 'j' }), gone('j')];

const group = run('object-add', { 'qom-type': 'throttle-group', id: 'limits' });
const throttle = (name: string, below: string): Step =>
  add({ driver: 'throttle', 'throttle-group': 'limits', 'node-name': name, file: below });
const commit = (more: object): Step => run('block-commit', { 'job-id': 'j', device: 'tp', ...more });

/** A node, and what it is then reopened with, each alone. */
function reopened(driver: string, options: object, more: readonly object[]): Scenario {
  const whole = { driver, 'node-name': 'x', ...options };
  const common = [
    ...[
      { 'read-only': true },
      {},
      { discard: 'unmap' },
      { 'detect-zeroes': 'on' },
      { 'auto-read-only': true },
    ],
    ...[{ cache: { 'no-flush': true } }, { 'force-share': true }],
  ];
  return {
    name: `reopen: ${driver}, with every common option`,
    prepare: disks,
    normalise: briefNodes,
    steps: [
      group,
      addNull('z'),
      addNull('y'),
      node('r', 'a.raw'),
      add(whole),
      ...[...common, ...more].map((change) => reopen({ ...whole, ...change })),
      nodes,
    ],
  };
}

export const scenarios: readonly Scenario[] = [
  {
    name: 'replaces: one child of a quorum by a mirror of it',
    prepare: disks,
    normalise: sortedGraph,
    steps: [
      ...quorum,
      mirror('zz'),
      mirror('n'),
      mirror('a', { device: 'b' }),
      mirror('b'),
      ready,
      graph,
      ...complete,
      graph,
      del('b'),
      del('q'),
    ],
    compare: ['n.raw'],
  },
  {
    name: 'replaces: a child that is mirrored itself',
    prepare: disks,
    normalise: sortedGraph,
    steps: [
      ...quorum,
      node('m', 'base.qcow2'),
      mirror('b'),
      ready,
      run('blockdev-mirror', { 'job-id': 'k', device: 'b', target: 'm', sync: 'full' }),
      ...complete,
      graph,
    ],
  },
  {
    name: 'commit: into a base that is filtered',
    prepare: disks,
    normalise: (message) => sortedGraph(briefNodes(message)),
    steps: [
      group,
      node('bs', 'base.qcow2', { backing: null }),
      throttle('fb', 'bs'),
      node('md', 'mid.qcow2', { backing: 'fb' }),
      throttle('fm', 'md'),
      node('tp', 'top.qcow2', { backing: 'fm' }),
      commit({ 'top-node': 'fm', 'base-node': 'bs' }),
      gone('j'),
      graph,
      nodes,
    ],
    compare: ['base.qcow2', 'top.qcow2'],
  },
  reopened('file', { filename: 'b.raw' }, [{ filename: 'c.raw' }, { aio: 'io_uring' }, { locking: 'off' }]),
  reopened('raw', { file: file('b.raw') }, [{ offset: 512 }, { size: 512 }, { file: 'z' }]),
  reopened('throttle', { file: 'z', 'throttle-group': 'limits' }, [
    { 'throttle-group': 'zz' },
    { file: 'y' },
  ]),
  reopened('copy-on-read', { file: 'z' }, [{ bottom: 'z' }]),
  reopened('blkdebug', { image: 'z' }, [{ align: 4096 }]),
  reopened('blkverify', { raw: 'z', test: 'y' }, []),
  reopened('quorum', { children: ['z', 'y'], 'vote-threshold': 1 }, [{ 'vote-threshold': 2 }]),
  reopened('compress', { file: 'r' }, []),
  reopened('preallocate', { file: 'r' }, [{ 'prealloc-size': 2097152 }, { 'prealloc-align': 1000 }]),
];
