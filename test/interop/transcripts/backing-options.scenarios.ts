/** Options of a backing file that the image's header names, and of files that are named: on top of the name. */
import { add, briefNodes, file, node, nodes, type Scenario } from './scenario.ts';

const chain = [
  'qemu-img create -q -f raw base.img 1M',
  'qemu-img create -q -f qcow2 -b base.img -F raw mid.qcow2',
  'qemu-img create -q -f qcow2 -b mid.qcow2 -F qcow2 top.qcow2',
  'qemu-img create -q -f qcow2 alone.qcow2 1M',
];

/** A drive with these options shows these nodes. */
function drive(options: string): Scenario {
  return {
    name: `backing-options: -drive ${options}`,
    program: 'system',
    prepare: chain,
    options: ['-machine', 'none', '-drive', `if=none,id=a,${options}`],
    normalise: briefNodes,
    steps: [nodes],
  };
}

const named = (options: object): string => `file=json:${JSON.stringify(options).replaceAll(',', ',,')}`;
const topWith = (backing: object): string =>
  named({ driver: 'qcow2', file: { driver: 'file', filename: 'top.qcow2' }, backing });

export const scenarios: readonly Scenario[] = [
  ...[
    'file=top.qcow2,node-name=t,backing.node-name=m,backing.backing.node-name=b',
    'file=top.qcow2,backing.file.node-name=f,backing.file.locking=off',
    'file=top.qcow2,backing.driver=file',
    'file=top.qcow2,backing.driver=raw,backing.file.driver=qcow2',
    'file=top.qcow2,backing.file.driver=blkdebug',
    'file=top.qcow2,backing.read-only=off,backing.backing.read-only=on',
    'file=top.qcow2,readonly=on,backing.cache.no-flush=on,backing.detect-zeroes=on',
    'file=top.qcow2,cache=unsafe,backing.backing.cache.no-flush=off,backing.discard=unmap,backing.detect-zeroes=unmap',
    'file=top.qcow2,backing.backing=',
    'file=top.qcow2,backing.backing.file.filename=alone.qcow2',
    'file=top.qcow2,snapshot=off,file.node-name=f,file.locking=off',
    'file=top.qcow2,driver=raw,file.driver=qcow2,file.backing.node-name=m',
    'file=base.img,driver=blkdebug,align=64k',
    'file=blkdebug::null-co://,driver=blkdebug,align=64k',
    topWith({ 'node-name': 'm', 'read-only': true }),
    topWith({ 'node-name': 'm', 'read-only': false, backing: { 'node-name': 'b' } }),
    topWith({}),
    `${named({ driver: 'qcow2', 'file.driver': 'file', 'file.filename': 'top.qcow2' })},file.node-name=f,backing.node-name=m`,
  ].map(drive),
  {
    name: 'backing-options: what cannot be said on top of a name',
    prepare: chain,
    normalise: briefNodes,
    steps: [
      node('r', 'base.img'),
      ...[
        { driver: 'raw', file: 'r' },
        { driver: 'file', filename: 'base.img' },
        { driver: 'null-co' },
        { driver: 'raw', file: { driver: 'null-co' } },
        { driver: 'raw', file: { driver: 'raw', file: file('base.img') } },
        { driver: 'blkdebug', image: file('base.img') },
        { driver: 'qcow2', file: file('base.img') },
        { driver: 'qcow2', file: file('mid.qcow2'), backing: { driver: 'null-co' } },
        'zz',
      ].map((backing) => node('t', 'top.qcow2', { backing })),
      // The same, where no header names anything.
      node('s', 'alone.qcow2', { backing: { driver: 'null-co', size: 1048576 } }),
      add({ driver: 'raw', 'node-name': 'x', file: 's', backing: 'r' }),
      nodes,
    ],
  },
  {
    name: 'backing-options: no backing file',
    prepare: chain,
    normalise: briefNodes,
    steps: [node('t', 'top.qcow2', { backing: null }), node('u', 'mid.qcow2', { backing: '' }), nodes],
  },
];
