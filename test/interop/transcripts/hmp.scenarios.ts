/** The human monitor: what its commands about storage, jobs and the machine do and print. */
import type { Message } from '../../support/qmp-sessions.ts';
import { event, gone, run, type Scenario, status } from './scenario.ts';

/** Lines for the human monitor. */
export const lines = (...all: readonly string[]): Message[] =>
  all.map((line) => run('human-monitor-command', { 'command-line': line }));

export const machine = (more: Omit<Scenario, 'program' | 'prepare'>): Scenario => ({
  program: 'system',
  prepare: [
    'qemu-img create -q -f qcow2 base.qcow2 1M',
    'qemu-io -c "write -P 1 0 1M" base.qcow2',
    'qemu-img create -q -f qcow2 -b base.qcow2 -F qcow2 a.qcow2 1M',
    'qemu-io -c "write -P 2 0 64k" a.qcow2',
    'qemu-img create -q -f raw b.raw 1M',
  ],
  ...more,
  name: `human monitor: ${more.name}`,
});

/** How long requests took is different each time. */
function withoutTimes(message: Message): Message {
  const { printed } = message;
  return typeof printed === 'string' ? { ...message, printed: printed.replace(/; .*/, '') } : message;
}

const bare = ['-machine', 'none'];
export const two = [
  ...bare,
  '-drive',
  'if=none,id=a,file=a.qcow2',
  '-drive',
  'if=none,id=b,file=b.raw,format=raw,read-only=on',
];
const trays = ['-S', '-hda', 'a.qcow2', '-drive', 'media=cdrom,file=b.raw,format=raw'];

