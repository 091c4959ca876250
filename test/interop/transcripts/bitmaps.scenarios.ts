/** Dirty bitmaps: every command, every state, and backups that use them. */
import { add, addNull, bitmapHash, del, gone, node, nodes, run, type Scenario, status } from './scenario.ts';

const disks = [
  'qemu-img create -q -f qcow2 a.qcow2 4M',
  'qemu-io -f qcow2 -c "write -P 1 0 1M" a.qcow2',
  'qemu-img create -q -f qcow2 t.qcow2 4M',
  'qemu-img create -q -f qcow2 s.qcow2 2M',
  'qemu-img create -q -f qcow2 -o compat=0.10 v2.qcow2 4M',
  'qemu-img create -q -f raw r.raw 4M',
  'qemu-img create -q -f qcow2 src.qcow2 4M',
  'qemu-io -f qcow2 -c "write -P 3 2M 128k" src.qcow2',
];
const bitmap = (verb: string, name: string, more: object = {}) =>
  run(`block-dirty-bitmap-${verb}`, { node: 'a', name, ...more });
const disk = node('a', 'a.qcow2');
/** The only way to write without a guest: another backup into the disk. */
const dirty = (id: string) => [
  run('blockdev-backup', { 'job-id': id, device: 'src', target: 'a', sync: 'top' }),
  gone(id),
];
/** The bitmap `b` of `a` with something in it, and what a backup needs. */
const dirtyBitmap = [disk, node('src', 'src.qcow2'), node('t', 't.qcow2'), bitmap('add', 'b'), ...dirty('d')];
const backup = (sync: 'bitmap' | 'full', mode: string, more: object = {}) =>
  run('blockdev-backup', {
    'job-id': 'j',
    device: 'a',
    target: 't',
    sync,
    bitmap: 'b',
    'bitmap-mode': mode,
    ...more,
  });
/** What `b` holds, into an image that is there; both are called `id`. */
const increment = (id: string) => [
  run('drive-backup', {
    'job-id': id,
    device: 'a',
    target: `${id}.qcow2`,
    mode: 'existing',
    format: 'qcow2',
    sync: 'incremental',
    bitmap: 'b',
  }),
  gone(id),
];

