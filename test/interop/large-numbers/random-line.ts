/** Command lines and messages of QMP about large numbers, drawn from seeds. */
import type { ToolName } from '../../support/cli.ts';
import type { Seeded } from '../../support/seeded.ts';
import { jsonNumber, spelledNumber } from './random-number.ts';

export interface ToolLine {
  tool: ToolName | 'qemu-storage-daemon';
  args: string[];
}

/** `N` stands for a number, `J` for one in JSON, `F` for a format. */
const imgLines = [
  'create -f F t N',
  'create -f F -o size=N t',
  'create -f qcow2 -o cluster_size=2M t N',
  'create -f qcow2 -o cluster_size=N t 1M',
  'create -f qcow2 -o refcount_bits=N t 1M',
  'create -f qcow2 -b a.qcow2 -F qcow2 t N',
  'measure -O F --size N',
  'measure -O F --output json --size N',
  'measure -O qcow2 -o cluster_size=2M --size N',
  'measure -O F --image-opts driver=null-co,size=N',
  'info --image-opts driver=null-co,size=N',
  'info --output json --image-opts driver=null-co,size=N',
  'info json:{"driver":"null-co","size":J}',
  'info --image-opts driver=raw,offset=N,file.driver=null-co,file.size=N',
  'info --image-opts driver=raw,size=N,file.driver=null-co,file.size=N',
  'info --image-opts driver=raw,offset=N,size=N,file.driver=file,file.filename=r.raw',
  'info json:{"driver":"raw","size":J,"file":{"driver":"null-co","size":J}}',
  'info --image-opts driver=qcow2,l2-cache-size=N,file.filename=a.qcow2',
  'info --image-opts driver=qcow2,cache-size=N,l2-cache-size=N,file.filename=a.qcow2',
  'map -f raw -s N r.raw',
  'map -f raw -l N r.raw',
  'map --output json -s N -l N a.qcow2',
  'map --output json -l 4096 -s N --image-opts driver=null-co,size=N',
  'resize -f raw r.raw N',
  'resize -f raw r.raw +N',
  'resize -f raw --shrink r.raw -- -N',
  'resize a.qcow2 N',
  'resize a.qcow2 +N',
  'resize --shrink a.qcow2 -- -N',
  'resize --image-opts driver=null-co,size=N N',
  'convert -O F -S N r.raw t',
  'convert -O F -r N r.raw t',
  'convert -O F -m N r.raw t',
  'convert -O F -o size=N r.raw t',
  'bench -c 1 -f raw -o N r.raw',
  'bench -c 1 -f raw -s N r.raw',
  'bench -c 1 -f raw -S N r.raw',
  'bench -c 2 -d 1 -f raw --flush-interval N r.raw',
  'bitmap --add -g N a.qcow2 b',
  'dd if=r.raw of=t bs=N count=1',
  'dd if=r.raw of=t count=N',
  'dd if=r.raw of=t skip=N',
  'commit -r N over.qcow2',
  'amend -o size=N a.qcow2',
  'amend -o refcount_bits=N a.qcow2',
];

const ioCommands = [
  'read N 512',
  'read 0 N',
  'read -P 0 -s N -l 1 0 512',
  'read -P 0 -s 1 -l N 0 512',
  'readv N 512 1',
  'readv 0 N N',
  'write N 512',
  'write -z 0 N',
  'write -z -n N N',
  'writev N 512',
  'aio_read N 512',
  'aio_write -z N 512',
  'discard N N',
  'discard 0 N',
  'truncate N',
  'alloc N N',
  'alloc N',
  'length',
  'zone_report N 1',
];

const ioImages = [
  '-f raw r.raw',
  'a.qcow2',
  '--image-opts driver=null-co,read-zeroes=on,size=N',
  '--image-opts driver=null-co,read-zeroes=on,size=7E',
  '--image-opts driver=raw,offset=N,file.driver=null-co,file.read-zeroes=on,file.size=N',
];

