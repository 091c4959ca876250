/** Machines that are kept in their own disks: by jobs, by the human monitor, and what both say when it cannot be. */
import type { Message, Step } from '../../support/qmp-sessions.ts';
import { add, event, run, type Scenario, status } from './scenario.ts';

const lines = (...all: readonly string[]): Message[] =>
  all.map((line) => run('human-monitor-command', { 'command-line': line }));

let jobs = 0;

/** A job to its end, and what `query-jobs` says about it. */
function job(
  name: 'save' | 'load' | 'delete',
  tag: string,
  devices: readonly string[],
  vmstate = devices[0] ?? 'na',
): Step[] {
  // Of their own: a wait ends with what has come before, too.
  const id = `j${jobs++}`;
  const choice = name === 'delete' ? { devices } : { devices, vmstate };
  return [
    run(`snapshot-${name}`, { 'job-id': id, tag, ...choice }),
    status(id, 'concluded'),
    run('query-jobs'),
    run('job-dismiss', { id }),
  ];
}

/** How large a state is and when it was made. */
function withoutFigures(message: Message): Message {
  const text = JSON.stringify(message, (key, value: unknown) =>
    ['vm-state-size', 'vm-clock-nsec', 'vm-clock-sec'].includes(key) ? 0 : value,
  );
  const figures = / +[\d.]+ (B|KiB) \d{4}-\d\d-\d\d [\d:]{8} +[\d:.]+ +(--|\d)/g;
  return JSON.parse(text.replace(figures, ' FIGURES').replace(/vm-\d{14}/g, 'vm-TIME')) as Message;
}

const saved = (more: Omit<Scenario, 'program' | 'prepare' | 'normalise'>): Scenario => ({
  program: 'system',
  prepare: [
    'qemu-img create -q -f qcow2 a.qcow2 1M',
    'qemu-io -c "write -P 1 0 64k" a.qcow2',
    'qemu-img create -q -f qcow2 b.qcow2 1M',
    'qemu-img create -q -f raw c.raw 1M',
  ],
  normalise: withoutFigures,
  ...more,
  name: `saved machines: ${more.name}`,
});

const none = ['-machine', 'none'];
const a = ['-drive', 'if=none,id=a,file=a.qcow2,node-name=na'];
const b = ['-drive', 'if=none,id=b,file=b.qcow2,node-name=nb'];
const raw = ['-drive', 'if=none,id=c,file=c.raw,format=raw,node-name=nc'];
const readOnly = ['-drive', 'if=none,id=c,file=c.raw,format=raw,read-only=on,node-name=nc'];
const empty = ['-drive', 'if=none,id=e'];
const tray = ['-device', 'ide-cd,drive=c,id=cd'];
const state = run('query-status');

