/** External snapshots, and the name of a backing file. */
import { node, nodes, run, type Scenario } from './scenario.ts';

const disk = ['qemu-img create -q -f qcow2 a.qcow2 4M', 'qemu-io -f qcow2 -c "write -P 1 0 1M" a.qcow2'];
const overlay = (name: string, filename: string, more: object = { backing: null }) =>
  node(name, filename, more);
const sync = (more: object) => run('blockdev-snapshot-sync', more);
const snapshot = (of: string, overlay: string) => run('blockdev-snapshot', { node: of, overlay });

export const scenarios: readonly Scenario[] = [
  {
    name: 'snapshot-sync: makes the overlay, which can be snapshot again',
    prepare: disk,
    steps: [
      node('a', 'a.qcow2'),
      run('blockdev-add', { driver: 'raw', 'node-name': 'user', file: 'a' }),
      sync({ 'node-name': 'a', 'snapshot-file': 'o1.qcow2', 'snapshot-node-name': 'o1' }),
      nodes,
      sync({ 'node-name': 'o1', 'snapshot-file': 'o2.qcow2', 'snapshot-node-name': 'o2', format: 'qcow2' }),
      nodes,
      run('blockdev-del', { 'node-name': 'a' }),
      run('blockdev-del', { 'node-name': 'o1' }),
      run('blockdev-del', { 'node-name': 'o2' }),
    ],
    compare: ['o1.qcow2', 'o2.qcow2', 'a.qcow2'],
  },
  {
    name: 'snapshot-sync: everything that is wrong with its arguments',
    prepare: [...disk, 'qemu-img create -q -f qcow2 e.qcow2 1M'],
    steps: [
      node('a', 'a.qcow2'),
      node('e', 'e.qcow2', { 'read-only': true }),
      sync({ 'snapshot-file': 'o1.qcow2' }),
      sync({ device: 'zz', 'snapshot-file': 'o1.qcow2' }),
      sync({ 'node-name': 'zz', 'snapshot-file': 'o1.qcow2' }),
      sync({ 'node-name': 'a', 'snapshot-file': 'o1.qcow2' }),
      sync({ 'node-name': 'a', 'snapshot-file': 'o1.qcow2', 'snapshot-node-name': 'e' }),
      sync({ 'node-name': 'a', 'snapshot-file': 'o1.qcow2', 'snapshot-node-name': '1x' }),
      sync({ 'node-name': 'a', 'snapshot-file': 'o1.raw', 'snapshot-node-name': 'o', format: 'raw' }),
      sync({ 'node-name': 'a', 'snapshot-file': '/nonexistent/o', 'snapshot-node-name': 'o' }),
      sync({ 'node-name': 'a', 'snapshot-file': 'o2.qcow2', 'snapshot-node-name': 'o', format: 'zz' }),
      sync({ 'node-name': 'a', 'snapshot-file': 'none.qcow2', 'snapshot-node-name': 'o', mode: 'existing' }),
      sync({ 'node-name': 'a', 'snapshot-file': 'e.qcow2', 'snapshot-node-name': 'o', mode: 'existing' }),
      nodes,
    ],
  },
  {
    name: 'snapshot: an overlay that was added for it',
    prepare: [...disk, 'qemu-img create -q -f qcow2 -b a.qcow2 -F qcow2 o.qcow2'],
    steps: [node('a', 'a.qcow2'), overlay('o', 'o.qcow2'), snapshot('a', 'o'), nodes],
    compare: ['o.qcow2', 'a.qcow2'],
  },
  {
    name: 'snapshot: overlays that cannot be',
    prepare: [
      ...disk,
      'qemu-img create -q -f qcow2 -b a.qcow2 -F qcow2 o.qcow2',
      'qemu-img create -q -f raw r.raw 4M',
      'qemu-img create -q -f qcow2 b.qcow2 4M',
      'qemu-img create -q -f qcow2 -b b.qcow2 -F qcow2 c.qcow2',
    ],
    steps: [
      node('a', 'a.qcow2'),
      overlay('r', 'r.raw', {}),
      overlay('c', 'c.qcow2', {}),
      overlay('b', 'b.qcow2', { 'read-only': true, 'force-share': true }),
      overlay('o', 'o.qcow2'),
      run('blockdev-add', { driver: 'raw', 'node-name': 'onb', file: 'o' }),
      snapshot('a', 'r'),
      snapshot('a', 'c'),
      snapshot('a', 'zz'),
      snapshot('zz', 'o'),
      snapshot('a', 'onb'),
      snapshot('a', 'o'),
      nodes,
    ],
  },
  {
    name: 'snapshot: undone by a later action that fails',
    prepare: [...disk, 'qemu-img create -q -f qcow2 -b a.qcow2 -F qcow2 o.qcow2'],
    steps: [
      node('a', 'a.qcow2'),
      overlay('o', 'o.qcow2'),
      run('transaction', {
        actions: [
          { type: 'blockdev-snapshot', data: { node: 'a', overlay: 'o' } },
          { type: 'abort', data: {} },
        ],
      }),
      nodes,
      run('transaction', {
        actions: [
          { type: 'blockdev-snapshot', data: { node: 'a', overlay: 'o' } },
          { type: 'blockdev-snapshot', data: { node: 'a', overlay: 'o' } },
        ],
      }),
      nodes,
      run('transaction', {
        actions: [{ type: 'blockdev-snapshot', data: { node: 'a', overlay: 'o' } }],
        properties: { 'completion-mode': 'grouped' },
      }),
    ],
  },
  {
    name: 'snapshot-sync: several disks in one transaction',
    prepare: [...disk, 'qemu-img create -q -f qcow2 b.qcow2 4M'],
    steps: [
      node('a', 'a.qcow2'),
      node('b', 'b.qcow2'),
      run('transaction', {
        actions: [
          {
            type: 'blockdev-snapshot-sync',
            data: { 'node-name': 'a', 'snapshot-file': 'oa.qcow2', 'snapshot-node-name': 'oa' },
          },
          {
            type: 'blockdev-snapshot-sync',
            data: { 'node-name': 'b', 'snapshot-file': 'ob.qcow2', 'snapshot-node-name': 'ob' },
          },
        ],
      }),
      nodes,
    ],
    compare: ['oa.qcow2', 'ob.qcow2'],
  },
  {
    name: 'change-backing-file: rewrites the header',
    prepare: [
      ...disk,
      'qemu-img create -q -f qcow2 -b a.qcow2 -F qcow2 b.qcow2',
      'qemu-img create -q -f qcow2 -b b.qcow2 -F qcow2 c.qcow2',
      'cp a.qcow2 x.qcow2',
    ],
    steps: [
      node('c', 'c.qcow2'),
      node('a2', 'x.qcow2'),
      run('change-backing-file', { device: 'zz', 'image-node-name': 'c', 'backing-file': 'b.qcow2' }),
      run('change-backing-file', { device: 'c', 'image-node-name': 'zz', 'backing-file': 'b.qcow2' }),
      run('change-backing-file', { device: 'c', 'image-node-name': 'a2', 'backing-file': 'b.qcow2' }),
      run('change-backing-file', { device: 'a2', 'image-node-name': 'c', 'backing-file': 'b.qcow2' }),
      run('change-backing-file', { device: 'c', 'image-node-name': 'c', 'backing-file': 'x.qcow2' }),
      run('change-backing-file', { device: 'c', 'image-node-name': 'c', 'backing-file': 'x'.repeat(1100) }),
      nodes,
    ],
    compare: ['c.qcow2'],
  },
];
