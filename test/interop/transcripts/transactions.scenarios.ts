/** Every action of `transaction`, and every way in which one can fail; what a failure must undo. */
import { bitmapHash, gone, node, nodes, run, type Scenario, status } from './scenario.ts';

const disks = [
  'qemu-img create -q -f qcow2 a.qcow2 4M',
  'qemu-io -f qcow2 -c "write -P 1 0 1M" a.qcow2',
  'qemu-img create -q -f qcow2 b.qcow2 4M',
  'qemu-io -f qcow2 -c "write -P 2 0 1M" b.qcow2',
  'qemu-img create -q -f qcow2 ta.qcow2 4M',
  'qemu-img create -q -f qcow2 tb.qcow2 4M',
  'qemu-img create -q -f qcow2 small.qcow2 1M',
];
const [a, b, ta, tb] = ['a', 'b', 'ta', 'tb'].map((name) => node(name, `${name}.qcow2`)) as [
  ReturnType<typeof node>,
  ReturnType<typeof node>,
  ReturnType<typeof node>,
  ReturnType<typeof node>,
];
const action = (type: string, data: object) => ({ type, data });
const all = (actions: readonly object[], mode?: string) =>
  run('transaction', { actions, ...(mode ? { properties: { 'completion-mode': mode } } : {}) });
const bitmap = (verb: string, name: string, more: object = {}) =>
  action(`block-dirty-bitmap-${verb}`, { node: 'a', name, ...more });
const addBitmap = (name: string, more: object = {}) =>
  run('block-dirty-bitmap-add', { node: 'a', name, ...more });
const backup = (id: string, device: string, target: string, more: object = {}) =>
  action('blockdev-backup', { 'job-id': id, device, target, sync: 'full', ...more });
const abort = action('abort', {});

/** Actions that can be undone, and what must be as before. */
const undone: readonly [string, object, (readonly object[])?][] = [
  ['add', bitmap('add', 'new')],
  ['remove', bitmap('remove', 'p')],
  ['clear', bitmap('clear', 'p')],
  ['enable', bitmap('enable', 'off')],
  ['disable', bitmap('disable', 'p')],
  ['merge', bitmap('merge', '', { target: 'off', bitmaps: ['p'] })],
];

