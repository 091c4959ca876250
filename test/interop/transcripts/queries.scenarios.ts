/** What queries show of graphs in many shapes. */
import type { Message } from '../../support/qmp-sessions.ts';
import { add, addNull, gone, graph, node, nodes, run, type Scenario, status } from './scenario.ts';

const everything = [
  run('query-named-block-nodes'),
  nodes,
  run('query-block'),
  run('query-blockstats'),
  run('query-blockstats', { 'query-nodes': true }),
  graph,
];
const chain = [
  'qemu-img create -q -f qcow2 base.qcow2 4M',
  'qemu-io -f qcow2 -c "write -P 1 0 1M" base.qcow2',
  'qemu-img create -q -f qcow2 -b base.qcow2 -F qcow2 mid.qcow2',
  'qemu-img create -q -f qcow2 -b mid.qcow2 -F qcow2 top.qcow2',
  'qemu-img create -q -f raw r.raw 3M',
  'qemu-img create -q -f qcow2 t.qcow2 4M',
];

/** The chardev of the session itself has a name of its own; the others are in no order. */
function withoutOwnMonitor(message: Message): Message {
  const list = message.return;
  if (!Array.isArray(list)) return message;
  const isOurs = (one: unknown): boolean => !/"(compat_monitor\d+|qmp)"/.test(JSON.stringify(one));
  return { return: list.filter(isOurs).sort((a, b) => (JSON.stringify(a) < JSON.stringify(b) ? -1 : 1)) };
}

/** Lists of what there is have no order; what a host's accelerator lacks is its own affair. */
function unordered(message: Message): Message {
  const { return: list } = message;
  if (!Array.isArray(list)) return message;
  const lines = list.map((one) =>
    JSON.stringify(one, (key, value: unknown) => (key === 'unavailable-features' ? [] : value)),
  );
  return { return: lines.sort() };
}

/** Asked of any machine. */
const ofMachines = [
  run('query-acpi-ospm-status'),
  run('query-cpu-definitions'),
  run('query-machines'),
  run('query-memdev'),
  run('query-memory-size-summary'),
  run('query-migrate'),
  run('query-migrate-capabilities'),
  run('query-migrate-parameters'),
  run('query-sev'),
  run('query-sev-attestation-report', { mnonce: 'x' }),
  run('query-sev-capabilities'),
  run('query-sev-launch-measure'),
  ...[
    'query-rocker',
    'query-rocker-ports',
    'query-rocker-of-dpa-flows',
    'query-rocker-of-dpa-groups',
  ].flatMap((name) => [run(name), run(name, { name: 'r' })]),
];

