/** Filters and what belongs to them: what is refused, what queries say, what permissions they take. */
import type { Message } from '../../support/qmp-sessions.ts';
import { node, run, type Scenario } from './scenario.ts';

const disks = [
  'qemu-img create -q -f qcow2 a.qcow2 4M',
  'qemu-img create -q -f qcow2 -b a.qcow2 -F qcow2 b.qcow2',
  'qemu-img create -q -f qcow2 -b b.qcow2 -F qcow2 c.qcow2',
  'qemu-img create -q -f raw r.raw 4M',
];
const nodes = run('query-named-block-nodes', { flat: true });
const graph = run('x-debug-query-block-graph');
const add = (options: object) => run('blockdev-add', options);
const del = (name: string) => run('blockdev-del', { 'node-name': name });
const nul = (name: string, more: object = {}) => add({ driver: 'null-co', 'node-name': name, ...more });
const file = (filename: string, more: object = {}) => ({ driver: 'file', filename, ...more });
const reopen = (...options: object[]) => run('blockdev-reopen', { options });
const filter = (driver: string, name: string, below: unknown, more: object = {}) =>
  add({ driver, 'node-name': name, file: below, ...more });
const nullDisk = { driver: 'null-co' };
/** Opened, and looked at by nobody but the monitor. */
const chain = [
  node('a', 'a.qcow2', { 'read-only': true }),
  node('b', 'b.qcow2', { backing: 'a', 'read-only': true }),
  node('c', 'c.qcow2', { backing: 'b' }),
];

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
    name: 'filters: copy-on-read and its bottom',
    prepare: disks,
    normalise: sortedGraph,
    steps: [
      ...chain,
      filter('copy-on-read', 'x', 'c', { bottom: 'zz' }),
      filter('copy-on-read', 'x', 'c', { bottom: '' }),
      filter('copy-on-read', 'x', 'zz'),
      add({ driver: 'copy-on-read', 'node-name': 'x' }),
      filter('copy-on-read', 'x', 'c', { foo: 1 }),
      filter('copy-on-read', 'x', 'a'),
      filter('copy-on-read', 'x', 'a', { 'read-only': true }),
      filter('copy-on-read', 'x', { driver: 'null-co', 'read-only': true }),
      filter('copy-on-read', 'x', nullDisk, { 'read-only': true }),
      filter('copy-on-read', 'x', 'c'),
      filter('copy-on-read', 'y', 'x', { bottom: 'x' }),
      filter('copy-on-read', 'y', 'c', { bottom: 'b' }),
      filter('copy-on-read', 'z', 'y', { bottom: 'a' }),
      del('y'),
      graph,
      nodes,
      reopen({ driver: 'copy-on-read', 'node-name': 'x', file: 'c' }),
      reopen({ driver: 'qcow2', 'node-name': 'c', backing: null, file: file('c.qcow2') }),
      del('z'),
      del('y'),
      reopen({ driver: 'qcow2', 'node-name': 'c', backing: null, file: file('c.qcow2') }),
      filter('copy-on-read', 'w', 'c', { 'read-only': true }),
      graph,
    ],
  },
  {
    name: 'filters: compress',
    prepare: disks,
    normalise: sortedGraph,
    steps: [
      run('object-add', { 'qom-type': 'throttle-group', id: 'tg' }),
      nul('n'),
      filter('compress', 'x', 'n'),
      filter('compress', 'x', { driver: 'raw', file: nullDisk }),
      filter('compress', 'x', { driver: 'preallocate', file: nullDisk }),
      filter('compress', 'x', { driver: 'copy-before-write', file: nullDisk, target: nullDisk }),
      filter('compress', 'x', { driver: 'snapshot-access', file: nullDisk }),
      add({ driver: 'compress', 'node-name': 'x' }),
      filter('compress', 't', { driver: 'throttle', 'throttle-group': 'tg', file: nullDisk }),
      filter('compress', 'x', 't'),
      filter('compress', 'y', { driver: 'copy-on-read', file: nullDisk }),
      ...chain,
      filter('compress', 'z', 'c'),
      nodes,
      graph,
      reopen({ driver: 'compress', 'node-name': 'z', file: 'c' }),
      run('block_resize', { 'node-name': 'z', size: 8 << 20 }),
      nodes,
    ],
  },
  {
    name: 'filters: preallocate',
    prepare: disks,
    normalise: sortedGraph,
    steps: [
      nul('n'),
      ...[
        { 'prealloc-align': 1000 },
        { 'prealloc-align': 1 },
        { 'prealloc-align': -512 },
        { 'prealloc-size': -1 },
        { 'prealloc-align': 'x' },
        { 'prealloc-size': 1.5 },
        { foo: 1 },
      ].map((more) => filter('preallocate', 'x', 'n', more)),
      add({ driver: 'preallocate', 'node-name': 'x' }),
      filter('preallocate', 'x', 'n', { 'prealloc-align': 1536, 'prealloc-size': 0 }),
      reopen({ driver: 'preallocate', 'node-name': 'x', file: 'n', 'prealloc-align': 5 }),
      reopen({
        driver: 'preallocate',
        'node-name': 'x',
        file: 'n',
        'prealloc-align': 512,
        'prealloc-size': 7,
      }),
      reopen({ driver: 'preallocate', 'node-name': 'x', file: 'n', 'prealloc-align': 512 }),
      reopen({ driver: 'preallocate', 'node-name': 'x', file: 'n', 'prealloc-size': 512 }),
      nodes,
      filter('preallocate', 'ro', 'n', { 'read-only': true }),
      add({ driver: 'qcow2', 'node-name': 'q', file: { driver: 'preallocate', file: file('a.qcow2') } }),
      node('q2', 'r.raw'),
      filter('preallocate', 'p2', 'q2'),
      filter('preallocate', 'p3', 'q2'),
      graph,
      nodes,
    ],
  },
  {
    name: 'filters: null-aio',
    steps: [
      add({ driver: 'null-aio', 'node-name': 'a' }),
      add({ driver: 'null-aio', 'node-name': 'b', size: 4096 }),
      add({ driver: 'null-aio', 'node-name': 'c', 'read-zeroes': true, 'latency-ns': 5 }),
      add({ driver: 'null-aio', 'node-name': 'd', 'latency-ns': -1 }),
      add({ driver: 'null-aio', 'node-name': 'd', foo: 1 }),
      add({ driver: 'raw', 'node-name': 'r', file: 'a' }),
      nodes,
    ],
  },
  {
    name: 'filters: copy-before-write and snapshot-access',
    prepare: disks,
    normalise: sortedGraph,
    steps: [
      nul('n', { size: 1 << 20 }),
      nul('t', { size: 1 << 20 }),
      nul('small', { size: 1 << 19 }),
      node('a', 'a.qcow2'),
      run('block-dirty-bitmap-add', { node: 'n', name: 'b' }),
      run('block-dirty-bitmap-add', { node: 't', name: 'bt', granularity: 4096, disabled: true }),
      run('block-dirty-bitmap-add', { node: 'small', name: 'bs' }),
      ...[
        { bitmap: { node: 'zz', name: 'b' } },
        { bitmap: { node: 'n', name: 'zz' } },
        { bitmap: { node: 'n', name: '' } },
        { bitmap: { node: 'n' } },
        { bitmap: { node: 'n', name: 'b', foo: 1 } },
        { bitmap: 'b' },
        { bitmap: { node: 'small', name: 'bs' } },
        { 'cbw-timeout': -1 },
        { 'cbw-timeout': 2 ** 32 },
        { 'cbw-timeout': 'x' },
        { 'on-cbw-error': 'x' },
        { target: 'zz' },
        { target: 'zz', bitmap: { node: 'zz', name: 'b' } },
      ].map((more) => filter('copy-before-write', 'x', 'n', { target: 'a', ...more })),
      add({ driver: 'copy-before-write', 'node-name': 'x', file: 'n' }),
      add({ driver: 'copy-before-write', 'node-name': 'x', target: 'n' }),
      filter('copy-before-write', 'x', 'n', {
        target: 'a',
        bitmap: { node: 'n', name: 'b' },
        'cbw-timeout': 5,
        'on-cbw-error': 'break-snapshot',
      }),
      filter('copy-before-write', 'y', 't', { target: 'small', bitmap: { node: 't', name: 'bt' } }),
      graph,
      filter('snapshot-access', 's', 'x'),
      filter('snapshot-access', 's2', 'x', { 'read-only': true, discard: 'unmap' }),
      filter('snapshot-access', 's3', 'n'),
      filter('snapshot-access', 's4', 'zz'),
      filter('snapshot-access', 's5', 'x', { foo: 1 }),
      add({ driver: 'snapshot-access', 'node-name': 's6' }),
      graph,
      nodes,
      reopen({ driver: 'copy-before-write', 'node-name': 'x', file: 'n', target: 'a' }),
      reopen({ driver: 'snapshot-access', 'node-name': 's', file: 'x' }),
      del('x'),
      del('s'),
      del('s2'),
      del('x'),
      graph,
    ],
  },
];
