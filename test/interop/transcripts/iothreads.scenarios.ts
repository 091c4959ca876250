/** Event loops: objects like any other, which devices and nodes are given to. */
import type { Message } from '../../support/qmp-sessions.ts';
import { add, addNull, run, type Scenario } from './scenario.ts';

const move = (name: string, iothread: string | null, more: object = {}): Message =>
  run('x-blockdev-set-iothread', { 'node-name': name, iothread, ...more });
const force = { force: true };
const loop = (id: string, more: object = {}): Message =>
  run('object-add', { 'qom-type': 'iothread', id, ...more });
const set = (property: string, value: unknown): Message =>
  run('qom-set', { path: '/objects/t', property, value });
const get = (path: string, property: string): Message => run('qom-get', { path, property });
const controller = (id: string, iothread: string): Message =>
  run('device_add', { driver: 'virtio-scsi-pci', id, iothread });

/** The operating system numbers threads. */
function unnumbered(message: Message): Message {
  const text = JSON.stringify(message, (key, value: unknown) => (key === 'thread-id' ? 0 : value));
  return JSON.parse(text) as Message;
}

/** A loop with queues of a device, or with whichever are its turn. */
const queues = (iothread: string, ...vqs: number[]): object => ({ iothread, vqs });
const turns = (iothread: string): object => ({ iothread });
const controllerOn = (id: string, mapping: unknown, more: object = {}): Message =>
  run('device_add', {
    driver: 'virtio-scsi-pci',
    id,
    num_queues: 2,
    'iothread-vq-mapping': mapping,
    ...more,
  });
const diskOn = (drive: string, mapping: unknown, more: object = {}): Message =>
  run('device_add', {
    driver: 'virtio-blk-pci',
    ...{ id: drive, drive, 'num-queues': 2, 'iothread-vq-mapping': mapping, ...more },
  });
const mappingOf = (path: string): Message => get(path, 'iothread-vq-mapping');

const pc = ['-S', '-machine', 'pc', '-m', '16'];