const daemonOptions = [
  '--blockdev null-co,node-name=a,size=N',
  '--blockdev null-co,node-name=a,latency-ns=N',
  '--blockdev {"driver":"null-co","node-name":"a","size":J}',
  '--blockdev {"driver":"null-co","node-name":"a","latency-ns":J}',
  '--blockdev raw,node-name=a,offset=N,size=N,file.driver=null-co,file.size=N',
  '--blockdev qcow2,node-name=a,l2-cache-size=N,cache-clean-interval=N,file.driver=file,file.filename=a.qcow2',
  '--blockdev blkdebug,node-name=a,align=N,image.driver=null-co',
  '--object throttle-group,id=g,x-bps-total=N',
  '--object throttle-group,id=g,limits.bps-total=N,limits.bps-total-max=N',
  '--object {"qom-type":"throttle-group","id":"g","limits":{"iops-total":J}}',
];

/** A line that comes to an end: a daemon is told something wrong at last. */
export function randomLine(random: Seeded): ToolLine {
  const kind = random.below(10);
  if (kind < 6) return { tool: 'qemu-img', args: filled(random, random.pick(imgLines)) };
  if (kind < 9) {
    // When a request that nobody waits for is told is a matter of time.
    const waited = ioCommands.filter((command) => !command.startsWith('aio'));
    const commands = random.oneIn(2) ? [random.pick(waited), random.pick(waited)] : [random.pick(ioCommands)];
    const args = commands.flatMap((command) => ['-c', filled(random, command).join(' ')]);
    return { tool: 'qemu-io', args: [...args, ...filled(random, random.pick(ioImages))] };
  }
  const args = [...filled(random, random.pick(daemonOptions)), '--blockdev', 'nonsense'];
  return { tool: 'qemu-storage-daemon', args };
}

function filled(random: Seeded, template: string): string[] {
  return template.split(' ').map((word) => filledWord(random, word));
}

/** Digits and sign of a relative size belong to the same word. */
function filledWord(random: Seeded, word: string): string {
  if (word === 'F') return random.pick(['raw', 'qcow2']);
  return word
    .replace(/(?<![\w"])N(?!\w)/g, () => spelledNumber(random))
    .replace(/(?<=:)J/g, () => jsonNumber(random));
}

/** Messages of one subject; what they make they take away again. */
const conversations: readonly (readonly string[])[] = [
  [
    '{"execute":"blockdev-add","arguments":{"driver":"null-co","node-name":"n","size":J}}',
    '{"execute":"query-named-block-nodes","arguments":{"flat":true}}',
    '{"execute":"blockdev-del","arguments":{"node-name":"n"}}',
  ],
  [
    '{"execute":"blockdev-add","arguments":{"driver":"raw","node-name":"n","offset":J,"size":J,"file":{"driver":"null-co","size":J}}}',
    '{"execute":"blockdev-del","arguments":{"node-name":"n"}}',
  ],
  ['{"execute":"block_resize","arguments":{"node-name":"q","size":J}}'],
  ['{"execute":"block_resize","arguments":{"node-name":"z","size":J}}'],
  [
    '{"execute":"block-dirty-bitmap-add","arguments":{"node":"q","name":"b","granularity":J}}',
    '{"execute":"block-dirty-bitmap-remove","arguments":{"node":"q","name":"b"}}',
  ],
  [
    '{"execute":"block-set-write-threshold","arguments":{"node-name":"q","write-threshold":J}}',
    '{"execute":"query-named-block-nodes"}',
  ],
  [
    '{"execute":"object-add","arguments":{"qom-type":"throttle-group","id":"g","limits":{"bps-total":J}}}',
    '{"execute":"qom-get","arguments":{"path":"/objects/g","property":"limits"}}',
    '{"execute":"object-del","arguments":{"id":"g"}}',
  ],
  ['{"execute":"query-zz","id":J}', '{"execute":"query-zz","id":[J,{"a":J}]}'],
  [
    '{"execute":"blockdev-add","arguments":{"driver":"blkdebug","node-name":"n","align":J,"image":"z"}}',
    '{"execute":"blockdev-del","arguments":{"node-name":"n"}}',
  ],
  [
    '{"execute":"nbd-server-start","arguments":{"addr":{"type":"vsock","data":{"cid":"1","port":"1"}},"max-connections":J}}',
  ],
];

export function randomConversation(random: Seeded): string[] {
  return random.pick(conversations).map((text) => text.replace(/(?<=[:[])J/g, () => jsonNumber(random)));
}
