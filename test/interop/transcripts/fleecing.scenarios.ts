/**
 * Backups of a running machine's disks the way that current backup programs take them: a filter is put under each
 * device by qom-set, and what the disks were then is read through snapshot-access.
 */
import type { Message, Step } from '../../support/qmp-sessions.ts';
import {
  briefNodes,
  del,
  file,
  gone,
  graph,
  node,
  nodes,
  run,
  type Scenario,
  sortedGraph,
} from './scenario.ts';

const disks = ['d0', 'd1'] as const;

const machine = [
  ...['-machine', 'q35', '-S', '-device', 'virtio-scsi-pci,id=scsi', '-object', 'throttle-group,id=limits'],
  ...['-drive', 'if=none,id=d0,file=d0.qcow2,format=qcow2,node-name=n0'],
  ...['-blockdev', 'qcow2,node-name=n1,file.driver=file,file.filename=d1.qcow2'],
  ...['-device', 'virtio-blk-pci,drive=d0,id=disk0,share-rw=on'],
  ...['-device', 'scsi-hd,drive=n1,id=disk1,share-rw=on'],
];

const images = ['d0', 'd1', ...['t', 'f', 'i'].flatMap((kind) => disks.map((_, i) => `${kind}${i}`))].map(
  (name) => `qemu-img create -q -f qcow2 ${name}.qcow2 1M`,
);
const contents = disks.map((name, i) => `qemu-io -f qcow2 -c "write -q -P ${i + 1} 0 512k" ${name}.qcow2`);

const paths = ['/machine/peripheral/disk0/virtio-backend', 'disk1'] as const;
const qom = (path: string, value: unknown): Message => run('qom-set', { path, property: 'drive', value });
const drive = (path: string): Message => run('qom-get', { path, property: 'drive' });
const cbw = (name: string, file: string, target: string, more = {}): Message =>
  run('blockdev-add', { driver: 'copy-before-write', 'node-name': name, file, target, ...more });
const access = (name: string, file: string): Message =>
  run('blockdev-add', { driver: 'snapshot-access', 'node-name': name, file });
const bitmap = (action: string, data: object): Message => ({ type: `block-dirty-bitmap-${action}`, data });
const guestWrites = (name: string, what: string): Message =>
  run('human-monitor-command', { 'command-line': `qemu-io ${name} "write -q ${what}"` });
const backup = (id: string, device: string, target: string, more: object): Step[] => [
  run('blockdev-backup', { 'job-id': id, device, target, ...more }),
  gone(id),
];

/** A filter below each device, and a view of what is on the disk now. */
const attach = disks.flatMap((_, i) => [
  node(`f${i}`, `f${i}.qcow2`),
  cbw(`cbw${i}`, `n${i}`, `f${i}`, { 'on-cbw-error': 'break-snapshot', 'cbw-timeout': 45 }),
  qom(paths[i]!, `cbw${i}`), // a path for each disk
  drive(paths[i]!), // as above
  access(`snap${i}`, `cbw${i}`),
]);

const cleanUp = [1, 0].flatMap((i) => [
  del(`snap${i}`),
  del(`cbw${i}`), // in use: by the device
  qom(paths[i]!, `n${i}`), // a path for each disk
  drive(paths[i]!), // as above
  del(`cbw${i}`),
  del(`f${i}`),
]);

export const scenarios: readonly Scenario[] = [
  {
    name: 'fleecing: a full and an incremental backup of two disks',
    program: 'system',
    prepare: [...images, ...contents],
    options: machine,
    normalise: (message) => sortedGraph(briefNodes(message)),
    steps: [
      run('query-tpm'),
      run('query-iothreads'),
      ...disks.map((_, i) => node(`t${i}`, `t${i}.qcow2`)),
      ...attach,
      nodes,
      graph,
      run('transaction', { actions: disks.map((_, i) => bitmap('add', { node: `n${i}`, name: 'changes' })) }),
      ...disks.map((_, i) => guestWrites(`cbw${i}`, `-P ${i + 7} 128k 256k`)),
      ...disks.flatMap((_, i) => backup(`full${i}`, `snap${i}`, `t${i}`, { sync: 'full' })),
      ...cleanUp,
      // What was written meanwhile is what the next one copies.
      ...attach,
      run('transaction', {
        actions: disks.flatMap((_, i) => [
          bitmap('add', { node: `snap${i}`, name: 'copy', disabled: true }),
          bitmap('merge', {
            node: `snap${i}`,
            target: 'copy',
            bitmaps: [{ node: `n${i}`, name: 'changes' }],
          }),
          bitmap('clear', { node: `n${i}`, name: 'changes' }),
        ]),
      }),
      ...disks.map((_, i) => guestWrites(`cbw${i}`, `-P ${i + 9} 0 256k`)),
      ...disks.map((_, i) => node(`i${i}`, `i${i}.qcow2`)),
      ...disks.flatMap((_, i) =>
        backup(`more${i}`, `snap${i}`, `i${i}`, { sync: 'bitmap', bitmap: 'copy', 'bitmap-mode': 'never' }),
      ),
      ...disks.map((_, i) => run('x-debug-block-dirty-bitmap-sha256', { node: `n${i}`, name: 'changes' })),
      ...cleanUp,
      ...disks.flatMap((_, i) => [del(`i${i}`), del(`t${i}`)]),
      nodes,
      graph,
    ],
    compare: ['d0', 'd1', 't0', 't1', 'i0', 'i1'].map((name) => `${name}.qcow2`),
  },
  {
    name: 'fleecing: what the drive of a device can be set to',
    program: 'system',
    prepare: [...images, 'qemu-img create -q -f raw big.raw 2M'],
    options: machine,
    normalise: (message) => sortedGraph(briefNodes(message)),
    steps: [
      ...['zz', '', 1, null, 'd0'].map((value) => qom('disk1', value)),
      qom('disk0', 'zz'),
      run('blockdev-add', { driver: 'raw', 'node-name': 'ro', 'read-only': true, file: file('big.raw') }),
      qom('disk1', 'ro'),
      drive('disk1'),
      node('big', 'big.raw'),
      qom('disk1', 'big'),
      drive('disk1'),
      graph,
      // The drive's own node goes with its last user.
      qom('disk0', 'n1'),
      drive('disk0'),
      nodes,
      qom('disk0', 'n0'),
    ],
  },
];
