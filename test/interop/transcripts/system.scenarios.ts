/** A machine: its run states, drives, trays and media, devices that come and go, jobs on drives, and its end. */
import type { Message } from '../../support/qmp-sessions.ts';
import { addNull, event, gone, graph, run, type Scenario } from './scenario.ts';

const cd = '/machine/unattached/device[5]';
const hd = '/machine/unattached/device[4]';
const get = (path: string, ...properties: readonly string[]): Message[] =>
  properties.map((property) => run('qom-get', { path, property }));

const images = [
  'qemu-img create -q -f qcow2 a.qcow2 4M',
  'qemu-img create -q -f raw b.raw 1M',
  'qemu-img create -q -f raw c.raw 1M',
];
const machine = (more: Omit<Scenario, 'program' | 'prepare'>): Scenario => ({
  program: 'system',
  prepare: images,
  ...more,
  name: `machine: ${more.name}`,
  options: ['-S', ...(more.options ?? [])],
});

const drives = ['-hda', 'a.qcow2', '-drive', 'media=cdrom,file=b.raw,format=raw'];
const floppy = ['-drive', 'if=floppy,file=c.raw,format=raw'];
const withMedia = [...drives, ...floppy];
const devices = [
  ...['-drive', 'if=none,id=d,file=a.qcow2', '-device', 'virtio-blk-pci,drive=d,id=v'],
  ...[
    '-blockdev',
    'null-co,node-name=n',
    '-device',
    'virtio-scsi-pci,id=s',
    '-device',
    'scsi-hd,drive=n,id=h',
  ],
  ...['-drive', 'if=none,id=c', '-device', 'ide-cd,drive=c,id=cd', '-device', 'scsi-cd,id=c2'],
  ...['-device', 'floppy,id=f', '-drive', 'if=virtio,file=b.raw,format=raw'],
];

const getTrace = (args: object): Message => run('trace-event-get-state', args);
const setTrace = (args: object): Message => run('trace-event-set-state', args);

