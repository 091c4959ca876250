/**
 * The same command lines for the real qemu-system-x86_64 and for ours: what they say must be equal. What QMP scripts get
 * is compared in transcripts/system.scenarios.ts.
 */
import { spawn, spawnSync } from 'node:child_process';
import { rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { deviceTypes } from '../../host/machine/device-types.ts';
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
  for (const [name, text] of Object.entries(configurations)) writeFileSync(join(folder, `${name}.cfg`), text);
  return folder;
}

afterAll(() => {
  for (const folder of folders) rmSync(folder, { recursive: true, force: true });
});

/** Configuration files, by name. */
const configurations: Readonly<Record<string, string>> = {
  good: `# a disk
[drive "d"]
  file = "a.qcow2"
  if = "none"

[device "v"]
  driver = "virtio-blk-pci"
  drive = "d"
[global]
  driver = "virtio-blk-pci"
  property = "serial"
  value = "a,b"
[object "t"]
  qom-type = "iothread"
[chardev "c"]
  backend = "null"
[machine]
  type = "pc"
`,
  'no-group': 'file = "b.raw"\n',
  'other-group': '[drivee "d"]\nfile = "b.raw"\n',
  twice: '[drive "d"]\nfile = "b.raw"\n[drive "d"]\nfile = "b.raw"\n',
  bus: '[drive "d"]\nif = "none"\nif = "nope"\n\n\n',
  model: '[device]\ndriver = "zz"',
  unquoted: '[drive "d"]\nfile = b.raw\n',
  object: '[object "t"]\nqom-type = "iothread"\nzz = "1"\n',
  id: '[drive "1"]\nif = "none"\n',
};

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
    child.on('close', () => resolve(errors.replace(/^[\d-]{10}T[\d:.]{15}Z /gm, 'TIME ')));
  });
}

const none = '-machine none ';
const disk = '-drive if=none,id=d,file=a.qcow2 ';
const virtio = `${disk}-device virtio-blk-pci,drive=d`;
const node = '-blockdev file,filename=b.raw,node-name=b ';