const described: readonly Omit<Scenario, 'program' | 'prepare' | 'normalise'>[] = [
  {
    name: 'by the human monitor',
    options: [...none, ...a, ...b, ...readOnly, ...empty],
    steps: [
      ...lines('info snapshots', 'savevm one', 'qemu-io a "write -q -P 2 0 128k"', 'info snapshots'),
      ...lines('savevm two', 'loadvm one', 'qemu-io a "read -q -P 1 0 64k"', 'info snapshots'),
      state,
      ...lines('stop', 'savevm one', 'loadvm two'),
      state,
      ...lines('cont', 'delvm one', 'delvm nobody', 'info snapshots', 'savevm', 'info snapshots'),
      ...lines('loadvm', 'savevm a b', 'delvm'),
    ],
    compare: ['a.qcow2', 'b.qcow2'],
  },
  {
    name: 'before it has run',
    options: ['-S', ...none, ...a],
    steps: [state, ...lines('savevm x', 'loadvm x'), state, ...lines('loadvm y'), state, run('query-block')],
  },
  {
    name: 'a failure on the way back leaves it standing',
    options: [...none, ...a],
    steps: [...lines('loadvm nobody'), state, ...lines('savevm x', 'loadvm x'), state, run('cont'), state],
  },
  {
    name: 'without a disk',
    options: [...none, ...empty],
    steps: lines('savevm x', 'loadvm x', 'delvm x', 'info snapshots'),
  },
  {
    name: 'a disk that cannot go back',
    options: [...none, ...raw, ...a],
    steps: [...lines('savevm x', 'loadvm x'), state, ...lines('delvm x', 'info snapshots')],
  },
  {
    name: 'snapshots of the disk alone, and of one disk',
    options: [...none, ...a, ...b],
    steps: [
      run('blockdev-snapshot-internal-sync', { device: 'a', name: 'both' }),
      ...lines('info snapshots', 'loadvm both', 'cont'),
      run('blockdev-snapshot-internal-sync', { device: 'b', name: 'both' }),
      run('blockdev-snapshot-internal-sync', { device: 'b', name: 'b' }),
      ...lines('info snapshots', 'loadvm both', 'cont', 'savevm both', 'info snapshots', 'loadvm both'),
    ],
  },
  {
    name: 'nodes without a drive take no part',
    options: [...none, ...a],
    steps: [
      add({ driver: 'null-co', 'node-name': 'n' }),
      ...lines('savevm x', 'info snapshots', 'loadvm x', 'delvm x'),
    ],
  },
  {
    name: 'through a filter',
    options: [...none, '-drive', 'if=none,id=a,file=a.qcow2,copy-on-read=on'],
    steps: lines('savevm x', 'info snapshots', 'loadvm x', 'delvm x', 'info snapshots'),
    compare: ['a.qcow2'],
  },
  {
    name: 'disks that a device holds without a drive',
    options: [
      '-m',
      '16',
      '-blockdev',
      'qcow2,node-name=na,file.driver=file,file.filename=a.qcow2',
      '-device',
      'virtio-blk-pci,drive=na',
    ],
    steps: [...lines('savevm x', 'info snapshots', 'loadvm x'), state],
  },
  {
    name: 'the length of a disk comes back',
    options: [...none, ...a],
    steps: [
      ...lines('savevm x'),
      run('block_resize', { device: 'a', size: 2 << 20 }),
      ...lines('loadvm x', 'qemu-io a length'),
    ],
    compare: ['a.qcow2'],
  },
  {
    name: 'not over dirty bitmaps',
    options: [...none, ...a, ...b],
    steps: [
      run('block-dirty-bitmap-add', { node: 'nb', name: 'm' }),
      ...lines('savevm x', 'loadvm x'),
      state,
      run('block-dirty-bitmap-remove', { node: 'nb', name: 'm' }),
      ...lines('loadvm x'),
      ...job('delete', 'x', ['na']),
      ...lines('info snapshots'),
    ],
  },
  {
    name: 'where trays stood comes back',
    options: ['-S', '-m', '16', ...a, ...readOnly, ...tray],
    steps: [
      run('blockdev-open-tray', { id: 'cd' }),
      ...lines('savevm open'),
      run('blockdev-close-tray', { id: 'cd' }),
      ...lines('savevm closed', 'loadvm open'),
      run('blockdev-close-tray', { id: 'cd' }),
      ...lines('loadvm open', 'loadvm closed'),
      run('blockdev-open-tray', { id: 'cd' }),
    ],
  },
  {
    name: 'not without a device that was there',
    options: ['-S', '-m', '16', ...a, '-device', 'virtio-scsi-pci,id=s'],
    steps: [
      ...lines('savevm x'),
      run('device_add', { driver: 'virtio-scsi-pci', id: 't' }),
      ...lines('loadvm x', 'savevm y', 'device_del t'),
      run('system_reset'),
      event('DEVICE_DELETED', { device: 't' }),
      ...lines('loadvm y', 'loadvm x'),
      state,
    ],
    comesAnyTime: 'DEVICE_DELETED',
  },
  {
    name: 'by jobs',
    options: [...none, ...a, ...b, ...raw],
    steps: [
      ...job('save', 'x', ['na', 'nb'], 'nb'),
      ...job('save', 'x', ['na']),
      ...job('save', 'y', ['na', 'na']),
      ...lines('qemu-io a "write -q -P 7 0 64k"'),
      ...job('load', 'x', ['na', 'nb'], 'nb'),
      ...lines('qemu-io a "read -q -P 1 0 64k"'),
      state,
      ...job('load', 'x', ['na', 'nb']),
      state,
      run('cont'),
      ...job('delete', 'x', ['na']),
      ...job('delete', 'x', ['na']),
      ...job('load', 'x', ['na', 'nb'], 'nb'),
      ...job('load', 'x', ['nb']),
      state,
    ],
    compare: ['a.qcow2', 'b.qcow2'],
  },
  {
    name: 'what jobs refuse',
    options: [...none, ...a, ...raw],
    steps: [
      ...job('save', 'x', []),
      ...job('save', 'x', ['nobody']),
      ...job('save', 'x', ['na'], 'nobody'),
      ...job('save', 'x', ['na'], 'nc'),
      ...job('save', 'x', ['na', 'nc']),
      ...job('save', 'x', ['nc']),
      ...job('save', 'x', ['a']),
      ...job('load', 'x', ['na']),
      ...job('load', 'x', ['na'], 'nobody'),
      ...job('load', 'x', ['na', 'nc'], 'nobody'),
      ...job('load', 'x', []),
      ...job('delete', 'x', []),
      ...job('delete', 'x', ['nobody']),
      ...job('delete', 'x', ['nc']),
      run('snapshot-save', { 'job-id': '1', tag: 'x', vmstate: 'na', devices: ['na'] }),
      run('snapshot-load', { 'job-id': 'j', tag: 'x', vmstate: 'na' }),
      run('snapshot-delete', { 'job-id': 'j', tag: 'x', devices: 'na' }),
      run('snapshot-delete', { 'job-id': 'j', tag: 'x', devices: ['na'] }),
      run('snapshot-delete', { 'job-id': 'j', tag: 'x', devices: ['na'] }),
    ],
  },
];

export const scenarios = described.map(saved);
