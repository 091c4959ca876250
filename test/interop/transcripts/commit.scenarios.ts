/** block-commit of layers in the middle of a chain, in every way to be asked for and to end. */
import {
  addLayers,
  addOnProtocol,
  finalizeThenDismiss,
  layers,
  pauseThenHurry,
  pending,
} from './job-setups.ts';
import { add, copied, del, file, gone, graph, nodes, run, type Scenario } from './scenario.ts';

const chain = [
  ...layers('0 2M', '1M 1M', '2M 1M', '3M 512k'),
  'qemu-img create -q -f qcow2 -o size=2M small.qcow2',
  'qemu-img create -q -f qcow2 -b small.qcow2 -F qcow2 big.qcow2 4M',
  'qemu-io -f qcow2 -c "write -P 5 3M 512k" big.qcow2',
  'qemu-img create -q -f qcow2 -b big.qcow2 -F qcow2 top.qcow2',
];
const top = addLayers(3);
const commit = (more: object) => run('block-commit', { 'job-id': 'j', device: 'n3', ...more });
const all = ['n0.qcow2', 'n3.qcow2'];

export const scenarios: readonly Scenario[] = [
  {
    name: 'commit: two layers into the base',
    prepare: chain,
    steps: [top, commit({ 'top-node': 'n2' }), gone('j'), nodes, graph],
    compare: all,
  },
  {
    name: 'commit: one layer into the next',
    prepare: chain,
    steps: [top, commit({ 'top-node': 'n2', 'base-node': 'n1' }), gone('j'), nodes],
    compare: ['n0.qcow2', 'n1.qcow2', 'n3.qcow2'],
  },
  {
    name: 'commit: by file names',
    prepare: chain,
    steps: [top, commit({ top: 'n2.qcow2', base: 'n0.qcow2' }), gone('j'), nodes],
    compare: all,
  },
  {
    name: 'commit: another name in the header',
    prepare: chain,
    steps: [top, commit({ 'top-node': 'n1', 'backing-file': './n0.qcow2' }), gone('j'), nodes],
    compare: all,
  },
  ...[true, false].map(
    (mask): Scenario => ({
      name: `commit: into a protocol, ${mask ? 'masked' : 'by its name'}`,
      prepare: [...chain, 'qemu-img create -q -f raw r.raw 4M'],
      steps: [
        ...addOnProtocol,
        commit({ 'top-node': 'n2', 'base-node': 'p', 'backing-mask-protocol': mask }),
        gone('j'),
        nodes,
      ],
    }),
  ),
  {
    name: 'commit: a base that has to grow',
    prepare: chain,
    steps: [
      add({
        driver: 'qcow2',
        'node-name': 'top',
        file: file('top.qcow2'),
        backing: {
          driver: 'qcow2',
          'node-name': 'big',
          file: file('big.qcow2'),
          backing: { driver: 'qcow2', 'node-name': 'small', file: file('small.qcow2') },
        },
      }),
      commit({ device: 'top', 'top-node': 'big' }),
      gone('j'),
    ],
    compare: ['top.qcow2', 'small.qcow2'],
  },
  {
    name: 'commit: arguments that are refused',
    prepare: chain,
    steps: [
      top,
      commit({ device: 'zz' }),
      commit({ device: 'n1' }),
      commit({ top: 'n2.qcow2', 'top-node': 'n2' }),
      commit({ base: 'n0.qcow2', 'base-node': 'n0' }),
      commit({ 'top-node': 'zz' }),
      commit({ 'base-node': 'zz' }),
      commit({ top: 'zz' }),
      commit({ 'top-node': 'n2', base: 'zz' }),
      commit({ 'top-node': 'n0' }),
      commit({ 'top-node': 'n1', 'base-node': 'n2' }),
      commit({ 'top-node': 'n1', 'base-node': 'n1' }),
      commit({ 'backing-file': 'x' }),
      commit({ 'top-node': 'n2', speed: -1 }),
      commit({ 'top-node': 'n2', 'job-id': '1x' }),
      run('block-commit', { device: 'n3', 'top-node': 'n2' }),
      commit({ 'top-node': 'n2', 'filter-node-name': 'n0' }),
      commit({ 'top-node': 'n2', 'on-error': 'zz' }),
      nodes,
      graph,
    ],
  },
  {
    name: 'commit: cancelled while it sleeps',
    prepare: chain,
    steps: [
      top,
      commit({ 'top-node': 'n2', speed: 65536, 'filter-node-name': 'f' }),
      copied('j', 1572864),
      graph,
      run('query-block-jobs'),
      commit({ 'job-id': 'k', 'top-node': 'n2' }),
      run('block-stream', { 'job-id': 'k', device: 'n3' }),
      del('n3'),
      run('block-job-cancel', { device: 'j' }),
      gone('j'),
      nodes,
      graph,
    ],
    compare: ['n3.qcow2'],
  },
  {
    name: 'commit: paused, resumed, and then at full speed',
    prepare: chain,
    steps: [top, commit({ 'top-node': 'n2', speed: 65536 }), copied('j', 1572864), ...pauseThenHurry],
    compare: all,
  },
  {
    name: 'commit: manual finalize and dismiss',
    prepare: chain,
    steps: [
      top,
      commit({ 'top-node': 'n2', 'auto-finalize': false, 'auto-dismiss': false }),
      ...finalizeThenDismiss,
    ],
  },
  {
    name: 'commit: cancelled while it waits to be finalized',
    prepare: chain,
    steps: [
      top,
      commit({ 'top-node': 'n2', 'auto-finalize': false }),
      pending,
      run('job-cancel', { id: 'j' }),
      gone('j'),
      nodes,
      graph,
    ],
    compare: ['n3.qcow2'],
  },
];
