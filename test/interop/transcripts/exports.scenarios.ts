/** The NBD server and its exports, by their commands and options: what is refused, what holds what, what goes when. */
import { add, addNull, del, node, nodes, run, type Scenario } from './scenario.ts';

const disks = [
  'qemu-img create -q -f qcow2 a.qcow2 4M',
  'qemu-img bitmap --add a.qcow2 b0',
  'qemu-img bitmap --add a.qcow2 b1',
];
const unix = (path: string): object => ({ addr: { type: 'unix', data: { path } } });
const start = run('nbd-server-start', unix('s.sock'));
const stop = run('nbd-server-stop');
const list = run('query-block-exports');
const added = (id: string, nodeName: string, more: object = {}) =>
  run('block-export-add', { type: 'nbd', id, 'node-name': nodeName, ...more });
const removed = (id: string, mode?: 'safe' | 'hard') =>
  run('block-export-del', mode === undefined ? { id } : { id, mode });
const disk = node('n', 'a.qcow2');

export const scenarios: readonly Scenario[] = [
  {
    name: 'exports: a server starts and stops once',
    steps: [stop, start, start, list, stop, stop, start],
  },
  {
    name: 'exports: where nobody can listen',
    steps: [
      run('nbd-server-start', unix('no/such/folder')),
      run('nbd-server-start', unix('x'.repeat(200))),
      run('nbd-server-start', { addr: { type: 'inet', data: { host: '127.0.0.1', port: 'zz' } } }),
      run('nbd-server-start', { addr: { type: 'fd', data: { str: 'nope' } } }),
      run('nbd-server-start', { addr: { type: 'unix' } }),
      run('nbd-server-start', { addr: { type: 'zz', data: {} } }),
      run('nbd-server-start', { ...unix('s.sock'), 'max-connections': -1 }),
      run('nbd-server-start', { ...unix('s.sock'), 'max-connections': 2 ** 32 }),
      run('nbd-server-start', { ...unix('s.sock'), 'handshake-max-seconds': -1 }),
      stop,
    ],
  },
  {
    name: 'exports: names and identifiers',
    prepare: disks,
    steps: [
      disk,
      added('e', 'n'),
      start,
      ...['0e', '', 'a b', 'a.b', 'a-b_c', 'e'].map((id) => added(id, 'n', { name: `of ${id}` })),
      added('e', 'n'),
      added('f', 'zz'),
      added('f', 'n', { name: 'of e' }),
      added('f', 'n', { name: '' }),
      added('g', 'n', { name: '' }),
      added('h', 'n', { name: 'x'.repeat(4096) }),
      added('i', 'n', { name: 'y'.repeat(4097) }),
      added('i', 'n', { name: 'i', description: 'y'.repeat(4097) }),
      added('i', 'n', { zz: 1 }),
      run('block-export-add', { type: 'zz', id: 'i', 'node-name': 'n' }),
      list,
    ],
  },
  {
    name: 'exports: what may be written',
    prepare: disks,
    steps: [
      node('ro', 'a.qcow2', { 'read-only': true }),
      addNull('rw'),
      start,
      added('a', 'ro', { writable: true }),
      added('b', 'ro'),
      added('c', 'rw', { writable: true, writethrough: true }),
      run('nbd-server-add', { device: 'ro', name: 'd', writable: true }),
      run('nbd-server-add', { device: 'rw', writable: true }),
      run('nbd-server-add', { device: 'rw', writable: true }),
      run('nbd-server-add', { device: 'zz' }),
      list,
    ],
  },
  {
    name: 'exports: bitmaps',
    prepare: disks,
    steps: [
      disk,
      add({ driver: 'raw', 'node-name': 'above', file: 'n' }),
      start,
      added('a', 'n', { bitmaps: ['nope'], writable: true }),
      added('a', 'n', { bitmaps: ['b0'] }),
      run('block-dirty-bitmap-disable', { node: 'n', name: 'b0' }),
      added('a', 'n', { bitmaps: ['b0'] }),
      added('b', 'n', { name: 'b', bitmaps: ['b0'] }),
      added('b', 'n', { name: 'b', bitmaps: [{ node: 'n', name: 'b1' }], writable: true }),
      added('c', 'above', { name: 'c', bitmaps: ['b1'] }),
      added('c', 'above', { name: 'c', bitmaps: [{ node: 'n', name: 'nope' }] }),
      added('c', 'above', { name: 'c', bitmaps: [{ node: 'zz', name: 'b1' }] }),
      run('block-dirty-bitmap-clear', { node: 'n', name: 'b0' }),
      run('block-dirty-bitmap-remove', { node: 'n', name: 'b1' }),
      nodes,
      removed('a'),
      run('block-dirty-bitmap-remove', { node: 'n', name: 'b0' }),
      stop,
      run('block-dirty-bitmap-remove', { node: 'n', name: 'b1' }),
      nodes,
    ],
  },
  {
    name: 'exports: what holds a node',
    prepare: disks,
    steps: [
      disk,
      start,
      added('a', 'n'),
      added('b', 'n', { name: 'b', writable: true }),
      del('n'),
      run('block_resize', { 'node-name': 'n', size: 8 << 20 }),
      run('x-debug-query-block-graph'),
      removed('a'),
      del('n'),
      removed('b', 'hard'),
      removed('b', 'hard'),
      del('n'),
    ],
  },
  {
    name: 'exports: by older names',
    prepare: disks,
    steps: [
      disk,
      start,
      run('nbd-server-add', { device: 'n', bitmap: 'b0', writable: true, description: 'd' }),
      run('nbd-server-add', { device: 'n', name: 'o', bitmap: 'nope' }),
      run('nbd-server-remove', { name: 'zz' }),
      list,
      run('nbd-server-remove', { name: 'n' }),
      run('nbd-server-remove', { name: 'n', mode: 'hard' }),
      list,
    ],
  },
  {
    name: 'exports: by the command line',
    prepare: disks,
    options: [
      ['--blockdev', 'qcow2,node-name=n,file.driver=file,file.filename=a.qcow2'],
      ['--nbd-server', 'addr.type=unix,addr.path=s.sock,max-connections=3'],
      [
        '--export',
        'nbd,id=e,node-name=n,name=disk,writable=on,bitmaps.0=b0,bitmaps.1.node=n,bitmaps.1.name=b1',
      ],
      ['--export', '{"type": "nbd", "id": "f", "node-name": "n"}'],
    ].flat(),
    steps: [list, start, removed('f'), stop, list],
  },
  {
    name: 'exports: of a machine',
    program: 'system',
    options: [
      '-blockdev',
      'null-co,node-name=n,size=1048576',
      '-drive',
      'if=none,id=d,driver=null-co,size=1M',
    ],
    steps: [
      start,
      run('nbd-server-add', { device: 'd' }),
      added('e', 'd'),
      added('e', 'n'),
      list,
      run('nbd-server-remove', { name: 'd' }),
      stop,
    ],
  },
];
