/** blockdev-create and x-blockdev-amend in every way to be asked for and to end. */
import type { Message } from '../../support/qmp-sessions.ts';
import { add, file, node, run, type Scenario, status } from './scenario.ts';

const files = [
  'printf "%300000s" x > f.img',
  'printf "%300000s" x > ro.img',
  'qemu-img create -q -f qcow2 q.qcow2 1M',
];
const storage = add(file('f.img', { 'node-name': 'f' }));
const readOnly = add(file('ro.img', { 'node-name': 'ro', 'read-only': true }));
const jobs = run('query-jobs');

let made = 0;
/** The job to its end, and what is said of it. */
function create(options: object) {
  const id = `j${made++}`;
  return [
    run('blockdev-create', { 'job-id': id, options }),
    status(id, 'concluded'),
    jobs,
    run('job-dismiss', { id }),
  ];
}
const qcow2 = (more: object = {}) => create({ driver: 'qcow2', file: 'f', size: 1 << 20, ...more });
const refused = (options: object) => run('blockdev-create', { 'job-id': 'x', options });
const amend = (more: object, args: object = {}) =>
  run('x-blockdev-amend', {
    'job-id': 'a',
    'node-name': 'q',
    options: { driver: 'qcow2', ...more },
    ...args,
  });

export const scenarios: readonly Scenario[] = [
  {
    name: 'create: files',
    prepare: files,
    steps: [
      ...create(file('a.img', { size: 1 << 20 })),
      ...create(file('b.img', { size: 777 })),
      ...create(file('file:c.img', { size: 4096 })),
      ...create(file('f.img', { size: 65536 })),
      ...create(file('d.img', { size: 1 << 20, preallocation: 'falloc' })),
      ...create(file('e.img', { size: 1 << 20, preallocation: 'full' })),
      ...create(file('missing/a.img', { size: 1 << 20 })),
      ...create(file('/tmp', { size: 0 })),
      ...create(file('g.img', { size: 1 << 20, preallocation: 'metadata' })),
    ],
    compare: ['a.img', 'b.img', './file:c.img', 'd.img', 'e.img', 'f.img', 'g.img'],
  },
  {
    name: 'create: a file and an image in it',
    steps: [
      ...create(file('n.qcow2', { size: 0 })),
      ...create({ driver: 'qcow2', file: file('n.qcow2'), size: 4 << 20 }),
      node('n', 'n.qcow2'),
      run('query-named-block-nodes'),
    ],
    compare: ['n.qcow2'],
  },
  {
    name: 'create: images',
    prepare: files,
    steps: [
      storage,
      ...qcow2(),
      add({ driver: 'qcow2', 'node-name': 'n', file: 'f' }),
      ...qcow2(),
      run('blockdev-del', { 'node-name': 'n' }),
      ...qcow2({ size: 0 }),
      ...qcow2({ preallocation: 'metadata' }),
      ...qcow2({ preallocation: 'falloc' }),
      ...qcow2({ preallocation: 'full' }),
      ...qcow2({ 'backing-file': 'x' }),
      ...qcow2({ 'backing-file': 'x', 'backing-fmt': 'raw' }),
      ...qcow2({
        version: 'v3',
        'cluster-size': 4096,
        'lazy-refcounts': true,
        'refcount-bits': 1,
        'compression-type': 'zlib',
        'extended-l2': false,
        'data-file-raw': false,
      }),
      add({ driver: 'qcow2', 'node-name': 'n', file: 'f' }),
      run('query-named-block-nodes', { flat: true }),
    ],
    normalise: withoutFileSizes,
  },
  {
    name: 'create: images of VirtualBox and of Hyper-V',
    prepare: files,
    steps: [
      storage,
      ...create({ driver: 'vdi', file: 'f', size: 3 << 20 }),
      add({ driver: 'vdi', 'node-name': 'n', file: 'f' }),
      run('query-named-block-nodes', { flat: true }),
      run('blockdev-del', { 'node-name': 'n' }),
      ...create({ driver: 'vdi', file: 'f', size: 3 << 20, preallocation: 'metadata' }),
      ...create({ driver: 'vdi', file: 'f', size: 3 << 20, preallocation: 'full' }),
      ...create({ driver: 'vpc', file: 'f', size: 5_257_216 }),
      add({ driver: 'vpc', 'node-name': 'n', file: 'f' }),
      run('query-named-block-nodes', { flat: true }),
      run('blockdev-del', { 'node-name': 'n' }),
      ...create({ driver: 'vpc', file: 'f', size: 5 << 20 }),
      ...create({ driver: 'vpc', file: 'f', size: 5 << 20, 'force-size': true, subformat: 'fixed' }),
      ...create({ driver: 'vpc', file: 'f', size: 513, 'force-size': true }),
      ...create({ driver: 'vpc', file: 'f', size: 2 ** 42 }),
      refused({ driver: 'vdi', file: 'f' }),
      refused({ driver: 'vpc', file: 'f', size: 512, subformat: 'differencing' }),
    ],
    normalise: withoutFileSizes,
  },
  {
    name: 'create: what is wrong with an image',
    prepare: files,
    steps: [
      storage,
      readOnly,
      ...qcow2({ size: 1000 }),
      ...qcow2({ size: -1 }),
      ...qcow2({ size: 2 ** 52 }),
      ...qcow2({ file: 'ro' }),
      ...qcow2({ file: 'ro', size: 1000 }),
      ...qcow2({ file: 'ro', 'cluster-size': 1000 }),
      ...qcow2({ file: 'zz' }),
      ...qcow2({ file: file('missing') }),
      ...qcow2({ file: file('f.img', { 'node-name': 'f' }) }),
      ...qcow2({ file: file('f.img', { 'read-only': true }) }),
      ...qcow2({ file: file('f.img'), 'refcount-bits': 7 }),
      ...qcow2({ 'cluster-size': 1000 }),
      ...qcow2({ 'cluster-size': 4 << 20, 'refcount-bits': 7 }),
      ...qcow2({ 'refcount-bits': 7 }),
      ...qcow2({ 'refcount-bits': 128 }),
      ...qcow2({ version: 'v2', 'lazy-refcounts': true }),
      ...qcow2({ version: 'v2', 'refcount-bits': 8 }),
      ...qcow2({ version: 'v2', 'compression-type': 'zstd' }),
      ...qcow2({ 'backing-fmt': 'raw' }),
      ...qcow2({ 'backing-file': 'x', preallocation: 'metadata' }),
      ...qcow2({ 'backing-file': 'x'.repeat(1024) }),
      ...qcow2({ 'extended-l2': true, 'cluster-size': 4096 }),
      ...qcow2({ 'data-file-raw': true }),
    ],
  },
  {
    name: 'create: arguments that are refused',
    prepare: files,
    steps: [
      storage,
      ...['raw', 'null-co', 'throttle', 'nbd', 'copy-on-read', 'iscsi', 'zz'].map((driver) =>
        refused({ driver }),
      ),
      refused({ driver: 'raw', size: 1 }),
      refused({ driver: 'qcow2' }),
      refused({ driver: 'qcow2', file: 'f' }),
      refused({ driver: 'qcow2', file: 'f', size: '1M' }),
      refused({ driver: 'qcow2', file: 'f', size: 512, zz: 1 }),
      refused({ driver: 'qcow2', file: null, size: 512 }),
      refused({ driver: 'qcow2', file: { driver: 'zz' }, size: 512 }),
      refused({ driver: 'qcow2', file: 'f', size: 512, version: 'v4' }),
      refused({ driver: 'qcow2', file: 'f', size: 512, preallocation: 'zz' }),
      refused({ driver: 'qcow2', file: 'f', size: 512, 'backing-fmt': 'zz' }),
      refused({ driver: 'qcow2', file: 'f', size: 512, encrypt: { format: 'aes' } }),
      refused({ driver: 'qcow2', file: 'f', size: 512, encrypt: {} }),
      refused({ driver: 'file' }),
      refused({ driver: 'file', filename: 'x' }),
      refused({}),
      run('blockdev-create', { 'job-id': 'x' }),
      run('blockdev-create', { options: { driver: 'raw' } }),
      run('blockdev-create', { 'job-id': '1x', options: { driver: 'raw' } }),
      run('blockdev-create', { 'job-id': '1x', options: file('x.img', { size: 512 }) }),
      jobs,
    ],
  },
  {
    name: 'create: what a finished job answers',
    steps: [
      run('blockdev-create', { 'job-id': 'x', options: file('x.img', { size: 512 }) }),
      status('x', 'concluded'),
      run('blockdev-create', { 'job-id': 'x', options: file('x.img', { size: 512 }) }),
      ...['cancel', 'pause', 'resume', 'complete', 'finalize'].map((verb) => run(`job-${verb}`, { id: 'x' })),
      run('block-job-cancel', { device: 'x' }),
      run('block-job-dismiss', { id: 'x' }),
      run('query-block-jobs'),
      jobs,
      run('job-dismiss', { id: 'x' }),
      jobs,
    ],
  },
  {
    name: 'create: amend',
    prepare: files,
    steps: [
      storage,
      node('q', 'q.qcow2'),
      amend({}),
      run('job-dismiss', { id: 'a' }),
      amend({}, { force: true }),
      jobs,
      amend({}),
      run('job-dismiss', { id: 'a' }),
      amend({ encrypt: { format: 'luks', state: 'active', 'new-secret': 's' } }),
      jobs,
      run('job-dismiss', { id: 'a' }),
      amend({ encrypt: { format: 'qcow' } }),
      run('job-dismiss', { id: 'a' }),
      amend({ encrypt: { format: 'luks' } }),
      amend({ encrypt: { format: 'aes' } }),
      amend({ driver: 'raw' }),
      amend({ driver: 'luks', state: 'inactive' }),
      amend({ driver: 'zz' }),
      amend({ zz: 1 }),
      amend({ driver: 'file' }, { 'node-name': 'f' }),
      amend({ driver: 'raw' }, { 'node-name': 'f' }),
      amend({}, { 'node-name': 'zz' }),
      amend({}, { 'job-id': '1x' }),
      run('x-blockdev-amend', { 'job-id': 'a', 'node-name': 'q', options: {} }),
      run('x-blockdev-amend', { 'job-id': 'a', options: { driver: 'qcow2' } }),
      jobs,
    ],
    compare: ['q.qcow2'],
  },
];

/** How long a file is that was there before, in which an image was made, is the format driver's own affair. */
function withoutFileSizes(message: Message): Message {
  if (!Array.isArray(message.return)) return message;
  const nodes = message.return as Record<string, unknown>[];
  const isFile = ({ drv }: Record<string, unknown>): boolean => drv === 'file';
  return { return: nodes.map((node) => (isFile(node) ? { ...node, image: undefined } : node)) };
}