export const scenarios: readonly Scenario[] = [
  {
    name: 'bitmaps: added, enabled, disabled, cleared and removed',
    prepare: disks,
    steps: [
      disk,
      bitmap('add', 'b'),
      bitmap('add', 'b'),
      bitmap('add', 'c', { granularity: 4096, disabled: true }),
      nodes,
      bitmapHash('b'),
      bitmapHash('zz'),
      bitmap('enable', 'c'),
      bitmap('enable', 'c'),
      bitmap('disable', 'b'),
      nodes,
      bitmap('clear', 'b'),
      bitmap('remove', 'b'),
      bitmap('remove', 'b'),
      nodes,
    ],
  },
  {
    name: 'bitmaps: what is wrong with a new one',
    prepare: disks,
    steps: [
      disk,
      node('v2', 'v2.qcow2'),
      node('r', 'r.raw'),
      addNull('n'),
      bitmap('add', ''),
      bitmap('add', 'x', { granularity: 0 }),
      bitmap('add', 'x', { granularity: 256 }),
      bitmap('add', 'x', { granularity: 5000 }),
      bitmap('add', 'x', { granularity: -1 }),
      bitmap('add', 'x'.repeat(1024)),
      bitmap('add', 'x'.repeat(1023)),
      run('block-dirty-bitmap-add', { node: 'zz', name: 'b' }),
      run('block-dirty-bitmap-add', { node: 'n', name: 'b', persistent: true }),
      run('block-dirty-bitmap-add', { node: 'v2', name: 'b', persistent: true }),
      run('block-dirty-bitmap-clear', { node: 'zz', name: 'b' }),
      bitmap('clear', 'zz'),
      bitmap('enable', 'zz'),
      bitmap('disable', 'zz'),
      bitmap('remove', 'zz'),
      bitmap('add', 'p', { persistent: true, granularity: 512 }),
      nodes,
    ],
  },
  {
    name: 'bitmaps: merged across granularities and nodes',
    prepare: disks,
    steps: [
      disk,
      node('src', 'src.qcow2'),
      node('s', 's.qcow2'),
      bitmap('add', 'b', { granularity: 65536 }),
      bitmap('add', 'c', { granularity: 4096 }),
      bitmap('add', 'd', { granularity: 131072, disabled: true }),
      run('block-dirty-bitmap-add', { node: 's', name: 'small' }),
      run('block-dirty-bitmap-add', { node: 'src', name: 'other' }),
      ...dirty('j'),
      nodes,
      run('block-dirty-bitmap-merge', { node: 'a', target: 'd', bitmaps: ['b', 'c'] }),
      bitmapHash('d'),
      run('block-dirty-bitmap-merge', { node: 'src', target: 'other', bitmaps: [{ node: 'a', name: 'c' }] }),
      run('x-debug-block-dirty-bitmap-sha256', { node: 'src', name: 'other' }),
      run('block-dirty-bitmap-merge', { node: 'a', target: 'd', bitmaps: ['zz'] }),
      run('block-dirty-bitmap-merge', { node: 'a', target: 'zz', bitmaps: ['b'] }),
      run('block-dirty-bitmap-merge', {
        node: 'a',
        target: 'd',
        bitmaps: ['b', { node: 's', name: 'small' }],
      }),
      run('block-dirty-bitmap-merge', { node: 'a', target: 'd', bitmaps: ['d'] }),
      run('block-dirty-bitmap-merge', { node: 'a', target: 'd', bitmaps: [1] }),
      bitmapHash('b'),
      bitmapHash('c'),
      bitmapHash('d'),
      nodes,
    ],
  },
  ...(['on-success', 'never', 'always'] as const).flatMap((mode): Scenario[] => [
    {
      name: `bitmaps: a backup with bitmap-mode ${mode}`,
      prepare: disks,
      steps: [...dirtyBitmap, backup('bitmap', mode), gone('j'), bitmapHash('b'), nodes],
      compare: ['t.qcow2'],
    },
    {
      name: `bitmaps: a cancelled backup with bitmap-mode ${mode}`,
      prepare: disks,
      steps: [
        ...dirtyBitmap,
        backup('bitmap', mode, { 'auto-finalize': false }),
        status('j', 'pending'),
        bitmap('clear', 'b'),
        bitmap('enable', 'b'),
        bitmap('disable', 'b'),
        bitmap('remove', 'b'),
        run('block-dirty-bitmap-merge', { node: 'a', target: 'b', bitmaps: ['b'] }),
        run('job-cancel', { id: 'j' }),
        gone('j'),
        bitmapHash('b'),
        nodes,
      ],
    },
    {
      name: `bitmaps: a full backup that synchronises a bitmap with ${mode}`,
      prepare: disks,
      steps: [
        ...dirtyBitmap,
        backup('full', mode),
        ...(mode === 'never' ? [] : [gone('j')]),
        bitmapHash('b'),
        nodes,
      ],
    },
  ]),
  {
    name: 'bitmaps: an incremental chain',
    prepare: [
      ...disks,
      'qemu-img create -q -f qcow2 -b t.qcow2 -F qcow2 i1.qcow2',
      'qemu-img create -q -f qcow2 -b i1.qcow2 -F qcow2 i2.qcow2',
    ],
    steps: [
      disk,
      node('src', 'src.qcow2'),
      node('t', 't.qcow2'),
      run('transaction', {
        actions: [
          { type: 'block-dirty-bitmap-add', data: { node: 'a', name: 'b' } },
          {
            type: 'blockdev-backup',
            data: { 'job-id': 'full', device: 'a', target: 't', sync: 'full' },
          },
        ],
      }),
      gone('full'),
      run('blockdev-del', { 'node-name': 't' }),
      ...dirty('d1'),
      ...increment('i1'),
      bitmapHash('b'),
      ...dirty('d2'),
      ...increment('i2'),
      bitmapHash('b'),
    ],
    compare: ['i1.qcow2', 'i2.qcow2'],
  },
  ...['drive', 'a', 'empty', 'zz'].map(ofDeviceOrNode),
];

/** Every command and action that names the node of a bitmap, for a device or a node. */
function ofDeviceOrNode(who: string): Scenario {
  const bitmap = { node: who, name: 'x' };
  return {
    name: `bitmaps: by device or node, ${who}`,
    program: 'system',
    prepare: ['qemu-img create -q -f qcow2 a.qcow2 1M', 'qemu-img create -q -f qcow2 t.qcow2 1M'],
    options: [
      ...['-machine', 'none', '-drive', 'if=none,id=drive,file=a.qcow2,format=qcow2,node-name=a'],
      ...['-drive', 'if=none,id=empty'],
    ],
    steps: [
      run('block-dirty-bitmap-add', { node: 'a', name: 'y' }),
      run('block-dirty-bitmap-add', bitmap),
      run('block-dirty-bitmap-disable', bitmap),
      run('block-dirty-bitmap-enable', bitmap),
      run('block-dirty-bitmap-clear', bitmap),
      run('block-dirty-bitmap-merge', { node: who, target: 'x', bitmaps: ['y', { node: who, name: 'y' }] }),
      run('x-debug-block-dirty-bitmap-sha256', bitmap),
      run('transaction', {
        actions: [
          { type: 'block-dirty-bitmap-disable', data: bitmap },
          { type: 'block-dirty-bitmap-enable', data: bitmap },
          { type: 'block-dirty-bitmap-clear', data: bitmap },
          { type: 'block-dirty-bitmap-add', data: { node: who, name: 'z' } },
          { type: 'block-dirty-bitmap-merge', data: { node: who, target: 'x', bitmaps: [bitmap] } },
          { type: 'block-dirty-bitmap-remove', data: { node: who, name: 'z' } },
        ],
      }),
      node('t', 't.qcow2'),
      add({ driver: 'copy-before-write', 'node-name': 'c', file: 'a', target: 't', bitmap }),
      del('c'),
      run('block-dirty-bitmap-remove', bitmap),
      run('block-commit', { 'job-id': 'j', device: who, 'base-node': who }),
    ],
  };
}
