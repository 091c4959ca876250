/** block-stream in every way to be asked for and to end. */
import { copied, event, gone, node, run, type Scenario, status } from './scenario.ts';

const chain = [
  'qemu-img create -q -f qcow2 n0.qcow2 4M',
  'qemu-io -f qcow2 -c "write -P 1 0 2M" n0.qcow2',
  'qemu-img create -q -f qcow2 -b n0.qcow2 -F qcow2 n1.qcow2',
  'qemu-io -f qcow2 -c "write -P 2 1M 1M" n1.qcow2',
  'qemu-img create -q -f qcow2 -b n1.qcow2 -F qcow2 n2.qcow2',
  'qemu-io -f qcow2 -c "write -P 3 3M 512k" n2.qcow2',
  'qemu-img create -q -f qcow2 -b n2.qcow2 -F qcow2 n3.qcow2',
  'qemu-img create -q -f raw r.raw 4M',
];
const file = (filename: string) => ({ driver: 'file', filename });
const nested = (n: number): object => ({
  driver: 'qcow2',
  'node-name': `n${n}`,
  file: file(`n${n}.qcow2`),
  ...(n > 0 ? { backing: nested(n - 1) } : {}),
});
const top = run('blockdev-add', nested(3));
const stream = (more: object) => run('block-stream', { 'job-id': 'j', device: 'n3', ...more });
const nodes = run('query-named-block-nodes', { flat: true });
const graph = run('x-debug-query-block-graph');
const all = ['n0.qcow2', 'n1.qcow2', 'n2.qcow2', 'n3.qcow2'];

export const scenarios: readonly Scenario[] = [
  {
    name: 'stream: the whole chain',
    prepare: chain,
    steps: [top, stream({}), gone('j'), nodes, graph],
    compare: all,
  },
  {
    name: 'stream: down to a base by node name',
    prepare: chain,
    steps: [top, stream({ 'base-node': 'n0' }), gone('j'), nodes],
    compare: all,
  },
  {
    name: 'stream: down to a base by file name',
    prepare: chain,
    steps: [top, stream({ base: 'n1.qcow2' }), gone('j'), nodes],
    compare: all,
  },
  {
    name: 'stream: down to a bottom',
    prepare: chain,
    steps: [top, stream({ bottom: 'n2' }), gone('j'), nodes],
    compare: all,
  },
  {
    name: 'stream: into the middle of a chain',
    prepare: chain,
    steps: [top, stream({ device: 'n2' }), gone('j'), nodes],
    compare: all,
  },
  {
    name: 'stream: another name in the header',
    prepare: chain,
    steps: [top, stream({ 'base-node': 'n1', 'backing-file': './n1.qcow2' }), gone('j'), nodes],
    compare: all,
  },
  {
    name: 'stream: nothing to stream',
    prepare: chain,
    steps: [node('a', 'n0.qcow2'), stream({ device: 'a' }), gone('j'), nodes],
  },
  {
    name: 'stream: arguments that are refused',
    prepare: chain,
    steps: [
      top,
      node('r', 'r.raw'),
      stream({ device: 'zz' }),
      stream({ base: 'n0.qcow2', 'base-node': 'n0' }),
      stream({ base: 'n0.qcow2', bottom: 'n0' }),
      stream({ bottom: 'n0', 'base-node': 'n0' }),
      stream({ base: 'zz.qcow2' }),
      stream({ 'base-node': 'zz' }),
      stream({ 'base-node': 'n3' }),
      stream({ 'base-node': 'r' }),
      stream({ bottom: 'zz' }),
      stream({ bottom: 'r' }),
      stream({ 'backing-file': 'x' }),
      stream({ speed: -1 }),
      stream({ 'job-id': '1x' }),
      run('block-stream', { device: 'n3' }),
      stream({ 'filter-node-name': 'n0' }),
      stream({ 'on-error': 'zz' }),
      nodes,
    ],
  },
  {
    name: 'stream: cancelled while it sleeps',
    prepare: chain,
    steps: [
      top,
      stream({ speed: 65536, 'filter-node-name': 'f' }),
      copied('j', 524288),
      graph,
      run('query-block-jobs'),
      stream({ 'job-id': 'k' }),
      stream({ 'job-id': 'k', device: 'n2' }),
      run('blockdev-del', { 'node-name': 'n3' }),
      run('block-job-cancel', { device: 'j' }),
      gone('j'),
      graph,
    ],
    compare: all,
  },
  {
    name: 'stream: paused, resumed, and then at full speed',
    prepare: chain,
    steps: [
      top,
      stream({ speed: 65536 }),
      copied('j', 524288),
      run('job-pause', { id: 'j' }),
      run('query-jobs'),
      run('job-complete', { id: 'j' }),
      run('block-job-set-speed', { device: 'j', speed: 0 }),
      run('job-resume', { id: 'j' }),
      gone('j'),
    ],
    compare: all,
  },
  {
    name: 'stream: manual finalize and dismiss',
    prepare: chain,
    steps: [
      top,
      stream({ 'auto-finalize': false, 'auto-dismiss': false }),
      event('BLOCK_JOB_PENDING'),
      run('query-jobs'),
      nodes,
      run('job-finalize', { id: 'j' }),
      status('j', 'concluded'),
      run('job-dismiss', { id: 'j' }),
      nodes,
    ],
  },
  {
    name: 'stream: cancelled while it waits to be finalized',
    prepare: chain,
    steps: [
      top,
      stream({ 'auto-finalize': false }),
      event('BLOCK_JOB_PENDING'),
      run('job-cancel', { id: 'j' }),
      gone('j'),
      graph,
    ],
    compare: all,
  },
  {
    name: 'stream: into a read-only node',
    prepare: chain,
    steps: [run('blockdev-add', { ...nested(3), 'read-only': true }), stream({}), gone('j'), nodes],
    compare: all,
  },
];
