/** block-stream in every way to be asked for and to end. */
import {
  addLayers,
  addOnProtocol,
  finalizeThenDismiss,
  layers,
  pauseThenHurry,
  pending,
} from './job-setups.ts';
import { copied, del, gone, graph, node, nodes, run, type Scenario } from './scenario.ts';

const chain = [...layers('0 2M', '1M 1M', '3M 512k', ''), 'qemu-img create -q -f raw r.raw 4M'];
const top = addLayers(3);
const stream = (more: object) => run('block-stream', { 'job-id': 'j', device: 'n3', ...more });
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
  ...[true, false].map(
    (mask): Scenario => ({
      name: `stream: down to a protocol, ${mask ? 'masked' : 'by its name'}`,
      prepare: chain,
      steps: [
        ...addOnProtocol,
        stream({ 'base-node': 'p', 'backing-mask-protocol': mask }),
        gone('j'),
        nodes,
      ],
    }),
  ),
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
      del('n3'),
      run('block-job-cancel', { device: 'j' }),
      gone('j'),
      graph,
    ],
    compare: all,
  },
  {
    name: 'stream: paused, resumed, and then at full speed',
    prepare: chain,
    steps: [top, stream({ speed: 65536 }), copied('j', 524288), ...pauseThenHurry],
    compare: all,
  },
  {
    name: 'stream: manual finalize and dismiss',
    prepare: chain,
    steps: [top, stream({ 'auto-finalize': false, 'auto-dismiss': false }), ...finalizeThenDismiss],
  },
  {
    name: 'stream: cancelled while it waits to be finalized',
    prepare: chain,
    steps: [
      top,
      stream({ 'auto-finalize': false }),
      pending,
      run('job-cancel', { id: 'j' }),
      gone('j'),
      graph,
    ],
    compare: all,
  },
  {
    name: 'stream: into a read-only node',
    prepare: chain,
    steps: [addLayers(3, { 'read-only': true }), stream({}), gone('j'), nodes],
    compare: all,
  },
];
