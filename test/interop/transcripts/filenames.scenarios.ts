/** File names as queries show them and as images store them: overridden backing files, other folders, colons. */
import type { Message } from '../../support/qmp-sessions.ts';
import { add, briefNodes, file, gone, node, nodes, reopen, run, type Scenario } from './scenario.ts';

const images = [
  'mkdir sub',
  'qemu-img create -q -f raw base.img 1M',
  'qemu-img create -q -f raw sub/b.img 1M',
  'qemu-img create -q -f qcow2 -b b.img -F raw sub/r.qcow2',
  'qemu-img create -q -f qcow2 -b ../base.img -F raw sub/s.qcow2',
  'qemu-img create -q -f qcow2 -b base.img -F raw mid.qcow2',
  'qemu-img create -q -f qcow2 -b mid.qcow2 -F qcow2 top.qcow2',
  'cp mid.qcow2 ./x:mid.qcow2',
  'qemu-img create -q -f qcow2 -b file:base.img -F raw colon.qcow2',
];

const common = { program: 'system', prepare: images, normalise: briefNodes } as const;
const drive = (options: string): string[] => ['-machine', 'none', '-drive', `if=none,id=a,${options}`];
const info = (more: string): Message =>
  run('human-monitor-command', { 'command-line': `info block ${more}` });
const snapshot = (name: string, more: object = {}): Message =>
  run('blockdev-snapshot-sync', { device: 'a', 'snapshot-file': name, ...more });

/** What a drive is called, and where its backing file is. */
function shown(options: string): Scenario {
  return { ...common, name: `filenames: ${options}`, options: drive(options), steps: [nodes, info('-v')] };
}

export const scenarios: readonly Scenario[] = [
  ...[
    'file=sub/r.qcow2',
    'file=sub/r.qcow2,backing.node-name=m',
    'file=sub/s.qcow2,backing.driver=raw,backing.file.filename=sub/../base.img',
    'file=sub/s.qcow2,backing=',
    'file=colon.qcow2,backing.node-name=m',
    'file=./x:mid.qcow2',
    'file=file:x:mid.qcow2',
    'file=file:./x:mid.qcow2',
    'file=json:{"driver":"qcow2",,"file":{"driver":"raw",,"offset":0,,"file":{"driver":"file",,"filename":"sub/s.qcow2"}}}',
    'file=json:{"driver":"qcow2",,"file":{"driver":"blkdebug",,"align":512,,"image":{"driver":"file",,"filename":"mid.qcow2"}}}',
  ].map(shown),
  {
    ...common,
    name: 'filenames: of images and overlays with colons',
    options: drive('file=file:x:mid.qcow2,node-name=t'),
    steps: [
      snapshot('x:n.qcow2'),
      snapshot('./x:n.qcow2'),
      nodes,
      snapshot('file:y:n.qcow2'),
      nodes,
      run('block-stream', { 'job-id': 'j', device: 'a', 'base-node': 't' }),
      gone('j'),
      nodes,
      snapshot('sub/n.qcow2'),
      nodes,
      info('-n'),
    ],
  },
  {
    ...common,
    name: 'filenames: an overlay over an overridden backing file',
    options: drive('file=top.qcow2,backing.driver=raw,backing.file.filename=base.img'),
    steps: [snapshot('sub/n.qcow2'), nodes, info('-n')],
  },
  {
    ...common,
    name: 'filenames: of a header that is changed',
    options: drive('file=sub/r.qcow2,node-name=t'),
    steps: ['sub/b.img', './b.img', 'b.img', 'x:y'].flatMap((name) => [
      run('change-backing-file', { device: 'a', 'image-node-name': 't', 'backing-file': name }),
      nodes,
    ]),
  },
  {
    ...common,
    name: 'filenames: backing files that are attached',
    options: ['-machine', 'none'],
    steps: [
      node('r', 'sub/b.img'),
      node('t', 'sub/r.qcow2', { backing: 'r' }),
      node('u', 'sub/s.qcow2', { backing: null }),
      run('blockdev-snapshot', { node: 'r', overlay: 'u' }),
      nodes,
      reopen({ driver: 'qcow2', 'node-name': 't', file: file('sub/r.qcow2'), backing: null }),
      nodes,
    ],
  },
  {
    ...common,
    name: 'filenames: where there is no folder to begin at',
    options: ['-machine', 'none'],
    steps: [undefined, null].map((backing) =>
      add({
        driver: 'qcow2',
        'node-name': 't',
        file: { driver: 'quorum', 'vote-threshold': 1, children: [file('mid.qcow2')] },
        ...(backing === null ? { backing } : {}),
      }),
    ),
  },
];