export const scenarios: readonly Scenario[] = [
  {
    name: 'iothreads: made, tuned and deleted',
    program: 'system',
    options: ['-machine', 'none', '-object', 'iothread,id=o,poll-max-ns=5'],
    normalise: unnumbered,
    steps: [
      run('query-iothreads'),
      loop('t', { 'poll-grow': 1, 'poll-shrink': 2, 'aio-max-batch': 3, 'thread-pool-max': 4 }),
      run('query-iothreads'),
      run('qom-list', { path: '/objects/t' }),
      ...['poll-max-ns', 'thread-pool-max', 'thread-id'].map((name) => get('/objects/t', name)),
      ...[7, -7, 'x'].map((value) => set('poll-max-ns', value)),
      ...[0, -1, 1].map((value) => set('thread-pool-max', value)),
      set('thread-pool-min', 2),
      run('query-iothreads'),
      loop('t'),
      loop('1'),
      loop('u', { 'poll-max-ns': -1 }),
      loop('u', { 'thread-pool-min': 4, 'thread-pool-max': 2 }),
      loop('u', { 'poll-max-ns': 'x' }),
      loop('u', { nothing: 1 }),
      run('object-add', { 'qom-type': 'main-loop', id: 'm', 'aio-max-batch': 3 }),
      run('object-del', { id: 't' }),
      run('object-del', { id: 'o' }),
      run('query-iothreads'),
    ],
  },
  {
    name: 'iothreads: nodes are given to them',
    program: 'system',
    options: [
      ...pc,
      ...['-object', 'iothread,id=t', '-object', 'iothread,id=u', '-object', 'throttle-group,id=g'],
      ...['-drive', 'if=none,id=d,driver=null-co,node-name=nd', '-device', 'virtio-blk-pci,drive=d,id=v'],
      ...['-drive', 'if=none,id=e,driver=null-co,node-name=ne'],
    ],
    steps: [
      addNull('n'),
      add({ driver: 'raw', file: 'n', 'node-name': 'r' }),
      ...['t', 'u', null, 'nobody', 'g'].map((name) => move('n', name)),
      move('nobody', 't'),
      run('object-del', { id: 'u' }),
      move('r', 'u'),
      ...['t', null].flatMap((name) =>
        ['nd', 'ne'].flatMap((node) => [move(node, name), move(node, name, force)]),
      ),
      move('nd', 'nobody', force),
      run('device_add', { driver: 'virtio-blk-pci', drive: 'r', id: 'w' }),
      ...['n', 'r'].map((node) => move(node, 't')),
      ...['n', 'r'].map((node) => move(node, 't', force)),
    ],
  },
  {
    name: 'iothreads: devices are given to them',
    program: 'system',
    options: [
      ...pc,
      '-object',
      'iothread,id=t',
      '-object',
      'throttle-group,id=g',
      '-device',
      'virtio-scsi-pci,id=s,iothread=t',
    ],
    steps: [
      addNull('n'),
      get('s', 'iothread'),
      controller('a', '/objects/t'),
      get('a', 'iothread'),
      controller('b', ''),
      get('b', 'iothread'),
      ...['nobody', '/objects', 'g', '/objects/nobody'].map((path) => controller('c', path)),
      run('device_add', { driver: 'virtio-blk-pci', drive: 'n', id: 'v', iothread: 't' }),
      get('v', 'iothread'),
      run('device_add', { driver: 'ide-hd', drive: 'n', iothread: 't' }),
      run('object-del', { id: 't' }),
    ],
  },
  {
    name: 'iothreads: queues are given to several',
    program: 'system',
    options: [
      ...pc,
      ...['t', 'u', 'w'].flatMap((id) => ['-object', `iothread,id=${id}`]),
      ...['-object', 'throttle-group,id=g', '-device', 'virtio-scsi-pci,id=s'],
    ],
    steps: [
      ...['n', 'm', 'o'].map((name) => addNull(name)),
      mappingOf('s'),
      controllerOn('a', [queues('t', 0, 1)]),
      mappingOf('a'),
      controllerOn('b', [queues('t', 0), queues('/objects/t', 1)]),
      mappingOf('b'),
      controllerOn('c', [turns('t'), turns('u'), queues('w')]),
      mappingOf('c'),
      ...[
        [queues('t', 0), queues('t', 1)],
        [queues('t', 0), queues('u', 0)],
        [queues('t', 0, 0), queues('u', 1)],
        [queues('t', 9)],
        [queues('t', 1)],
        [queues('t', 1, 0), turns('u')],
        [turns('u'), queues('t', 0, 1)],
        [turns('nobody'), queues('t', 9)],
        [turns('t'), turns('t')],
        [turns('g')],
        [turns('')],
        'x',
        [1],
        [{}],
        [{ iothread: 1 }],
        [{ iothread: 't', x: 1 }],
        [{ iothread: 't', vqs: [-1] }],
        [{ iothread: 't', vqs: [70_000] }],
        [{ iothread: 't', vqs: ['0'] }],
      ].map((mapping) => controllerOn('d', mapping)),
      controllerOn('d', [turns('t')], { iothread: 't' }),
      controllerOn('d', [turns('nobody')], { ioeventfd: false }),
      controllerOn('d', [], { ioeventfd: false, iothread: 't' }),
      ...[0, 2000].map((num_queues) => controllerOn('d', [turns('nobody')], { num_queues })),
      diskOn('n', [turns('nobody')], { 'num-queues': 0 }),
      diskOn('n', [turns('nobody')], { discard_granularity: 3 }),
      diskOn('n', [turns('nobody')], { 'max-discard-sectors': 0 }),
      diskOn('n', [turns('nobody')], { 'max-write-zeroes-sectors': 4194304 }),
      diskOn('n', [turns('nobody')], { heads: 3, discard_granularity: 3 }),
      diskOn('n', [turns('nobody')]),
      diskOn('n', [queues('t', 0)]),
      diskOn('n', [turns('t')], { iothread: 't' }),
      diskOn('n', [queues('u', 0), queues('t', 1)]),
      ...['n', 'n/virtio-backend'].map(mappingOf),
      get('n', 'iothread'),
      diskOn('m', [], { iothread: 't' }),
      mappingOf('m'),
      ...['iothread', 'iothread-vq-mapping', 'num-queues', 'ats'].map((property) =>
        run('qom-set', { path: 'n', property, value: property === 'iothread' ? 't' : [] }),
      ),
      run('object-del', { id: 'u' }),
    ],
  },
];