export const scenarios: readonly Scenario[] = [
  {
    name: 'transaction: nothing to do',
    steps: [
      all([]),
      all([abort]),
      run('transaction', {}),
      all([{ type: 'nosuch', data: {} }]),
      all([{ type: 'abort' }]),
    ],
  },
  ...undone.map(
    ([name, given]): Scenario => ({
      name: `transaction: bitmap ${name} is undone`,
      prepare: disks,
      steps: [
        a,
        b,
        addBitmap('p'),
        addBitmap('off', { disabled: true }),
        run('blockdev-backup', { 'job-id': 'w', device: 'b', target: 'a', sync: 'top' }),
        gone('w'),
        all([fixMerge(given), abort]),
        bitmapHash('p'),
        bitmapHash('off'),
        nodes,
        all([fixMerge(given)]),
        nodes,
      ],
    }),
  ),
  // QEMU dies of an enable action that is refused.
  ...undone
    .filter(([name]) => name !== 'enable')
    .map(
      ([name, given]): Scenario => ({
        name: `transaction: bitmap ${name} cannot be grouped`,
        prepare: disks,
        steps: [
          a,
          addBitmap('p'),
          addBitmap('off', { disabled: true }),
          all([fixMerge(given)], 'grouped'),
          nodes,
        ],
      }),
    ),
  {
    name: 'transaction: bitmaps that are not there',
    prepare: disks,
    steps: [
      a,
      all([bitmap('add', '')]),
      all([bitmap('add', 'x', { granularity: 7 })]),
      all([bitmap('remove', 'zz')]),
      all([bitmap('clear', 'zz')]),
      all([bitmap('disable', 'zz')]),
      all([action('block-dirty-bitmap-merge', { node: 'a', target: 'zz', bitmaps: ['y'] })]),
      all([action('block-dirty-bitmap-add', { node: 'zz', name: 'b' })]),
      addBitmap('b'),
      all([bitmap('add', 'b')]),
      all([bitmap('add', 'c'), bitmap('add', 'c')]),
      all([bitmap('remove', 'b'), bitmap('add', 'b')]),
      all([bitmap('add', 'd'), bitmap('disable', 'd')]),
      all([
        bitmap('add', 'e'),
        action('block-dirty-bitmap-merge', { node: 'a', target: 'e', bitmaps: ['b'] }),
        bitmap('clear', 'b'),
      ]),
      nodes,
    ],
  },
  {
    name: 'transaction: a full backup and its bitmap start together',
    prepare: disks,
    steps: [a, ta, all([bitmap('add', 'b'), backup('j', 'a', 'ta')]), gone('j'), nodes],
    compare: ['ta.qcow2'],
  },
  ...(
    [
      ['no such device', backup('k', 'zz', 'tb')],
      ['no such target', backup('k', 'b', 'zz')],
      ['a target that is in use', backup('k', 'b', 'ta')],
      ['a target that is too small', backup('k', 'b', 'small')],
      ['a taken job id', backup('j', 'b', 'tb')],
      ['a malformed job id', backup('1j', 'b', 'tb')],
      ['a negative speed', backup('k', 'b', 'tb', { speed: -1 })],
      ['no such bitmap', backup('k', 'b', 'tb', { sync: 'bitmap', bitmap: 'zz', 'bitmap-mode': 'never' })],
      ['an action that always fails', abort],
      [
        'a file that cannot be made',
        action('drive-backup', { 'job-id': 'k', device: 'b', target: '/nonexistent/x', sync: 'full' }),
      ],
      [
        'a format that does not exist',
        action('drive-backup', { 'job-id': 'k', device: 'b', target: 'x', format: 'zz', sync: 'full' }),
      ],
      ['a snapshot that cannot be', action('blockdev-snapshot', { node: 'b', overlay: 'zz' })],
      [
        'a snapshot without a file',
        action('blockdev-snapshot-sync', {
          'node-name': 'b',
          'snapshot-file': '/nonexistent/x',
          'snapshot-node-name': 'o',
        }),
      ],
    ] as const
  ).map(
    ([name, second]): Scenario => ({
      name: `transaction: a backup, then ${name}`,
      prepare: disks,
      steps: [
        a,
        b,
        ta,
        tb,
        node('small', 'small.qcow2'),
        all([backup('j', 'a', 'ta'), second]),
        run('query-jobs'),
        nodes,
      ],
    }),
  ),
  {
    name: 'transaction: two backups, one of them cancelled, individual',
    prepare: disks,
    steps: [
      a,
      b,
      ta,
      tb,
      all([
        backup('j', 'a', 'ta', { 'auto-finalize': false }),
        backup('k', 'b', 'tb', { 'auto-finalize': false }),
      ]),
      status('j', 'pending'),
      status('k', 'pending'),
      run('job-cancel', { id: 'j' }),
      gone('j'),
      run('job-finalize', { id: 'k' }),
      gone('k'),
    ],
    compare: ['tb.qcow2'],
    normalise: unordered,
  },
];

/** The action for merging has no `name`. */
function fixMerge(given: object): object {
  const { type, data } = given as { type: string; data: Record<string, unknown> };
  if (type !== 'block-dirty-bitmap-merge') return given;
  const { name: _, ...rest } = data;
  return { type, data: rest };
}

/** Two jobs run at the same time: which of them is first is chance. */
function unordered(message: Record<string, unknown>): Record<string, unknown> {
  return message['event'] === 'JOB_STATUS_CHANGE' || message['event'] === 'BLOCK_JOB_PENDING'
    ? { event: message['event'] }
    : message;
}
