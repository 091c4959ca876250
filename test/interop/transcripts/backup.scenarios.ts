/** Backups in every way to be asked for and to end. */
import { jobs, overlayOnBase, pending, source, target } from './job-setups.ts';
import { addNull, copied, del, gone, node, nodes, run, type Scenario, status } from './scenario.ts';

const disks = [
  ...overlayOnBase,
  'qemu-img create -q -f qcow2 t.qcow2 4M',
  'qemu-img create -q -f qcow2 small.qcow2 1M',
  'qemu-img create -q -f raw t.raw 4M',
];
const backup = (more: object) =>
  run('blockdev-backup', { 'job-id': 'j', device: 'a', target: 't', sync: 'full', ...more });
const drive = (more: object) =>
  run('drive-backup', { 'job-id': 'j', device: 'a', target: 'd.qcow2', sync: 'full', ...more });
const pendingBackup = [source, target, backup({ 'auto-finalize': false, 'auto-dismiss': false }), pending];
const sleepingBackup = [source, target, backup({ speed: 65536 }), copied('j', 1048576)];

export const scenarios: readonly Scenario[] = [
  ...(['full', 'top', 'none'] as const).map(
    (sync): Scenario => ({
      name: `backup: sync ${sync}`,
      prepare: disks,
      steps: [
        source,
        target,
        backup({ sync }),
        ...(sync === 'none' ? [run('block-job-cancel', { device: 'j' })] : []),
        gone('j'),
        ...jobs,
      ],
      compare: ['t.qcow2'],
    }),
  ),
  ...(['full', 'top'] as const).map(
    (sync): Scenario => ({
      name: `backup: drive-backup sync ${sync}`,
      prepare: disks,
      steps: [source, drive({ sync }), gone('j'), nodes],
      compare: ['d.qcow2'],
    }),
  ),
  {
    name: 'backup: drive-backup to raw, and to what exists',
    prepare: disks,
    steps: [
      source,
      drive({ target: 'd.raw', format: 'raw' }),
      gone('j'),
      drive({ 'job-id': 'k', target: 't.qcow2', mode: 'existing', format: 'qcow2' }),
      gone('k'),
      drive({ 'job-id': 'l', target: 'missing.qcow2', mode: 'existing', format: 'qcow2' }),
      drive({ 'job-id': 'l', target: 'x.zz', format: 'zz' }),
    ],
    compare: ['d.raw', 't.qcow2'],
  },
  {
    name: 'backup: manual finalize and dismiss',
    prepare: disks,
    steps: [
      ...pendingBackup,
      ...jobs,
      run('block-job-dismiss', { id: 'j' }),
      run('job-complete', { id: 'j' }),
      run('job-pause', { id: 'j' }),
      run('block-job-set-speed', { device: 'j', speed: 1 }),
      run('block-job-finalize', { id: 'j' }),
      status('j', 'concluded'),
      ...jobs,
      run('job-finalize', { id: 'j' }),
      run('job-cancel', { id: 'j' }),
      backup({}),
      run('job-dismiss', { id: 'j' }),
      run('job-dismiss', { id: 'j' }),
    ],
    compare: ['t.qcow2'],
  },
  {
    name: 'backup: cancelled while pending',
    prepare: disks,
    steps: [
      ...pendingBackup,
      run('block-job-cancel', { device: 'j' }),
      status('j', 'concluded'),
      ...jobs,
      run('block-job-dismiss', { id: 'j' }),
    ],
  },
  {
    name: 'backup: cancelled, paused and resumed while it sleeps',
    prepare: disks,
    steps: [
      ...sleepingBackup,
      run('job-pause', { id: 'j' }),
      run('job-pause', { id: 'j' }),
      run('query-jobs'),
      run('block-job-cancel', { device: 'j' }),
      run('job-resume', { id: 'j' }),
      run('block-job-resume', { device: 'j' }),
      run('block-job-set-speed', { device: 'j', speed: -1 }),
      run('block-job-cancel', { device: 'j', force: true }),
      gone('j'),
    ],
  },
  {
    name: 'backup: speed set to unlimited while it is paused',
    prepare: disks,
    steps: [
      ...sleepingBackup,
      run('block-job-pause', { device: 'j' }),
      run('block-job-set-speed', { device: 'j', speed: 0 }),
      run('block-job-resume', { device: 'j' }),
      gone('j'),
    ],
    compare: ['t.qcow2'],
  },
  {
    name: 'backup: arguments that are refused',
    prepare: disks,
    steps: [
      source,
      target,
      node('small', 'small.qcow2'),
      addNull('nul', { size: 4194304, 'read-only': true }),
      backup({ device: 'zz' }),
      backup({ target: 'zz' }),
      backup({ target: 'a' }),
      backup({ target: 'small' }),
      backup({ target: 'nul' }),
      backup({ sync: 'incremental' }),
      backup({ sync: 'bitmap' }),
      backup({ sync: 'bitmap', bitmap: 'b' }),
      backup({ sync: 'incremental', bitmap: 'b' }),
      backup({ sync: 'incremental', bitmap: 'b', 'bitmap-mode': 'always' }),
      backup({ 'bitmap-mode': 'never' }),
      backup({ speed: -1 }),
      backup({ 'job-id': '1x' }),
      backup({ 'job-id': '' }),
      run('blockdev-backup', { device: 'a', target: 't', sync: 'full' }),
      backup({ compress: true, target: 'nul' }),
      backup({ 'x-perf': { 'max-workers': 0 } }),
      backup({ 'x-perf': { 'max-chunk': -1 } }),
      backup({ 'x-perf': { 'max-chunk': 4096 } }),
      backup({ 'filter-node-name': 'a' }),
      backup({ 'filter-node-name': '1x' }),
      backup({ 'on-source-error': 'zz' }),
      backup({ sync: 'zz' }),
      run('job-cancel', { id: 'j' }),
      run('block-job-cancel', { device: 'j' }),
      nodes,
    ],
  },
  {
    name: 'backup: what its nodes refuse meanwhile',
    prepare: disks,
    steps: [
      source,
      target,
      backup({ sync: 'none', 'filter-node-name': 'f' }),
      del('a'),
      del('t'),
      del('f'),
      run('block_resize', { 'node-name': 't', size: 8388608 }),
      run('block_resize', { 'node-name': 'a', size: 8388608 }),
      backup({ 'job-id': 'k' }),
      backup({ 'job-id': 'k', device: 'f' }),
      backup({ 'job-id': 'k', device: 't', target: 'a' }),
      run('blockdev-snapshot-sync', {
        'node-name': 't',
        'snapshot-file': 'o.qcow2',
        'snapshot-node-name': 'o',
      }),
      run('job-cancel', { id: 'j' }),
      gone('j'),
      del('t'),
      del('a'),
    ],
  },
  {
    name: 'backup: compressed',
    prepare: disks,
    steps: [source, target, backup({ compress: true }), gone('j')],
    compare: ['t.qcow2'],
  },
  {
    name: 'backup: quit while it runs',
    prepare: disks,
    steps: [source, target, backup({ sync: 'none' })],
  },
];
