/**
 * The same command lines and the same QMP scripts for the real qemu-system-x86_64 and for ours: what they say must be
 * equal.
 */
import { spawn, spawnSync } from 'node:child_process';
import { rmSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type Message, runScript, startProgram } from '../support/qmp-sessions.ts';
import { builtSystemProgram, temporaryFolder } from '../support/system-program.ts';
import { haveQemu, haveQemuSystem } from '../support/tools.ts';

const program = builtSystemProgram();
const folders: string[] = [];

function images(): string {
  const folder = temporaryFolder();
  folders.push(folder);
  for (const [format, name, size] of [
    ['qcow2', 'a.qcow2', '4M'],
    ['raw', 'b.raw', '1M'],
    ['raw', 'c.raw', '1M'],
  ]) {
    spawnSync('qemu-img', ['create', '-q', '-f', format!, name!, size!], { cwd: folder });
  }
  return folder;
}

afterAll(() => {
  for (const folder of folders) rmSync(folder, { recursive: true, force: true });
});

const bare = ['-nodefaults', '-display', 'none', '-S'];

/** What goes to the terminal until it gives up, or is ready and told to quit. */
function complaintsOf(
  [command, ...first]: readonly [string, ...string[]],
  args: readonly string[],
  cwd: string,
): Promise<string> {
  return new Promise((resolve) => {
    const child = spawn(command, [...first, ...bare, ...args, '-qmp', 'stdio'], { cwd });
    let errors = '';
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      errors += text;
    });
    child.stdout.resume();
    child.stdin.on('error', () => {});
    child.stdin.write('{"execute":"qmp_capabilities"}{"execute":"quit"}');
    child.on('close', () => resolve(errors));
  });
}

const none = '-machine none ';
const disk = '-drive if=none,id=d,file=a.qcow2 ';
const virtio = `${disk}-device virtio-blk-pci,drive=d`;
const node = '-blockdev file,filename=b.raw,node-name=b ';