export const scenarios: readonly Scenario[] = [
  { name: 'queries: an empty graph', steps: everything },
  { name: 'queries: a chain', prepare: chain, steps: [node('top', 'top.qcow2'), ...everything] },
  {
    name: 'queries: raw, windows of raw, and null',
    prepare: chain,
    steps: [
      node('r', 'r.raw'),
      add({ driver: 'raw', 'node-name': 'w', offset: 512, size: 1024, file: 'r' }),
      addNull('n', { size: 65536, 'read-zeroes': true }),
      addNull('n2'),
      ...everything,
    ],
  },
  {
    name: 'queries: a backing file of another kind, or none',
    prepare: chain,
    steps: [
      node('t1', 'top.qcow2', { backing: null, discard: 'unmap', 'detect-zeroes': 'unmap' }),
      addNull('nul', { size: 4194304, 'read-only': true }),
      node('m', 'mid.qcow2', { backing: 'nul', cache: { direct: false, 'no-flush': true } }),
      ...everything,
    ],
  },
  {
    name: 'queries: while a backup runs',
    prepare: chain,
    steps: [
      node('top', 'top.qcow2'),
      node('t', 't.qcow2'),
      run('blockdev-backup', {
        'job-id': 'j',
        device: 'top',
        target: 't',
        sync: 'none',
        'filter-node-name': 'filter',
      }),
      nodes,
      graph,
      run('query-jobs'),
      run('block-job-cancel', { device: 'j' }),
      gone('j'),
      graph,
    ],
  },
  {
    name: 'queries: write thresholds',
    prepare: chain,
    // The job may write before the command that starts it is answered.
    comesAnyTime: 'BLOCK_WRITE_THRESHOLD',
    // The size of a job's requests is its own affair.
    normalise: ({ data, ...message }) =>
      data === undefined ? message : { ...message, data: { ...data, 'amount-exceeded': 0 } },
    steps: [
      node('t', 't.qcow2'),
      node('r', 'top.qcow2', { 'read-only': true }),
      run('block-set-write-threshold', { 'node-name': 'zz', 'write-threshold': 1 }),
      run('block-set-write-threshold', { 'node-name': 't', 'write-threshold': 65536 }),
      nodes,
      run('blockdev-backup', {
        'job-id': 'j',
        device: 'r',
        target: 't',
        sync: 'full',
        'auto-dismiss': false,
      }),
      status('j', 'concluded'),
      run('job-dismiss', { id: 'j' }),
      nodes,
      run('block-set-write-threshold', { 'node-name': 't', 'write-threshold': 0 }),
    ],
  },
  {
    name: 'queries: about what the machine does not have',
    program: 'system',
    options: ['-machine', 'none'],
    steps: [
      'query-acpi-ospm-status',
      'query-audiodevs',
      'query-balloon',
      'query-block-exports',
      'query-colo-status',
      'query-cpus-fast',
      'query-cryptodev',
      'query-current-machine',
      'query-dirty-rate',
      'query-display-options',
      'query-dump',
      'query-fdsets',
      'query-hotpluggable-cpus',
      'query-hv-balloon-status-report',
      'query-iothreads',
      'query-memdev',
      'query-memory-devices',
      'query-memory-size-summary',
      'query-mice',
      'query-migrate',
      'query-migrationthreads',
      'query-pci',
      'query-pr-managers',
      'query-replay',
      'query-rx-filter',
      'query-spice',
      'query-target',
      'query-tpm',
      'query-vcpu-dirty-limit',
      'query-vm-generation-id',
      'query-vnc',
      'query-vnc-servers',
      'query-xen-replication-status',
      'query-yank',
    ].map((name) => run(name)),
  },
  ...['none', 'q35', 'pc'].map(
    (type): Scenario => ({
      name: `queries: about a machine of type ${type}`,
      program: 'system',
      options: ['-machine', type, '-S'],
      normalise: unordered,
      steps: ofMachines,
    }),
  ),
  ...['q35', 'pc'].map(
    (type): Scenario => ({
      name: `queries: what every machine of type ${type} has`,
      program: 'system',
      options: ['-machine', type, '-S', '-nodefaults'],
      steps: [run('query-mice'), run('query-current-machine'), run('query-pci')],
    }),
  ),
  {
    name: 'queries: PCI devices that come and go',
    program: 'system',
    options: [
      ...['-machine', 'pc', '-S', '-nodefaults', '-blockdev', 'null-co,node-name=n'],
      ...['-device', 'virtio-scsi-pci,addr=9.1', '-device', 'virtio-blk-pci,drive=n,id=v,addr=5'],
    ],
    steps: [
      run('query-pci'),
      run('device_add', { driver: 'virtio-scsi-pci', id: 's' }),
      run('query-pci'),
      run('device_del', { id: 's' }),
      run('query-pci'),
    ],
  },
  ...(['system', 'storage-daemon'] as const).map(
    (program): Scenario => ({
      name: `queries: chardevs of ${program}`,
      program,
      options: [
        ...(program === 'system' ? ['-machine', 'none'] : []),
        ...['--chardev', 'socket,id=a,path=a.sock,server=on,wait=off,telnet=on'],
        ...['--chardev', 'null,id=b', '--chardev', 'file,id=c,path=out,logfile=log'],
        ...[
          '--chardev',
          'socket,id=d,path=a.sock',
          '--chardev',
          'socket,id=e,path=b.sock,server=on,wait=off',
        ],
      ],
      normalise: withoutOwnMonitor,
      steps: [run('query-chardev'), run('query-chardev-backends')],
    }),
  ),
  {
    name: 'queries: about a machine with memory of a given size',
    program: 'system',
    options: ['-machine', 'q35', '-S', '-m', 'size=1000001k,slots=2,maxmem=2G', '-cpu', 'Haswell-IBRS'],
    normalise: unordered,
    steps: [run('query-memdev'), run('query-memory-size-summary')],
  },
];
