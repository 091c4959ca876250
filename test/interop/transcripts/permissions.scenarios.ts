/** Who may not have a disk that others use: the words of every conflict, for devices, nodes, jobs and the human monitor. */
import type { Message } from '../../support/qmp-sessions.ts';
import { add, del, file, graph, reopen, run, type Scenario, sortedGraph } from './scenario.ts';

const human = (line: string): Message => run('human-monitor-command', { 'command-line': line });
const guestWrites = (name: string): Message => human(`qemu-io ${name} "write -q 0 512"`);
const disk = (drive: string, more: object = {}): Message =>
  run('device_add', { driver: 'scsi-hd', id: 'x', drive, bus: 'scsi.0', ...more });
const resize = (name: string): Message => run('block_resize', { 'node-name': name, size: 2097152 });
const job = (execute: string, device: string, more: object): Message =>
  run(execute, { 'job-id': 'j', device, ...more });

export const scenarios: readonly Scenario[] = [
  {
    name: 'permissions: conflicts about disks in use',
    program: 'system',
    prepare: [
      ...['a', 'b'].map((name) => `qemu-img create -q -f raw ${name}.raw 1M`),
      'qemu-img create -q -f qcow2 t.qcow2 1M',
      'qemu-img create -q -f qcow2 -b t.qcow2 -F qcow2 o.qcow2',
    ],
    options: [
      ...['-machine', 'q35', '-S', '-device', 'virtio-scsi-pci,id=scsi'],
      ...['-blockdev', 'raw,node-name=a,file.driver=file,file.filename=a.raw,file.node-name=a-file'],
      ...['-device', 'virtio-blk-pci,drive=a,id=v'],
      ...[
        '-drive',
        'if=none,id=drive,file=b.raw,format=raw,node-name=b',
        '-device',
        'scsi-hd,drive=drive,id=w',
      ],
      ...['-drive', 'if=none,id=other,file=o.qcow2,node-name=o,backing.node-name=t'],
      ...['-device', 'virtio-blk-pci,drive=other'],
    ],
    normalise: sortedGraph,
    steps: [
      ...['a', 'drive', 'b', 'a-file', 't', 'o', 'other', '-d v'].map(guestWrites),
      graph,
      ...['a', 'b', 'o', 'a-file'].map((name) => disk(name)),
      disk('a', { 'share-rw': true }),
      add({ driver: 'qcow2', 'node-name': 'n', file: 'a' }),
      add({ driver: 'qcow2', 'node-name': 'n', file: 'a-file' }),
      add({ driver: 'raw', 'node-name': 'm', file: 'a-file' }),
      add({ driver: 'copy-before-write', 'node-name': 'c', file: 'a', target: 'b' }),
      add({ driver: 'copy-before-write', 'node-name': 'c', file: 'm', target: 'b' }),
      ...['a', 'a-file', 'm'].map(resize),
      job('blockdev-backup', 'a', { target: 'b', sync: 'full' }),
      job('blockdev-mirror', 'a', { target: 'b', sync: 'full' }),
      job('blockdev-mirror', 'o', { target: 't', sync: 'full' }),
      reopen({ driver: 'raw', 'node-name': 'a', 'read-only': true, file: 'a-file' }),
      reopen({ driver: 'qcow2', 'node-name': 'o', file: file('o.qcow2'), backing: 'a' }),
      run('blockdev-snapshot', { node: 'a', overlay: 'o' }),
      ...['a', 'b', 'a-file', 'm'].map(del),
      run('x-blockdev-set-iothread', { 'node-name': 'a', iothread: null }),
      graph,
    ],
  },
];