const commandLines = [
  `${none}-drive if=foo`,
  `${none}-drive if=none,id=a,cache=zz`,
  `${none}-drive if=none,id=a -drive if=none,id=a`,
  `${none}-drive if=none,file=nonex`,
  `${none}-drive if=none,file=a.qcow2,zz=1`,
  `${none}-drive if=none,file=b.raw,format=zz`,
  `${none}-drive if=none,file=a.qcow2,aio=native`,
  `${none}-drive if=none,file=json:zz`,
  `${none}-drive if=none,readonly`,
  `${none}-drive if=ide,unit=3`,
  `${none}-drive if=virtio,file=a.qcow2`,
  `${none}-drive if=scsi,file=a.qcow2`,
  `${none}-drive if=none,id=1a`,
  `${none}-drive foo`,
  `${none}-drive bus=zz`,
  `${none}-drive if=none,node-name=x,id=x,file=a.qcow2`,
  `${none}-blockdev null-co,node-name=x -drive if=none,id=x`,
  `${none}-drive if=none,iops=1,iops_rd=1,file=a.qcow2`,
  `${none}-drive if=none,id=a,snapshot=on,file=a.qcow2`,
  `${none}-fda b.raw`,
  `${none}extra`,
  '-foo',
  '-machine zz',
  `${none}-blockdev zz`,
  `${none}-mon foo`,
  `${none}-chardev foo,id=x`,
  `${none}-qmp foo:bar`,
  `${none}-qmp stdio`,
  `${none}-pidfile /nonex/p`,
  `${none}-uuid zz`,
  `${none}-smp 2`,
  `${none}-device zz`,
  `${none}-device virtio-blk-pci`,
  `${none}-device ide-hd`,
  '-device virtio-blk-pci',
  '-device virtio-blk-pci,drive=zz',
  `${virtio},werror=foo`,
  `${virtio},logical_block_size=300`,
  `${virtio},logical_block_size=4096`,
  `${virtio},opt_io_size=100`,
  `${virtio},discard_granularity=100`,
  `${virtio},share-rw=zz`,
  `${virtio},zz=1`,
  `${virtio},id=1a`,
  `${virtio},bus=zz`,
  `${virtio},bus=ide.0`,
  `${virtio},addr=40`,
  `${virtio},addr=1`,
  `${virtio},num-queues=0`,
  `${virtio},queue-size=3`,
  `${virtio},bootindex=zz`,
  `${virtio} -device virtio-blk-pci,drive=d`,
  `${virtio},id=d1 -device virtio-blk-pci,drive=d,id=d1`,
  `${virtio},addr=7 -device virtio-scsi-pci,addr=7`,
  `${virtio},addr=7 -device virtio-scsi-pci,addr=7.1`,
  `${virtio},bootindex=1 -blockdev null-co,node-name=n -device virtio-blk-pci,drive=n,bootindex=1`,
  `${disk}-device ide-hd,drive=d,unit=2`,
  '-device ide-hd',
  '-device ide-cd -device ide-cd,unit=0',
  '-device ide-cd -device ide-cd -device ide-cd -device ide-cd -device ide-cd',
  '-device scsi-cd',
  '-device virtio-scsi-pci -device scsi-hd',
  `${disk}-device virtio-scsi-pci -device scsi-hd,drive=d,lun=99999`,
  `${disk}-device virtio-scsi-pci -device scsi-hd,drive=d,scsi-id=300`,
  '-device virtio-scsi-pci -device scsi-cd,id=x -device scsi-cd,scsi-id=0,lun=0',
  '-device floppy,unit=0 -device floppy,unit=0',
  '-device floppy -device floppy -device floppy',
  '-M q35 -device floppy',
  '-M q35 -device ide-cd -device ide-cd',
  '-drive file=a.qcow2,id=x -device virtio-blk-pci,drive=x',
  '-drive if=none,id=em -device virtio-blk-pci,drive=em',
  '-drive if=none,id=ro,file=a.qcow2,read-only=on -device ide-hd,drive=ro',
  `${node}-device virtio-blk-pci,drive=b -device virtio-blk-pci,drive=b`,
  `${node}-device virtio-blk-pci,drive=b,id=foo -device ide-hd,drive=b`,
  `${node}-device virtio-blk-pci,drive=b,share-rw=on -device virtio-blk-pci,drive=b,share-rw=on`,
  '-drive if=floppy,file=b.raw,format=raw -drive if=floppy,index=0',
  '-drive if=none,id=d,file=a.qcow2,werror=ignore -device floppy,drive=d',
  '-drive if=virtio,file=a.qcow2 -drive if=virtio,file=b.raw,format=raw',
  `${disk}-device {"driver":"virtio-blk-pci","drive":"d","id":"zz","bus":"pci.7"}`,
  `${disk}-device {"driver":"virtio-blk-pci","drive":"d","share-rw":"on"}`,
  `${disk}-device {"driver":"virtio-blk-pci","drive":"d","queue-size":"16"}`,
];

describe.skipIf(!haveQemu || !haveQemuSystem)('the command line, as with real QEMU', () => {
  let folder = '';
  beforeAll(() => {
    folder = images();
  });

  test.each(commandLines)('%s', async (line) => {
    const args = line.split(' ');
    const theirs = await complaintsOf(['qemu-system-x86_64'], args, folder);
    expect(await complaintsOf([...program()], args, folder)).toBe(theirs);
  });
});

const run = (execute: string, args?: object): Message => (args ? { execute, arguments: args } : { execute });
const cd = '/machine/unattached/device[20]';
const hd = '/machine/unattached/device[19]';
const get = (path: string, ...properties: readonly string[]): Message[] =>
  properties.map((property) => run('qom-get', { path, property }));
const open = (name: string, more: object = {}): Message =>
  run('blockdev-add', { driver: 'null-co', 'node-name': name, ...more });

interface Session {
  name: string;
  options: readonly string[];
  steps: readonly Message[];
}

const drives = ['-hda', 'a.qcow2', '-drive', 'media=cdrom,file=b.raw,format=raw'];
const floppy = ['-drive', 'if=floppy,file=c.raw,format=raw'];
const withMedia = [...drives, ...floppy];
const devices = [
  ...['-drive', 'if=none,id=d,file=a.qcow2', '-device', 'virtio-blk-pci,drive=d,id=v'],
  ...[
    '-blockdev',
    'null-co,node-name=n',
    '-device',
    'virtio-scsi-pci,id=s',
    '-device',
    'scsi-hd,drive=n,id=h',
  ],
  ...['-drive', 'if=none,id=c', '-device', 'ide-cd,drive=c,id=cd', '-device', 'scsi-cd,id=c2'],
  ...['-device', 'floppy,id=f', '-drive', 'if=virtio,file=b.raw,format=raw'],
];