const described: readonly Omit<Scenario, 'program' | 'prepare'>[] = [
  {
    name: 'what is watched',
    options: ['-machine', 'none'],
    steps: [
      // The one event that both have.
      getTrace({ name: 'job_state_transition' }),
      setTrace({ name: 'job_state_transition', enable: true }),
      getTrace({ name: 'job_state_trans*' }),
      setTrace({ name: 'job?state_transition', enable: false, 'ignore-unavailable': true }),
      getTrace({ name: 'job_state_transition' }),
      getTrace({ name: 'nosuch' }),
      getTrace({ name: 'nosuch*' }),
      getTrace({ name: '' }),
      getTrace({ name: 'JOB_STATE_TRANSITION' }),
      getTrace({ name: '-job_state_transition' }),
      getTrace({}),
      getTrace({ name: 'nosuch', more: 1 }),
      getTrace({ name: 'job_state_transition', vcpu: 0 }),
      getTrace({ name: 'nosuch', vcpu: -1 }),
      setTrace({ name: 'nosuch', enable: true }),
      setTrace({ name: 'nosuch', enable: true, 'ignore-unavailable': true }),
      setTrace({ name: 'nosuch*', enable: true }),
      setTrace({ name: 'job_state_transition' }),
      setTrace({ name: 'nosuch', enable: true, vcpu: 1 }),
    ],
  },
  {
    name: 'run states',
    options: ['-machine', 'none', '-name', 'foo', '-uuid', '00000000-0000-0000-0000-0000000000AB'],
    steps: [
      run('query-status'),
      run('stop'),
      run('query-status'),
      run('cont'),
      run('cont'),
      run('query-status'),
      run('stop'),
      run('stop'),
      run('query-status'),
      run('query-name'),
      run('query-uuid'),
      run('query-iothreads'),
      run('query-command-line-options', { option: 'zz' }),
      run('query-command-line-options', { option: 'device' }),
      run('query-command-line-options', { option: 'trace' }),
      run('system_reset'),
      run('system_powerdown'),
    ],
  },
  { name: 'drives of the machine', options: withMedia, steps: [run('query-block'), run('query-blockstats')] },
  {
    name: 'drives of an empty machine',
    options: ['-machine', 'none', '-hda', 'a.qcow2', '-drive', 'if=none,id=e', '-cdrom', 'b.raw'],
    steps: [run('query-block')],
  },
  {
    name: 'a floppy drive',
    options: withMedia,
    steps: [
      run('blockdev-open-tray', { device: 'floppy0' }),
      run('blockdev-close-tray', { device: 'floppy0' }),
      run('eject', { device: 'floppy0' }),
      run('query-block'),
      run('blockdev-change-medium', { device: 'floppy0', filename: 'c.raw', format: 'raw' }),
      run('query-block'),
    ],
  },
  {
    name: 'a hard disk is no removable drive',
    options: withMedia,
    steps: [
      run('blockdev-open-tray', { device: 'ide0-hd0' }),
      run('blockdev-close-tray', { device: 'ide0-hd0' }),
      run('eject', { device: 'ide0-hd0' }),
      run('blockdev-change-medium', { device: 'ide0-hd0', filename: 'b.raw', format: 'raw' }),
      addNull('n'),
      run('blockdev-remove-medium', { id: hd }),
      run('blockdev-insert-medium', { id: hd, 'node-name': 'n' }),
    ],
  },
  {
    name: 'the tray of a CD drive',
    options: withMedia,
    steps: [
      run('blockdev-open-tray', { device: 'ide0-cd1' }),
      run('blockdev-open-tray', { device: 'ide0-cd1' }),
      run('query-block'),
      run('blockdev-close-tray', { device: 'ide0-cd1' }),
      run('blockdev-close-tray', { device: 'ide0-cd1' }),
      run('eject', { device: 'ide0-cd1' }),
      run('eject', { device: 'ide0-cd1' }),
      run('blockdev-remove-medium', { id: 'ide0-cd1' }),
      run('blockdev-change-medium', { device: 'ide0-cd1', filename: 'b.raw', format: 'raw' }),
      run('blockdev-change-medium', { device: 'ide0-cd1', filename: 'nonex' }),
      run('blockdev-change-medium', {
        device: 'ide0-cd1',
        filename: 'b.raw',
        format: 'raw',
        'read-only-mode': 'read-write',
      }),
      run('query-block'),
      run('eject', {}),
      run('eject', { device: 'zz' }),
      run('eject', { id: 'zz' }),
    ],
  },
  {
    name: 'media that are nodes',
    options: withMedia,
    steps: [
      addNull('n'),
      run('blockdev-insert-medium', { id: cd, 'node-name': 'n' }),
      run('blockdev-insert-medium', { id: cd, 'node-name': 'zz' }),
      run('blockdev-remove-medium', { id: cd }),
      run('blockdev-open-tray', { id: cd }),
      run('blockdev-insert-medium', { id: cd, 'node-name': 'n' }),
      run('blockdev-remove-medium', { id: cd }),
      run('blockdev-remove-medium', { id: cd }),
      run('blockdev-insert-medium', { id: cd, 'node-name': 'n' }),
      run('blockdev-insert-medium', { id: cd, 'node-name': 'n' }),
      run('blockdev-close-tray', { id: cd }),
      run('blockdev-del', { 'node-name': 'n' }),
      run('query-block'),
      run('query-blockstats'),
    ],
  },
  {
    name: 'read-only media',
    options: devices,
    steps: [
      addNull('ro', { 'read-only': true }),
      addNull('rw'),
      run('blockdev-open-tray', { id: 'c2' }),
      run('blockdev-insert-medium', { id: 'c2', 'node-name': 'ro' }),
      run('blockdev-insert-medium', { id: 'f', 'node-name': 'ro' }),
      run('blockdev-insert-medium', { id: 'f', 'node-name': 'rw' }),
      run('query-block'),
      run('eject', { id: 'v' }),
      run('eject', { id: '/machine/peripheral/v/virtio-backend' }),
      run('eject', { id: 's' }),
    ],
  },
  {
    name: 'plugging',
    options: devices,
    steps: [
      addNull('rw'),
      run('device_add', { driver: 'zz' }),
      run('device_add', { driver: 'ide-hd', drive: 'n' }),
      run('device_add', { driver: 'scsi-hd', drive: 'rw', id: 'h' }),
      run('device_add', { driver: 'scsi-hd', drive: 'rw', id: 'h2', zz: 1 }),
      run('device_add', { driver: 'virtio-blk-pci', drive: 'n', id: 'h3' }),
      run('device_add', { driver: 'virtio-blk-pci', id: 'h3' }),
      run('device_add', { id: 'h3' }),
      run('device_add', {
        driver: 'scsi-hd',
        drive: 'rw',
        id: 'h2',
        logical_block_size: '512',
        'share-rw': true,
        werror: 'stop',
        lun: 1,
      }),
      run('query-block'),
      run('device_del', { id: 'v' }),
      run('device_del', { id: 'v' }),
      run('device_del', { id: 'cd' }),
      run('device_del', { id: 'f' }),
      run('device_del', { id: 'zz' }),
      ...get('h2', 'type', 'drive', 'werror', 'lun', 'scsi-id', 'share-rw', 'hotplugged', 'serial', 'wwn'),
      ...get('h2', 'physical_block_size', 'discard_granularity', 'bootindex', 'realized', 'parent_bus'),
      run('qom-set', { path: 'h2', property: 'share-rw', value: true }),
      run('qom-set', { path: 'h2', property: 'zz', value: true }),
      run('qom-set', { path: 'h2', property: 'bootindex', value: 5 }),
      ...get('h2', 'bootindex'),
      run('qom-set', { path: 'h2', property: 'bootindex', value: 'x' }),
    ],
  },
  {
    name: 'properties',
    options: devices,
    steps: [
      ...get('v', 'drive', 'num-queues', 'queue-size', 'discard_granularity', 'addr', 'logical_block_size'),
      ...get('v', 'write-cache', 'min_io_size', 'parent_bus', 'hotplugged'),
      ...get('/machine/peripheral/v/virtio-backend', 'drive', 'type'),
      ...get('cd', 'drive', 'serial', 'unit', 'ver', 'model', 'logical_block_size', 'parent_bus'),
      ...get('c2', 'logical_block_size', 'drive', 'discard_granularity', 'scsi-id', 'lun'),
      ...get('f', 'unit', 'drive', 'drive-type', 'discard_granularity', 'parent_bus'),
      ...get('h', 'drive', 'rerror', 'channel', 'removable', 'max_unmap_size'),
    ],
  },
  {
    name: 'a SCSI disk is unplugged at once',
    options: devices,
    steps: [
      run('device_del', { id: 'h' }),
      event('DEVICE_DELETED', { device: 'h' }),
      run('query-block'),
      run('blockdev-del', { 'node-name': 'n' }),
      run('device_del', { id: 'h' }),
    ],
  },
  {
    name: 'a drive goes with its device',
    options: [
      ...['-drive', 'if=none,id=d,file=a.qcow2', '-device', 'virtio-scsi-pci'],
      ...['-device', 'scsi-hd,drive=d,id=h'],
    ],
    steps: [
      run('device_del', { id: 'h' }),
      event('DEVICE_DELETED', { device: 'h' }),
      run('query-block'),
      run('query-named-block-nodes'),
      run('device_add', { driver: 'scsi-hd', drive: 'd' }),
    ],
  },
  {
    name: 'a drive that was deleted by reset',
    options: ['-drive', 'if=none,id=d,file=a.qcow2', '-device', 'virtio-blk-pci,drive=d,id=v'],
    steps: [
      run('device_del', { id: 'v' }),
      run('query-block'),
      run('system_reset'),
      event('DEVICE_DELETED', { device: 'v' }),
      run('query-block'),
    ],
  },
  {
    name: 'jobs on drives',
    options: ['-drive', 'if=none,id=d,file=a.qcow2', '-device', 'virtio-blk-pci,drive=d,id=v'],
    steps: [
      run('drive-backup', { device: 'd', target: 'out.qcow2', sync: 'full' }),
      gone('d'),
      run('drive-backup', { device: 'v', target: 'out.qcow2', sync: 'full' }),
      run('block_resize', { device: 'd', size: 8 << 20 }),
      run('query-block'),
      run('cont'),
      run('stop'),
      run('blockdev-snapshot-sync', { device: 'd', 'snapshot-file': 's.qcow2' }),
      run('query-block'),
    ],
    compare: ['out.qcow2'],
  },
  {
    name: 'limits on a drive',
    options: [
      '-drive',
      'if=none,id=d,file=a.qcow2,iops=100,bps_rd=1000000,group=g',
      '-device',
      'ide-hd,drive=d,id=h',
    ],
    steps: [
      run('query-block'),
      run('block_set_io_throttle', {
        id: 'h',
        bps: 0,
        bps_rd: 0,
        bps_wr: 0,
        iops: 0,
        iops_rd: 5,
        iops_wr: 6,
      }),
      run('query-block'),
      run('block_set_io_throttle', {
        device: 'd',
        bps: 0,
        bps_rd: 0,
        bps_wr: 0,
        iops: 0,
        iops_rd: 0,
        iops_wr: 0,
      }),
      run('query-block'),
    ],
  },
  {
    name: 'cache modes and policies',
    options: [
      ...['-drive', 'if=none,id=a,file=a.qcow2,cache=writethrough,werror=stop,rerror=ignore'],
      ...['-drive', 'if=none,id=b,file=b.raw,format=raw,cache=unsafe,discard=unmap,detect-zeroes=unmap'],
      ...['-device', 'virtio-blk-pci,drive=a,id=va,write-cache=on'],
      ...['-device', 'virtio-blk-pci,drive=b,id=vb,write-cache=off,werror=report'],
    ],
    steps: [run('query-block'), ...get('va', 'werror', 'rerror', 'write-cache'), ...get('vb', 'werror')],
  },
  {
    name: 'who holds what',
    options: devices,
    steps: [graph],
    normalise: withoutOrder,
  },
  {
    name: 'what ends it cancels the jobs',
    options: ['-drive', 'if=none,id=d,file=a.qcow2'],
    steps: [
      addNull('t', { size: 4 << 20 }),
      run('blockdev-backup', { 'job-id': 'j', device: 'd', target: 't', sync: 'none' }),
    ],
  },
];

/** Ids, and the order of what is listed, mean nothing. */
function withoutOrder(message: Message): Message {
  const graph = message.return as { nodes?: { name: string; type: string; id: number }[]; edges?: object[] };
  if (!graph?.nodes || !graph.edges) return message;
  const names = new Map(graph.nodes.map(({ id, name, type }) => [id, `${type} ${name}`]));
  const nameOf = (id: unknown): string => names.get(id as number) ?? '';
  const edges = (graph.edges as Record<string, unknown>[]).map((edge) =>
    JSON.stringify(
      { ...edge, parent: nameOf(edge['parent']), child: nameOf(edge['child']) },
      Object.keys(edge).sort(),
    ),
  );
  return { return: { nodes: [...names.values()].sort(), edges: edges.sort() } };
}

export const scenarios: readonly Scenario[] = described.map(machine);
