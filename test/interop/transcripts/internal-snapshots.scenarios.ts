/** Internal snapshots: the commands, the action, and what is wrong with their arguments. */
import type { Message } from '../../support/qmp-sessions.ts';
import { node, nodes, run, type Scenario } from './scenario.ts';

const create = (device: string, name: string): Message =>
  run('blockdev-snapshot-internal-sync', { device, name });
const remove = (device: string, more: object): Message =>
  run('blockdev-snapshot-delete-internal-sync', { device, ...more });
const action = (device: string, name: string): object => ({
  type: 'blockdev-snapshot-internal-sync',
  data: { device, name },
});
const disk = ['qemu-img create -q -f qcow2 a.qcow2 4M', 'qemu-io -f qcow2 -c "write -P 1 0 1M" a.qcow2'];

/** When a snapshot was made is for the clock to say, and where its tables are, and so how long a file is, is free. */
function normalise(message: Message): Message {
  const times = new Set(['date-sec', 'date-nsec', 'vm-clock-sec', 'vm-clock-nsec']);
  const isFile = (value: unknown) => (value as { format?: string } | null)?.format === 'file';
  return JSON.parse(
    JSON.stringify(message, (key, value: unknown) => {
      if (times.has(key)) return 0;
      return isFile(value) ? { ...(value as object), 'virtual-size': 0 } : value;
    }),
  ) as Message;
}

export const scenarios: readonly Scenario[] = [
  {
    name: 'internal-snapshot: made, listed and deleted by name and by id',
    prepare: disk,
    normalise,
    steps: [
      node('a', 'a.qcow2'),
      create('a', 'one'),
      create('a', '1'),
      create('a', 'x'.repeat(300)),
      create('a', 'x'.repeat(300)),
      nodes,
      remove('a', { name: '1' }),
      remove('a', { id: '1' }),
      create('a', 'five'),
      nodes,
      remove('a', { id: '4', name: 'five' }),
      nodes,
    ],
    compare: ['a.qcow2'],
  },
  {
    name: 'internal-snapshot: everything that is wrong with the arguments',
    prepare: [
      ...disk,
      'qemu-img create -q -f raw r.raw 1M',
      'qemu-img create -q -f qcow2 ro.qcow2 1M',
      'qemu-img create -q -f qcow2 o.qcow2 1M',
      'qemu-img create -q -f qcow2 -o refcount_bits=1 narrow.qcow2 1M',
      'qemu-io -f qcow2 -c "write 0 64k" narrow.qcow2',
    ],
    normalise,
    steps: [
      node('a', 'a.qcow2'),
      node('r', 'r.raw'),
      node('ro', 'ro.qcow2', { 'read-only': true }),
      node('o', 'o.qcow2', { backing: 'a' }),
      create('zz', 'x'),
      create('a', 'x'),
      create('r', 'x'),
      create('r', ''),
      create('ro', 'x'),
      create('ro', ''),
      create('o', ''),
      create('o', 'x'),
      create('o', 'x'),
      node('narrow', 'narrow.qcow2'),
      create('narrow', 'x'),
      remove('zz', {}),
      remove('a', {}),
      remove('o', {}),
      remove('o', { id: '9' }),
      remove('o', { name: 'zz' }),
      remove('o', { id: '1', name: 'zz' }),
      remove('o', { id: '', name: '' }),
      remove('r', { name: 'x' }),
      remove('ro', { name: 'x' }),
    ],
    compare: ['a.qcow2', 'o.qcow2'],
  },
  {
    name: 'internal-snapshot: in transactions, taken back when one fails',
    prepare: [...disk, 'qemu-img create -q -f qcow2 b.qcow2 1M'],
    normalise,
    steps: [
      node('a', 'a.qcow2'),
      node('b', 'b.qcow2'),
      run('transaction', { actions: [action('a', 'u'), action('b', 'u')] }),
      run('transaction', { actions: [action('a', 'v'), action('b', 'u')] }),
      run('transaction', { actions: [action('a', 'v'), { type: 'abort', data: {} }] }),
      run('transaction', { actions: [action('a', 'v')], properties: { 'completion-mode': 'grouped' } }),
      run('transaction', { actions: [action('a', 'v'), action('a', 'w')] }),
      nodes,
    ],
    compare: ['a.qcow2', 'b.qcow2'],
  },
  {
    name: 'internal-snapshot: through a filter',
    prepare: disk,
    normalise,
    steps: [
      node('a', 'a.qcow2'),
      run('blockdev-add', { driver: 'copy-before-write', 'node-name': 'f', file: 'a', target: 'zz' }),
      run('object-add', { 'qom-type': 'throttle-group', id: 'g' }),
      run('blockdev-add', { driver: 'throttle', 'node-name': 't', 'throttle-group': 'g', file: 'a' }),
      create('t', 'x'),
      create('a', 'y'),
      remove('t', { name: 'x' }),
      nodes,
    ],
    compare: ['a.qcow2'],
  },
];