const sessions: readonly Session[] = [
  {
    name: 'run states',
    options: ['-machine', 'none', '-name', 'foo', '-uuid', '00000000-0000-0000-0000-0000000000AB'],
    steps: [
      run('query-status'),
      run('stop'),
      run('query-status'),
      run('cont'),
      run('cont'),
      run('query-status'),
      run('stop'),
      run('stop'),
      run('query-status'),
      run('query-name'),
      run('query-uuid'),
      run('query-iothreads'),
      run('query-command-line-options', { option: 'zz' }),
      run('query-command-line-options', { option: 'device' }),
      run('system_reset'),
      run('system_powerdown'),
      run('quit'),
    ],
  },
  { name: 'drives of the machine', options: withMedia, steps: [run('query-block'), run('query-blockstats')] },
  {
    name: 'drives of an empty machine',
    options: ['-machine', 'none', '-hda', 'a.qcow2', '-drive', 'if=none,id=e', '-cdrom', 'b.raw'],
    steps: [run('query-block')],
  },
  {
    name: 'a floppy drive',
    options: withMedia,
    steps: [
      run('blockdev-open-tray', { device: 'floppy0' }),
      run('blockdev-close-tray', { device: 'floppy0' }),
      run('eject', { device: 'floppy0' }),
      run('query-block'),
      run('blockdev-change-medium', { device: 'floppy0', filename: 'c.raw', format: 'raw' }),
      run('query-block'),
    ],
  },
  {
    name: 'a hard disk is no removable drive',
    options: withMedia,
    steps: [
      run('blockdev-open-tray', { device: 'ide0-hd0' }),
      run('blockdev-close-tray', { device: 'ide0-hd0' }),
      run('eject', { device: 'ide0-hd0' }),
      run('blockdev-change-medium', { device: 'ide0-hd0', filename: 'b.raw', format: 'raw' }),
      open('n'),
      run('blockdev-remove-medium', { id: hd }),
      run('blockdev-insert-medium', { id: hd, 'node-name': 'n' }),
    ],
  },
  {
    name: 'the tray of a CD drive',
    options: withMedia,
    steps: [
      run('blockdev-open-tray', { device: 'ide0-cd1' }),
      run('blockdev-open-tray', { device: 'ide0-cd1' }),
      run('query-block'),
      run('blockdev-close-tray', { device: 'ide0-cd1' }),
      run('blockdev-close-tray', { device: 'ide0-cd1' }),
      run('eject', { device: 'ide0-cd1' }),
      run('eject', { device: 'ide0-cd1' }),
      run('blockdev-remove-medium', { id: 'ide0-cd1' }),
      run('blockdev-change-medium', { device: 'ide0-cd1', filename: 'b.raw', format: 'raw' }),
      run('blockdev-change-medium', { device: 'ide0-cd1', filename: 'nonex' }),
      run('blockdev-change-medium', {
        device: 'ide0-cd1',
        filename: 'b.raw',
        format: 'raw',
        'read-only-mode': 'read-write',
      }),
      run('query-block'),
      run('eject', {}),
      run('eject', { device: 'zz' }),
      run('eject', { id: 'zz' }),
    ],
  },
  {
    name: 'media that are nodes',
    options: withMedia,
    steps: [
      open('n'),
      run('blockdev-insert-medium', { id: cd, 'node-name': 'n' }),
      run('blockdev-insert-medium', { id: cd, 'node-name': 'zz' }),
      run('blockdev-remove-medium', { id: cd }),
      run('blockdev-open-tray', { id: cd }),
      run('blockdev-insert-medium', { id: cd, 'node-name': 'n' }),
      run('blockdev-remove-medium', { id: cd }),
      run('blockdev-remove-medium', { id: cd }),
      run('blockdev-insert-medium', { id: cd, 'node-name': 'n' }),
      run('blockdev-insert-medium', { id: cd, 'node-name': 'n' }),
      run('blockdev-close-tray', { id: cd }),
      run('blockdev-del', { 'node-name': 'n' }),
      run('query-block'),
      run('query-blockstats'),
    ],
  },
  {
    name: 'read-only media',
    options: devices,
    steps: [
      open('ro', { 'read-only': true }),
      open('rw'),
      run('blockdev-open-tray', { id: 'c2' }),
      run('blockdev-insert-medium', { id: 'c2', 'node-name': 'ro' }),
      run('blockdev-insert-medium', { id: 'f', 'node-name': 'ro' }),
      run('blockdev-insert-medium', { id: 'f', 'node-name': 'rw' }),
      run('query-block'),
      run('eject', { id: 'v' }),
      run('eject', { id: '/machine/peripheral/v/virtio-backend' }),
      run('eject', { id: 's' }),
    ],
  },
  {
    name: 'plugging',
    options: devices,
    steps: [
      open('rw'),
      run('device_add', { driver: 'zz' }),
      run('device_add', { driver: 'ide-hd', drive: 'n' }),
      run('device_add', { driver: 'scsi-hd', drive: 'rw', id: 'h' }),
      run('device_add', { driver: 'scsi-hd', drive: 'rw', id: 'h2', zz: 1 }),
      run('device_add', { driver: 'virtio-blk-pci', drive: 'n', id: 'h3' }),
      run('device_add', { driver: 'virtio-blk-pci', id: 'h3' }),
      run('device_add', { id: 'h3' }),
      run('device_add', {
        driver: 'scsi-hd',
        drive: 'rw',
        id: 'h2',
        logical_block_size: '512',
        'share-rw': true,
        werror: 'stop',
        lun: 1,
      }),
      run('query-block'),
      run('device_del', { id: 'v' }),
      run('device_del', { id: 'v' }),
      run('device_del', { id: 'cd' }),
      run('device_del', { id: 'f' }),
      run('device_del', { id: 'zz' }),
      ...get('h2', 'type', 'drive', 'werror', 'lun', 'scsi-id', 'share-rw', 'hotplugged', 'serial', 'wwn'),
      ...get('h2', 'physical_block_size', 'discard_granularity', 'bootindex', 'realized', 'parent_bus'),
      run('qom-set', { path: 'h2', property: 'share-rw', value: true }),
      run('qom-set', { path: 'h2', property: 'zz', value: true }),
      run('qom-set', { path: 'h2', property: 'bootindex', value: 5 }),
      ...get('h2', 'bootindex'),
      run('qom-set', { path: 'h2', property: 'bootindex', value: 'x' }),
    ],
  },
  {
    name: 'properties',
    options: devices,
    steps: [
      ...get('v', 'drive', 'num-queues', 'queue-size', 'discard_granularity', 'addr', 'logical_block_size'),
      ...get('v', 'write-cache', 'min_io_size', 'parent_bus', 'hotplugged'),
      ...get('/machine/peripheral/v/virtio-backend', 'drive', 'type'),
      ...get('cd', 'drive', 'serial', 'unit', 'ver', 'model', 'logical_block_size', 'parent_bus'),
      ...get('c2', 'logical_block_size', 'drive', 'discard_granularity', 'scsi-id', 'lun'),
      ...get('f', 'unit', 'drive', 'drive-type', 'discard_granularity', 'parent_bus'),
      ...get('h', 'drive', 'rerror', 'channel', 'removable', 'max_unmap_size'),
    ],
  },
  {
    name: 'a SCSI disk is unplugged at once',
    options: devices,
    steps: [
      run('device_del', { id: 'h' }),
      // Real QEMU needs a moment, and says so when it is over.
      run('query-status'),
    ],
  },
];

describe.skipIf(!haveQemu || !haveQemuSystem)('a machine, as with real QEMU', () => {
  test.each(sessions)('$name', async ({ options, steps }) => {
    const args = [...bare, ...options, '-qmp', 'stdio'];
    const transcripts: Message[][] = [];
    for (const [command, ...first] of [['qemu-system-x86_64'] as const, program()]) {
      const session = startProgram(command, [...first, ...args], images());
      try {
        transcripts.push(await runScript(session, steps));
      } finally {
        await session.close();
      }
    }
    const [theirs, ours] = transcripts.map((messages) =>
      messages.filter(({ event }) => event !== 'DEVICE_DELETED'),
    );
    expect(ours).toEqual(theirs);
  });
});
