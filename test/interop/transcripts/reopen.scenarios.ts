/** blockdev-reopen: what can change, what cannot, and that a failure changes nothing. */
import { file, node, nodes, reopen, run, type Scenario } from './scenario.ts';

const g1 = (more: object, filename = 'g1.qcow2') => ({
  driver: 'qcow2',
  'node-name': 'g1',
  file: file(filename),
  ...more,
});
const chain = [
  'qemu-img create -q -f qcow2 g0.qcow2 4M',
  'qemu-img create -q -f qcow2 -b g0.qcow2 -F qcow2 g1.qcow2',
];

export const scenarios: readonly Scenario[] = [
  {
    name: 'reopen: the backing file must be named, and may change',
    prepare: chain,
    steps: [
      node('g1', 'g1.qcow2'),
      reopen(g1({})),
      reopen(
        g1({
          'read-only': true,
          backing: { driver: 'qcow2', file: file('g0.qcow2') },
        }),
      ),
      nodes,
      reopen(g1({ 'read-only': true, backing: null })),
      nodes,
      node('b', 'g0.qcow2', { 'read-only': true }),
      reopen(g1({ backing: 'b' })),
      nodes,
      reopen(g1({ backing: 'g1' })),
      reopen(g1({ backing: 'zz' })),
    ],
  },
  {
    name: 'reopen: options that cannot change',
    prepare: chain,
    steps: [
      node('g1', 'g1.qcow2'),
      reopen({ driver: 'raw', 'node-name': 'g1', file: file('g1.qcow2') }),
      reopen(g1({ backing: null }, 'g0.qcow2')),
      reopen(g1({ backing: null, 'force-share': true, 'read-only': true })),
      reopen(g1({ backing: null, 'force-share': true })),
      reopen(g1({ backing: null, file: file('g1.qcow2', { locking: 'off' }) })),
    ],
  },
  {
    name: 'reopen: whether the cache of a file is dropped',
    prepare: ['truncate -s 64k a.raw'],
    steps: [true, false].flatMap((was) => [
      run('blockdev-add', file('a.raw', { 'node-name': 'f', 'drop-cache': was })),
      reopen(file('a.raw', { 'node-name': 'f', 'drop-cache': true })),
      reopen(file('a.raw', { 'node-name': 'f', 'drop-cache': false })),
      run('blockdev-del', { 'node-name': 'f' }),
    ]),
  },
  {
    name: 'reopen: options of qcow2 change',
    prepare: chain,
    steps: [
      node('g1', 'g1.qcow2'),
      reopen(
        g1({
          backing: null,
          'lazy-refcounts': true,
          'overlap-check': 'all',
          discard: 'unmap',
          'detect-zeroes': 'unmap',
        }),
      ),
      nodes,
      reopen(g1({ backing: null, 'cache-size': 1 })),
      reopen(g1({ backing: null, 'cache-size': 1, 'l2-cache-size': 2 })),
      reopen(g1({ backing: null, cache: { direct: false, 'no-flush': true } })),
      nodes,
    ],
    compare: ['g1.qcow2'],
  },
  {
    name: 'reopen: filters and raw',
    prepare: [...chain, 'qemu-img create -q -f raw r.raw 4M'],
    steps: [
      node('g1', 'g1.qcow2'),
      run('blockdev-add', { driver: 'file', 'node-name': 'f', filename: 'r.raw' }),
      run('blockdev-add', { driver: 'raw', 'node-name': 'r', file: 'f' }),
      run('blockdev-add', { driver: 'copy-on-read', 'node-name': 'c', file: 'r' }),
      reopen({ driver: 'copy-on-read', 'node-name': 'c', file: 'r' }),
      reopen({ driver: 'copy-on-read', 'node-name': 'c', file: 'f' }),
      reopen({ driver: 'raw', 'node-name': 'r', offset: 512, size: 1024, file: 'f' }),
      nodes,
      reopen({ driver: 'raw', 'node-name': 'r', offset: 51200000, file: 'f' }),
      reopen({ driver: 'raw', 'node-name': 'r', 'read-only': true, file: 'f' }),
      reopen({ driver: 'file', 'node-name': 'f', filename: 'r.raw', locking: 'off' }),
      reopen({ driver: 'file', 'node-name': 'f', filename: 'r.raw', 'read-only': true }),
      reopen({ driver: 'null-co', 'node-name': 'n' }),
      run('blockdev-add', { driver: 'null-co', 'node-name': 'n' }),
      run('blockdev-add', { driver: 'compress', 'node-name': 'cmp', file: 'g1' }),
      reopen({ driver: 'compress', 'node-name': 'cmp', file: 'g1' }),
      reopen({ driver: 'null-co', 'node-name': 'n', size: 4096 }),
      reopen({ driver: 'null-co' }),
    ],
  },
  {
    name: 'reopen: several nodes, all or none',
    prepare: ['qemu-img create -q -f qcow2 a.qcow2 4M', 'qemu-img create -q -f qcow2 b.qcow2 4M'],
    steps: [
      node('a', 'a.qcow2'),
      node('b', 'b.qcow2'),
      reopen(
        {
          driver: 'qcow2',
          'node-name': 'a',
          file: file('a.qcow2'),
          'read-only': true,
        },
        { driver: 'qcow2', 'node-name': 'b', file: file('a.qcow2') },
      ),
      nodes,
      reopen(
        {
          driver: 'qcow2',
          'node-name': 'a',
          file: file('a.qcow2'),
          'read-only': true,
        },
        {
          driver: 'qcow2',
          'node-name': 'b',
          file: file('b.qcow2'),
          discard: 'unmap',
        },
      ),
      nodes,
    ],
  },
];