const described: readonly Omit<Scenario, 'program' | 'prepare'>[] = [
  {
    name: 'disks are shown',
    options: two,
    steps: lines('info block', 'info block a', 'info block zz', 'info block -n'),
  },
  {
    name: 'disks are shown with their devices',
    options: trays,
    steps: lines('info block', 'info block -n -v ide0-hd0'),
  },
  {
    name: 'limits are shown',
    options: two,
    steps: lines(
      'block_set_io_throttle a 0 1048576 2097152 0 0 100',
      'info block a',
      'block_set_io_throttle a 0 0 0 0 0 0',
      'info block a',
      'block_set_io_throttle a 1 2 3 0 0 0',
      'block_set_io_throttle zz 0 0 0 0 0 0',
      'block_set_io_throttle a 1',
    ),
  },
  {
    name: 'what is watched',
    options: bare,
    steps: lines(
      'info trace-events job_state_transition',
      'trace-event job_state_transition on',
      'info trace-events job_state_transition',
      'trace-event job_state_trans* off',
      'info trace-events job_state_transition',
      'info trace-events nosuch',
      'info trace-events nosuch*',
      'info trace-events nosuch 0',
      'info trace-events a b',
      'trace-event nosuch on',
      'trace-event nosuch* on',
      'trace-event nosuch on 0',
      'trace-event',
      'trace-event a',
      'trace-event a foo',
      'trace-event a off x',
    ),
  },
  {
    name: 'the state of the machine',
    options: [...bare, '-name', 'foo', '-uuid', '00000000-0000-0000-0000-0000000000ab'],
    steps: [
      ...lines('info status', 'stop', 'info status', 'cont', 'c', 'info name', 'info uuid', 'system_reset'),
      event('RESET'),
    ],
  },
  {
    name: 'lines that say nothing sensible',
    options: two,
    steps: lines(
      '',
      '   ',
      'zz',
      'info zz',
      'block_resize',
      'block_resize a',
      'block_resize a zz',
      'block_resize a 1Z',
      'eject',
      'eject -x a',
      'info block -x',
      'block_job_set_speed a',
      'stop now',
      'info name extra',
      "eject 'a'",
    ),
  },
  {
    name: 'a disk is resized',
    options: two,
    steps: [
      ...lines(
        'block_resize a 2',
        'block_resize a 3145728B',
        'block_resize a 2M',
        'block_resize zz 1M',
        'block_resize b 2M',
        'block_resize a -1',
        'block_resize a 512K',
      ),
      run('query-named-block-nodes', { flat: true }),
    ],
    normalise: (message) => {
      const { return: nodes } = message;
      if (!Array.isArray(nodes)) return message;
      return {
        return: nodes.map((node) => (node as { image: { 'virtual-size': number } }).image['virtual-size']),
      };
    },
  },
  {
    name: 'media come and go',
    options: trays,
    steps: lines(
      'eject ide1-cd0',
      'eject ide1-cd0',
      'info block ide1-cd0',
      'change ide1-cd0 b.raw',
      'info block ide1-cd0',
      'change ide1-cd0 b.raw raw',
      'change ide1-cd0 b.raw raw read-only',
      'info block ide1-cd0',
      'change ide1-cd0 b.raw raw zz',
      'change ide1-cd0 missing.raw raw',
      'info block ide1-cd0',
      'eject -f ide1-cd0',
      'info block ide1-cd0',
      'eject ide0-hd0',
      'eject zz',
      'change zz b.raw',
    ),
  },
  {
    name: 'drives are added and deleted',
    options: bare,
    steps: lines(
      'drive_add 0 if=none,id=x,file=b.raw,format=raw',
      'info block',
      'drive_add 0 if=none,id=x,file=b.raw,format=raw',
      'drive_add 0 if=none,id=y,file=missing.raw,format=raw',
      'drive_add 0 if=none',
      'drive_add 0 file=b.raw,format=raw,if=virtio',
      'drive_del x',
      'info block',
      'drive_del x',
      'drive_del zz',
      'drive_add -n 0 driver=null-co,node-name=n',
      'info block -n',
      'drive_del n',
    ),
  },
  {
    name: 'a whole disk is backed up',
    options: two,
    steps: [...lines('drive_backup -f a full.qcow2'), gone('a'), ...lines('info block-jobs')],
    compare: ['full.qcow2', 'a.qcow2'],
  },
  {
    name: 'the top of a disk is backed up',
    options: two,
    steps: [...lines('drive_backup a top.qcow2 qcow2'), gone('a')],
    compare: ['top.qcow2'],
  },
  {
    name: 'backups that cannot start',
    options: two,
    steps: lines(
      'drive_backup zz x.qcow2',
      'drive_backup a',
      'drive_backup -n a missing.qcow2',
      'drive_backup a x.zz zz',
      'info block-jobs',
    ),
  },
  {
    name: 'a job is steered',
    options: two,
    steps: [
      run('drive-mirror', { 'job-id': 'j', device: 'a', target: 'm.qcow2', sync: 'full', speed: 65536 }),
      ...lines('block_job_set_speed j zz', 'block_job_set_speed j 100M'),
      status('j', 'ready'),
      ...lines('block_job_resume j', 'info block-jobs', 'block_job_complete j'),
      gone('j'),
      ...lines(
        'info block-jobs',
        'block_job_cancel j',
        'block_job_complete zz',
        'block_job_pause zz',
        'block_job_resume zz',
        'block_job_set_speed zz 0',
      ),
    ],
    compare: ['m.qcow2'],
  },
  {
    name: 'a mirror ends where it is',
    options: two,
    steps: [
      ...lines('drive_mirror -f a m.qcow2'),
      status('a', 'ready'),
      ...lines('block_job_cancel a'),
      gone('a'),
    ],
    compare: ['m.qcow2'],
  },
  {
    name: 'a mirror is given up',
    options: two,
    steps: [
      ...lines('drive_mirror a', 'drive_mirror zz x.qcow2', 'drive_mirror -f a m.qcow2'),
      status('a', 'ready'),
      ...lines('block_job_cancel -f a'),
      gone('a'),
    ],
  },
  {
    name: 'a chain is streamed',
    options: two,
    steps: [
      ...lines('block_stream a 64k', 'block_stream a', 'block_job_set_speed a 0'),
      gone('a'),
      ...lines('block_stream zz', 'block_stream a 0 zz'),
    ],
    compare: ['a.qcow2'],
  },
  {
    name: 'changes are committed',
    options: two,
    steps: lines('commit a', 'info block a', 'commit b', 'commit zz', 'commit all', 'commit'),
    compare: ['base.qcow2', 'a.qcow2'],
  },
  {
    name: 'snapshots are taken',
    options: two,
    steps: lines(
      'snapshot_blkdev_internal a s1',
      'snapshot_blkdev_internal a s2',
      'snapshot_delete_blkdev_internal a s1',
      'snapshot_delete_blkdev_internal a zz',
      'snapshot_blkdev_internal b s1',
      'snapshot_blkdev_internal zz s1',
      'snapshot_blkdev a',
      'snapshot_blkdev a new.qcow2',
      'info block a',
      'snapshot_blkdev a other.qcow2 zz',
      'snapshot_blkdev -n a missing.qcow2 qcow2',
      'snapshot_blkdev zz new.qcow2',
    ),
    compare: ['a.qcow2'],
  },
  {
    name: 'a disk is read and written',
    options: two,
    steps: lines(
      'qemu-io a "read -P 2 0 64k"',
      'qemu-io a "write -P 3 64k 64k"',
      'qemu-io a "read -P 3 64k 64k"',
      'qemu-io zz "read 0 1"',
      'qemu-io a',
      'qemu-io b "write 0 512"',
      'qemu-io a "zz"',
      'qemu-io -d a "read 0 512"',
      'qemu-io a "flush"',
    ),
    normalise: withoutTimes,
    compare: ['a.qcow2'],
  },
  {
    name: 'a disk is opened again with other options',
    options: two,
    steps: lines(
      'qemu-io a "reopen -r"',
      'qemu-io a "write 0 512"',
      'qemu-io a "reopen -w -c none"',
      'qemu-io a "write -P 3 0 512"',
      'info block a',
      'qemu-io a "reopen -c zz"',
      'qemu-io a "reopen -r -w"',
      'qemu-io a "reopen -o file.locking=off"',
      'qemu-io a "reopen zz"',
    ),
    normalise: withoutTimes,
    compare: ['a.qcow2'],
  },
  {
    name: 'objects and devices come and go',
    options: ['-S', '-drive', 'if=none,id=a,file=a.qcow2'],
    steps: lines(
      'object_add throttle-group,id=g,x-iops-total=10',
      'qom-get /objects/g limits',
      'object_add throttle-group,id=g',
      'object_add zz,id=z',
      'object_del g',
      'object_del g',
      'device_add virtio-blk-pci,drive=a,id=v',
      'info block',
      'device_add virtio-blk-pci,drive=a,id=w',
      'device_add zz',
      'device_add zz,help',
      'device_add virtio-blk-pci,drive=zz',
      'device_del zz',
    ),
  },
];

export const scenarios: readonly Scenario[] = described.map(machine);