const commandLines = [
  '-global isa-fdc.fdtypeA=144 -global ide-hd.foo=1 -global PIIX4_PM.disable_s3=1',
  `-global ide-hd.werror=zz ${disk}-device ide-hd,drive=d`,
  `-global ide-device.serial=zz ${disk}-device ide-hd,drive=d`,
  `-global virtio-blk-device.queue-size=3 ${virtio}`,
  '-global virtio-blk-pci.foo=a,b -drive if=virtio,file=b.raw,format=raw',
  '-global driver=virtio-blk-pci,property=foo,value=1 -drive if=virtio,file=b.raw,format=raw',
  '-global isa-fdc.driveA=x',
  '-m 16E',
  '-m 1x',
  '-m maxmem=-1',
  '-m 1G,slots=x',
  '-m zz=1',
  '-device zz,help',
  '-global foo',
  '-global foo.bar',
  '-global foo.bar=1',
  '-global driver=zz',
  '-global zz=1',
  `${disk}-set drive.d.werror=stop`,
  `${disk}-set drive.d.werror=zz`,
  `${disk}-set drive.d.id=e`,
  `${disk}-set drive.d.foo=a,b`,
  `${disk}-set drive.e.foo=1`,
  `-set drive.d.foo=1 ${disk}`,
  `${virtio},id=v -set device.v.foo=1`,
  `${disk}-device {"driver":"virtio-blk-pci","id":"v","drive":"d"} -set device.v.serial=x`,
  '-set drivee.d.foo=1',
  '-set drive.d.foo',
  '-set foo',
  '-object iothread,id=t -set object.t.foo=1',
  '-readconfig nonexistent',
  '-readconfig .',
  '-readconfig good.cfg',
  '-readconfig good.cfg -set drive.d.werror=zz',
  '-readconfig good.cfg -set device.v.zz=1',
  '-readconfig no-group.cfg',
  '-readconfig other-group.cfg',
  '-readconfig twice.cfg',
  '-readconfig bus.cfg',
  '-readconfig model.cfg',
  '-readconfig unquoted.cfg',
  '-readconfig object.cfg',
  '-readconfig id.cfg',
  `${none}-qmp unix:path=s,server=on,wait=off`,
  `${none}-qmp unix:server=on,wait=off,path=s`,
  `${none}-monitor unix:s,server,nowait`,
  `${none}-qmp unix:nonexistent`,
  ...[
    ...['to=0', 'to=x', 'ipv4=off,ipv6=off', 'ipv6=on', 'reconnect=1', 'reconnect-ms=1', 'reconnect-ms=x'],
    ...['reconnect=1,reconnect-ms=1', 'logfile=nonexistent/log', 'logappend=x', 'tls-creds=x', 'telnet=x'],
  ].map((more) => `${none}-chardev socket,id=c,host=127.0.0.1,port=1,server=on,wait=off,${more}`),
  `${none}-qmp tcp:127.0.0.1:1,reconnect=0`,
  `${none}-qmp telnet:127.0.0.1:1`,
  `${none}-qmp unix:`,
  `${none}-qmp unix:s,foo=1`,
  `${none}-qmp tcp:5`,
  `${none}-qmp tcp:localhost:1`,
  `${none}-qmp file:a,b`,
  `${none}-qmp pipe:nonexistent`,
  `${none}-monitor stdio,signal=off`,
  `${none}-qmp none`,
  `${none}-monitor none -serial none -parallel none`,
  `${none}-qmp chardev:c`,
  `${none}-chardev null,id=c -qmp chardev:c -monitor chardev:c`,
  `${none}-serial unix:path=s,server=on,wait=off -parallel null`,
  '-serial file:s -serial null -serial none',
  '-serial foo',
  '-serial pipe:nonexistent',
  '-serial unix:s,foo=1',
  '-serial chardev:c',
  '-parallel foo',
  `${none}-qtest foo`,
  ...[
    '-cpu zz',
    '-cpu ,',
    '-smp 2',
    '-machine none -smp 2',
    '-machine q35 -smp 5000',
    '-machine pc -smp 300',
  ],
  `${none}-qtest none`,
  ...[
    'file=a.qcow2,driver=raw,file.driver=qcow2',
    'file=a.qcow2,file.driver=qcow2',
    'file=a.qcow2,driver=qcow2,file.driver=blkdebug',
    'file=a.qcow2,driver=qcow2,file.driver=null-co',
    'file=b.raw,driver=raw,file.driver=raw',
    'file=blkdebug::null-co://,driver=blkdebug,align=64k',
    'file=blkdebug::null-co://,file.align=64k',
    'file=blkdebug::blkdebug::b.raw,format=raw',
    'file=blkdebug:nonexistent:b.raw',
    'file=blkdebug:b.raw',
    'file=blkdebug::json:{"driver":"null-co"}',
    'file=blkverify:b.raw:c.raw',
    'file=blkverify:c.raw:blkdebug::a.qcow2',
    'file=blkverify:b.raw',
    'file=json:{"driver":"qcow2",,"file":"blkdebug::a.qcow2"}',
    'file=null-co://,driver=raw,file.size=1M',
  ].map((text) => `${none}-drive if=none,${text}`),
  `${none}-loadvm x`,
  `${none}-drive if=none,file=b.raw,format=raw -loadvm x`,
  `${none}${disk}-loadvm x`,
  `${none}-trace nosuch -trace -nosuch -trace no*`,
  `${none}-trace x=y`,
  `${none}-trace nosuch,events=/nonexistent/e`,
  `${none}-trace file=/nonexistent/t`,
  `${none}-trace nosuch -blockdev foo`,
  `${none}-trace`,
  `${none}-msg timestamp=on -trace nosuch -blockdev foo`,
  `${none}-trace nosuch -msg timestamp=on -blockdev foo`,
  `${none}-msg timestamp -blockdev foo`,
  `${none}-msg timestamp=on -msg timestamp=off -blockdev foo`,
  `${none}-msg timestamp=zz`,
  `${none}-msg foo=1`,
  `${none}-msg x`,
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
  '-machine pc,zz=1',
  '-machine none,acpi=off',
  '-machine q35,acpi=zz',
  '-no-acpi',
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
  '-M q35 -drive if=floppy,file=b.raw,format=raw',
  '-M q35 -drive if=floppy,file=b.raw,format=raw -drive if=floppy,file=c.raw,format=raw -device floppy',
  '-M q35 -drive if=floppy,file=b.raw,format=raw,index=2',
  '-M q35 -device isa-fdc,iobase=0x370 -drive if=floppy,file=b.raw,format=raw',
  '-drive if=floppy,file=b.raw,format=raw,index=2',
  `${none}-object iothread,id=t -object iothread,id=t`,
  `${none}-object iothread,id=t,poll-max-ns=-5`,
  `${none}-object iothread,id=t,thread-pool-min=2,thread-pool-max=1`,
  `${none}-object iothread,id=1`,
  ...[
    ...[
      'nope,foo',
      'nope,id=1',
      'iothread',
      'id=a,iothread',
      'iothread,id=t,foo=1',
      'secret,id=t,foo=1',
      'nope,help',
    ],
    ...['x', '0x', '', '5-6', '9223372036854775808', ' -0x5'].map(
      (value) => `iothread,id=t,poll-max-ns=${value}`,
    ),
    ...[
      'iothread,id=t,poll-grow',
      'iothread,id=t,nopoll-grow',
      'iothread,id=t,poll-grow=x,foo=1',
      'iothread,id=t,=1',
    ],
    ...['limits=x', 'limits.iops-total=1', 'x-iops-total=1k'].map((limit) => `throttle-group,id=t,${limit}`),
    '{"qom-type":"iothread","id":"t","foo":1}',
  ].map((object) => `${none}-object ${object.replaceAll(' ', '\t')}`),
  ...['', 'm', 'm,backing.driver=null-co'].map(
    (backing) =>
      `${none}-blockdev null-co,node-name=m -drive if=none,file=a.qcow2,backing=${backing} -device no`,
  ),
  `${none}-blockdev null-co,node-name=m -drive if=none,driver=blkverify,raw=m,raw.driver=null-co,test=m`,
  `${none}-drive if=none,file=a.qcow2,backing.driver=qcow2,backing.file=m,backing.file.driver=file`,
  `${none}-blockdev qcow2,node-name=q,file.driver=file,file.filename=a.qcow2,backing= -device no`,
  `${none}-object {"qom-type":"iothread","id":"t"} -object {"qom-type":"iothread","id":"t"}`,
  `${virtio},iothread=t`,
  `-object throttle-group,id=t ${virtio},iothread=t`,
  `-object iothread,id=t ${disk}-device ide-hd,drive=d,iothread=t`,
  `-object iothread,id=t ${virtio},iothread=t,ioeventfd=off`,
  `${virtio},iothread-vq-mapping=t`,
  `${virtio},iothread-vq-mapping.0.iothread=t`,
  `${disk}-device {"driver":"virtio-blk-pci","drive":"d","iothread-vq-mapping":[{"iothread":"t"}]}`,
  ...['cyls=1', 'heads=17', 'cyls=1,heads=17', 'cyls=1,heads=16,secs=256', 'cyls=65536'].flatMap(
    (geometry) => [`${disk}-device ide-hd,drive=d,${geometry}`, `${virtio},${geometry}`],
  ),
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

  test.each(deviceTypes.map(({ name }) => name))('%s has the same properties', (name) => {
    const propertiesOf = ([command, ...args]: readonly string[]): string[] =>
      spawnSync(command!, [...args, '-device', `${name},help`], { encoding: 'utf8' }).stdout.split('\n'); // a command line is not empty
    // Of a bus and of a part, which nobody sets.
    const theirs = propertiesOf(['qemu-system-x86_64']).filter((line) => !/=<(busnr|child<.*>)>$/.test(line));
    expect(propertiesOf(program())).toEqual(theirs);
  });
});
