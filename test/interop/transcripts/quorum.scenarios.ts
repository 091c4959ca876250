/** quorum, blkverify and blkdebug: options, names, permissions, children that come and go, and what is told of faults. */
import type { Message } from '../../support/qmp-sessions.ts';
import { run, type Scenario } from './scenario.ts';

const disks = [
  ...['a', 'b', 'c', 'd'].map((name) => `qemu-img create -q -f raw ${name}.raw 1M`),
  'qemu-img create -q -f raw long.raw 2M',
  'qemu-img create -q -f qcow2 a.qcow2 1M',
];
const nodes = run('query-named-block-nodes', { flat: true });
const graph = run('x-debug-query-block-graph');
const add = (driver: string, name: string, more: object = {}) =>
  run('blockdev-add', { driver, 'node-name': name, ...more });
const del = (name: string) => run('blockdev-del', { 'node-name': name });
const file = (filename: string, more: object = {}) => ({ driver: 'file', filename, ...more });
const change = (args: object) => run('x-blockdev-change', args);
const quorum = (children: readonly unknown[], threshold: number, more: object = {}) =>
  add('quorum', 'q', { children, 'vote-threshold': threshold, ...more });
const members = ['a', 'b', 'c', 'd'].map((name) => add('file', name, { filename: `${name}.raw` }));

/** Edges and nodes have no order. */
function sortedGraph(message: Message): Message {
  const { nodes: list, edges } = (message.return ?? {}) as {
    nodes?: { id: number; name: string }[];
    edges?: { parent: number; child: number; perm: string[]; 'shared-perm': string[]; name: string }[];
  };
  if (!list || !edges) return message;
  const names = new Map(list.map(({ id, name }) => [id, name]));
  const lines = edges.map(
    ({ parent, child, name, perm, 'shared-perm': shared }) =>
      `${names.get(parent)} ${name} ${names.get(child)}: ${perm.sort().join()} / ${shared.sort().join()}`,
  );
  return { return: lines.sort() };
}

