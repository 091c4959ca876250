/** Nodes that are inactive: how they become so, what they refuse, and what follows for those above and below. */
import { source, target } from './job-setups.ts';
import { add, del, file, node, nodes, reopen, run, type Scenario } from './scenario.ts';

const disks = [
  'qemu-img create -q -f qcow2 a.qcow2 4M',
  'qemu-img create -q -f qcow2 t.qcow2 4M',
  'qemu-img create -q -f qcow2 -b a.qcow2 -F qcow2 over.qcow2',
  'qemu-img create -q -f raw r.raw 4M',
];
const setActive = (name: string | undefined, active: boolean) =>
  run('blockdev-set-active', name === undefined ? { active } : { 'node-name': name, active });
const above = (name: string, of: string, more: object = {}) =>
  add({ driver: 'raw', 'node-name': name, file: of, ...more });

function bitmapsOf(info: Record<string, unknown>): object {
  return { node: info['node-name'], active: info['active'], bitmaps: info['dirty-bitmaps'] };
}

export const scenarios: readonly Scenario[] = [
  {
    name: 'activity: opened inactive',
    prepare: disks,
    steps: [
      node('o', 'over.qcow2', { active: false, backing: { driver: 'qcow2', file: file('a.qcow2') } }),
      nodes,
      above('x', 'o'),
      above('x', 'o', { active: true }),
      above('x', 'o', { active: false }),
      nodes,
      setActive('x', true),
      nodes,
      setActive('o', false),
      setActive('x', false),
      nodes,
      del('x'),
      del('o'),
    ],
  },
  {
    name: 'activity: set for one node, and for all',
    prepare: disks,
    steps: [
      source,
      target,
      setActive('zz', true),
      setActive('a', true),
      setActive('a', false),
      setActive('a', false),
      nodes,
      setActive(undefined, true),
      nodes,
      setActive(undefined, false),
      nodes,
      setActive(undefined, true),
    ],
  },
  {
    name: 'activity: what an inactive node refuses',
    prepare: disks,
    steps: [
      node('a', 'a.qcow2', { active: false }),
      target,
      run('block_resize', { 'node-name': 'a', size: 8 << 20 }),
      run('blockdev-backup', { 'job-id': 'j', device: 'a', target: 't', sync: 'full' }),
      run('blockdev-backup', { 'job-id': 'j', device: 't', target: 'a', sync: 'full' }),
      run('block-stream', { 'job-id': 'j', device: 'a' }),
      reopen({ driver: 'qcow2', 'node-name': 't', file: file('t.qcow2'), active: false }),
      run('blockdev-snapshot', { node: 'a', overlay: 't' }),
      nodes,
    ],
  },
  {
    name: 'activity: bitmaps are stored and loaded again',
    prepare: disks,
    steps: [
      source,
      run('block-dirty-bitmap-add', { node: 'a', name: 'kept', persistent: true }),
      run('block-dirty-bitmap-add', { node: 'a', name: 'other' }),
      setActive('a', false),
      nodes,
      setActive('a', true),
      nodes,
    ],
    compare: ['a.qcow2'],
    // How long the file became is for each to say.
    normalise: (message) =>
      Array.isArray(message.return) ? { return: message.return.map(bitmapsOf) } : message,
  },
];
