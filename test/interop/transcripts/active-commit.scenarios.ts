/** Commits of the active layer, in every way to be asked for and to end; and what block-commit refuses. */
import { cancels, complete, jobs, pending, ready } from './job-setups.ts';
import { copied, del, gone, graph, node, nodes, run, type Scenario, status } from './scenario.ts';

const disks = [
  'qemu-img create -q -f qcow2 base.qcow2 3M',
  'qemu-io -f qcow2 -c "write -P 1 0 1M" base.qcow2',
  'qemu-img create -q -f qcow2 -b base.qcow2 -F qcow2 mid.qcow2 4M',
  'qemu-io -f qcow2 -c "write -P 2 1M 1M" mid.qcow2',
  'qemu-img create -q -f qcow2 -b mid.qcow2 -F qcow2 top.qcow2',
  'qemu-io -f qcow2 -c "write -P 3 1536k 256k" -c "write -z 0 64k" -c "write -P 4 3968k 128k" top.qcow2',
  'qemu-img create -q -f qcow2 other.qcow2 4M',
];
const base = node('base', 'base.qcow2', { 'read-only': true, backing: null });
const mid = node('mid', 'mid.qcow2', { 'read-only': true, backing: 'base' });
const top = node('top', 'top.qcow2', { backing: 'mid' });
const chain = [base, mid, top];
const commit = (more: object = {}) => run('block-commit', { 'job-id': 'j', device: 'top', ...more });
const compare = ['base.qcow2', 'mid.qcow2', 'top.qcow2'];

export const scenarios: readonly Scenario[] = [
  {
    name: 'active commit: to the bottom',
    prepare: disks,
    steps: [...chain, commit(), ready, ...jobs, nodes, graph, complete, gone('j'), ...jobs, nodes, graph],
    compare,
  },
  {
    name: 'active commit: to the middle',
    prepare: disks,
    steps: [...chain, commit({ 'base-node': 'mid' }), ready, nodes, graph, complete, gone('j'), nodes, graph],
    compare,
  },
  {
    name: 'active commit: an own chain, by file names, with a named filter',
    prepare: disks,
    steps: [
      node('top', 'top.qcow2'),
      commit({ base: 'mid.qcow2', top: 'top.qcow2', 'filter-node-name': 'filter' }),
      ready,
      run('query-named-block-nodes', {}),
      complete,
      gone('j'),
      run('query-named-block-nodes', {}),
    ],
    compare,
  },
  ...cancels.flatMap(({ name, cancel }): Scenario[] => [
    {
      name: `active commit: cancelled ${name} when ready`,
      prepare: disks,
      steps: [...chain, commit(), ready, cancel, gone('j'), nodes, graph],
      compare,
    },
    {
      name: `active commit: cancelled ${name} before it is ready`,
      prepare: disks,
      steps: [...chain, commit({ speed: 65536 }), copied('j', 65536), complete, cancel, gone('j'), nodes],
    },
  ]),
  {
    name: 'active commit: manual finalize and dismiss',
    prepare: disks,
    steps: [
      ...chain,
      commit({ 'auto-finalize': false, 'auto-dismiss': false, 'on-error': 'stop' }),
      ready,
      complete,
      pending,
      ...jobs,
      run('block-job-finalize', { id: 'j' }),
      status('j', 'concluded'),
      ...jobs,
      run('block-job-dismiss', { id: 'j' }),
      nodes,
    ],
    compare,
  },
  {
    name: 'active commit: what its nodes refuse meanwhile',
    prepare: disks,
    steps: [
      ...chain,
      node('other', 'other.qcow2'),
      commit(),
      ready,
      commit({ 'job-id': 'k' }),
      commit({ 'job-id': 'k', device: 'mid' }),
      run('blockdev-mirror', { 'job-id': 'k', device: 'other', target: 'mid', sync: 'full' }),
      run('blockdev-mirror', { 'job-id': 'k', device: 'other', target: 'base', sync: 'full' }),
      ...['top', 'mid', 'base'].map(del),
      run('blockdev-snapshot', { node: 'mid', overlay: 'other' }),
      complete,
      gone('j'),
      ...['top', 'mid', 'base'].map(del),
    ],
    compare,
  },
  {
    name: 'active commit: what block-commit refuses',
    prepare: disks,
    steps: [
      ...chain,
      node('other', 'other.qcow2'),
      run('block-commit', { device: 'top' }),
      commit({ device: 'zz' }),
      commit({ device: 'mid' }),
      commit({ 'job-id': '1c' }),
      commit({ top: 'a', 'top-node': 'b' }),
      commit({ base: 'a', 'base-node': 'b' }),
      commit({ 'top-node': 'zz' }),
      commit({ 'base-node': 'zz' }),
      commit({ 'top-node': 'other' }),
      commit({ 'base-node': 'other' }),
      commit({ 'top-node': 'base', 'base-node': 'mid' }),
      commit({ top: 'zz' }),
      commit({ base: 'zz' }),
      commit({ base: 'top.qcow2' }),
      commit({ 'base-node': 'top' }),
      commit({ 'top-node': 'mid', 'base-node': 'mid' }),
      commit({ device: 'other' }),
      commit({ 'backing-file': 'x' }),
      commit({ 'on-error': 'x' }),
      commit({ speed: -1 }),
      commit({ 'filter-node-name': 'mid' }),
      commit({ 'filter-node-name': '1x' }),
      ...jobs,
      nodes,
    ],
  },
];