export const scenarios: readonly Scenario[] = [
  {
    name: 'quorum: options that are refused',
    prepare: disks,
    steps: [
      ...members,
      add('file', 'long', { filename: 'long.raw' }),
      add('quorum', 'q'),
      add('quorum', 'q', { children: ['a'] }),
      add('quorum', 'q', { children: 'a', 'vote-threshold': 1 }),
      quorum(['a', 'b', 'c'], 0),
      quorum(['a', 'b', 'c'], -1),
      quorum(['a', 'b', 'c'], 4),
      quorum([], 1),
      quorum([], 0),
      quorum(['a', 'b', 'c'], 2, { blkverify: true }),
      quorum(['a', 'b'], 1, { blkverify: true }),
      quorum(['a', 'b'], 2, { blkverify: true, 'rewrite-corrupted': true }),
      quorum(['a', 'b'], 2, { 'read-pattern': 'foo' }),
      quorum(['a', 'b', 'long'], 2),
      quorum(['a', 'b', 'zz'], 2),
      quorum(['a', 'b', 5], 2),
      quorum(['a', null], 2),
      quorum(['a', file('absent.raw')], 2),
      quorum(['a', { driver: 'null-co', foo: 1 }], 2),
      run('x-debug-query-block-graph'),
    ],
    normalise: sortedGraph,
  },
  {
    name: 'quorum: names and permissions',
    prepare: disks,
    normalise: sortedGraph,
    steps: [
      quorum([file('a.raw', { 'node-name': 'a' }), file('b.raw', { 'node-name': 'b' })], 1),
      graph,
      nodes,
      del('q'),
      quorum(
        [
          { driver: 'qcow2', 'node-name': 'f', file: file('a.qcow2', { 'node-name': 'a' }) },
          file('b.raw', { 'node-name': 'b' }),
        ],
        2,
        { 'rewrite-corrupted': true, 'read-pattern': 'fifo' },
      ),
      add('raw', 'r', { file: 'q' }),
      graph,
      nodes,
      del('r'),
      add('raw', 'r', { file: 'q', 'read-only': true }),
      graph,
      del('r'),
      del('q'),
      ...members,
      quorum(['a', 'b', 'a'], 2, { 'read-only': true }),
      graph,
      run('blockdev-reopen', {
        options: [{ driver: 'quorum', 'node-name': 'q', children: ['a', 'b', 'a'], 'vote-threshold': 1 }],
      }),
      run('block_resize', { 'node-name': 'q', size: 1 << 21 }),
      add('qcow2', 'x', { file: 'q' }),
      add('throttle', 'x', { file: 'q', 'throttle-group': 'none' }),
      add('compress', 'x', { file: 'q' }),
      add('copy-on-read', 'x', { file: 'q' }),
      del('a'),
    ],
  },
  {
    name: 'quorum: children come and go',
    prepare: disks,
    normalise: sortedGraph,
    steps: [
      ...members,
      add('file', 'long', { filename: 'long.raw' }),
      quorum(['a', 'b', 'c'], 2),
      change({ parent: 'q' }),
      change({ parent: 'zz' }),
      change({ parent: 'zz', node: 'a' }),
      change({ parent: 'q', child: 'children.0', node: 'd' }),
      change({ parent: 'q', child: 'children.9' }),
      change({ parent: 'q', child: 'a' }),
      change({ parent: 'q', node: 'zz' }),
      change({ parent: 'q', node: 'a' }),
      change({ parent: 'q', node: 'q' }),
      change({ parent: 'a', node: 'd' }),
      change({ parent: 'a', child: 'x' }),
      change({ parent: 'q', child: 'children.1' }),
      graph,
      change({ parent: 'q', child: 'children.0' }),
      change({ parent: 'q', node: 'b' }),
      change({ parent: 'q', node: 'd' }),
      graph,
      nodes,
      change({ parent: 'q', child: 'children.4' }),
      change({ parent: 'q', node: 'long' }),
      graph,
      nodes,
      change({ parent: 'q', child: 'children.4' }),
      add('raw', 'r', { file: 'd' }),
      change({ parent: 'r', child: 'file' }),
      change({ parent: 'r', node: 'long' }),
      change({ parent: 'q', node: 'd' }),
      del('r'),
      del('q'),
      quorum(['a', 'b', 'c'], 1),
      change({ parent: 'q', child: 'children.2' }),
      change({ parent: 'q', child: 'children.1' }),
      change({ parent: 'q', child: 'children.0' }),
      change({ parent: 'q', node: 'd' }),
      graph,
      del('q'),
      quorum(['a', 'b'], 2, { blkverify: true }),
      change({ parent: 'q', node: 'd' }),
      change({ parent: 'q', child: 'children.1' }),
      change({ parent: 'q', child: 'children.1', foo: 1 }),
    ],
  },
  {
    name: 'blkverify: names and permissions',
    prepare: disks,
    normalise: sortedGraph,
    steps: [
      add('blkverify', 'v', { raw: file('a.raw') }),
      add('blkverify', 'v', { test: file('a.raw') }),
      add('blkverify', 'v', { test: file('a.raw'), raw: 'zz' }),
      add('blkverify', 'v', {
        test: { driver: 'qcow2', 'node-name': 'f', file: file('a.qcow2', { 'node-name': 't' }) },
        raw: file('a.raw', { 'node-name': 'a' }),
      }),
      graph,
      nodes,
      add('raw', 'r', { file: 'v' }),
      graph,
      nodes,
      del('r'),
      add('raw', 'r', { file: 'v', 'read-only': true }),
      graph,
      run('blockdev-reopen', {
        options: [{ driver: 'blkverify', 'node-name': 'v', test: 'f', raw: 'a' }],
      }),
      del('r'),
      del('v'),
    ],
  },
  {
    name: 'blkdebug: options, names and permissions',
    prepare: [...disks, 'touch rules'],
    normalise: sortedGraph,
    steps: [
      add('blkdebug', 'g'),
      add('blkdebug', 'g', { image: 'zz' }),
      add('blkdebug', 'g', { image: file('a.raw'), 'inject-error': [{}] }),
      add('blkdebug', 'g', { image: file('a.raw'), 'inject-error': [{ event: 'foo' }] }),
      add('blkdebug', 'g', { image: file('a.raw'), 'inject-error': [{ event: 'none', iotype: 'foo' }] }),
      add('blkdebug', 'g', { image: file('a.raw'), 'inject-error': [{ event: 'none', once: 1 }] }),
      add('blkdebug', 'g', { image: file('a.raw'), 'set-state': [{ event: 'none' }] }),
      add('blkdebug', 'g', { image: file('a.raw'), config: 'absent' }),
      add('blkdebug', 'g', { image: file('a.raw'), align: 1000 }),
      add('blkdebug', 'g', { image: file('a.raw'), 'take-child-perms': ['foo'] }),
      add('blkdebug', 'g', { image: file('a.raw', { 'node-name': 'a' }), config: 'rules' }),
      graph,
      nodes,
      del('g'),
      add('blkdebug', 'g', {
        image: file('a.raw', { 'node-name': 'a' }),
        'take-child-perms': ['write', 'resize'],
        'unshare-child-perms': ['write', 'consistent-read'],
        'inject-error': [
          { event: 'read_aio', errno: 28, once: true, sector: 5 },
          { iotype: 'read', immediately: true, state: 2, event: 'cow_read' },
        ],
        'set-state': [
          { event: 'write_aio', new_state: 2 },
          { new_state: 3, state: 1, event: 'l2_load' },
        ],
        align: 4096,
        'max-transfer': 65_536,
      }),
      graph,
      nodes,
      add('raw', 'r', { file: 'a' }),
      add('raw', 'r', { file: 'g' }),
      graph,
      nodes,
      run('blockdev-reopen', { options: [{ driver: 'blkdebug', 'node-name': 'g', image: 'a' }] }),
      del('g'),
      del('r'),
      del('g'),
      add('qcow2', 'f', {
        file: { driver: 'blkdebug', 'node-name': 'g', image: file('a.qcow2', { 'node-name': 'a' }) },
      }),
      nodes,
      add('blkdebug', 'h', { image: 'a', 'read-only': true, 'take-child-perms': ['write'] }),
    ],
  },
];
