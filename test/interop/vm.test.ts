/**
 * A real Linux on our disks: it makes file systems and writes while it is backed up, it is saved and goes on from there.
 * The file systems on the backups are judged by e2fsprogs, the images by QEMU.
 */
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { debianGuest } from '../guest/debian.ts';
import { run } from '../support/qemu.ts';
import { scratchDirectory } from '../support/scratch.ts';
import { builtProgram } from '../support/system-program.ts';
import { haveE2fsprogs, haveQemu } from '../support/tools.ts';
import { installedV86 } from '../support/v86.ts';
import { VmProgram } from '../support/vm-program.ts';

const guest = await debianGuest();
const scratch = scratchDirectory();
const program = builtProgram();

/** Rounds of: a file on a, then its checksum, then the same on b. Nothing begins before the last is on the disk. */
const writer = `
writer() {
  i=0
  while [ ! -e /tmp/stop ]; do
    for d in a b; do
      dd if=/dev/urandom of=/mnt/$d/f$i bs=16k count=2 2> /dev/null; sync
      (cd /mnt/$d && md5sum f$i >> sums); sync
    done
    i=$((i + 1))
  done
  touch /tmp/stopped
}
rounds() { while [ $(cat /mnt/b/sums 2> /dev/null | wc -l) -lt $1 ]; do sleep 1; done; }`;

const countRounds = 'cat /mnt/b/sums | wc -l';

function start(serial: string, ...more: string[]): Promise<VmProgram> {
  const drive = (id: string): string[] => [
    '-blockdev',
    `qcow2,node-name=${id},file.driver=file,file.filename=${scratch(`${id}.qcow2`)}`,
    '-device',
    `ide-hd,drive=${id},bus=ide.0,unit=${id === 'a' ? 0 : 1},werror=stop,rerror=stop`,
  ];
  const { kernel, initrd, bios } = guest!; // the tests skip without
  const [node, main] = program();
  return VmProgram.start([node, main, 'vm'], scratch(serial), [
    ...['-m', '96', '-nographic', '-kernel', kernel, '-initrd', initrd, '-bios', bios],
    ...['-append', 'console=ttyS0 quiet mitigations=off'],
    ...drive('a'),
    ...drive('b'),
    ...more,
  ]);
}

/** The file system of a backup, its journal replayed as a mount would; gives how many checksums it has, all of them right. */
function checkedFiles(image: string): number {
  run('qemu-img', 'check', image);
  const raw = `${image}.raw`;
  run('qemu-img', 'convert', '-O', 'raw', image, raw);
  run('e2fsck', '-E', 'journal_only', '-p', raw);
  run('e2fsck', '-fn', raw);
  const sums = run('debugfs', '-R', `dump sums ${raw}.sums`, raw) && readFileSync(`${raw}.sums`, 'latin1');
  const lines = sums.split('\n').filter((line) => line !== '');
  for (const line of lines) {
    const [sum, name] = line.split(/ +/);
    run('debugfs', '-R', `dump ${name} ${raw}.file`, raw);
    expect([
      name,
      createHash('md5')
        .update(readFileSync(`${raw}.file`))
        .digest('hex'),
    ]).toEqual([name, sum]);
  }
  return lines.length;
}

describe.skipIf(!guest || !installedV86 || !haveQemu || !haveE2fsprogs)('Linux in blockyard vm', () => {
  let vm: VmProgram;

  beforeAll(async () => {
    for (const id of ['a', 'b']) {
      run('qemu-img', 'create', '-q', '-f', 'qcow2', scratch(`${id}.qcow2`), '48M');
      run('qemu-img', 'create', '-q', '-f', 'qcow2', scratch(`${id}-backup.qcow2`), '48M');
    }
    vm = await start('first');
    await vm.untilReady();
    // By its place on the bus: Linux looks at the disks side by side, and which of them becomes sda is chance.
    for (const [unit, id] of ['a', 'b'].entries()) {
      await vm.shell(
        `disk=/dev/$(ls /sys/bus/scsi/devices/0:0:${unit}:0/block)
        mkfs.ext4 -q $disk && mkdir /mnt/${id} && mount -t ext4 $disk /mnt/${id}`,
      );
    }
    await vm.shell(writer);
  }, 240_000);

  afterAll(() => vm?.kill());

  test('is backed up on two disks at one instant while it writes', { timeout: 240_000 }, async () => {
    await vm.shell('writer &');
    await vm.shell('rounds 2', 120_000);
    for (const id of ['a', 'b']) {
      const file = { driver: 'file', filename: scratch(`${id}-backup.qcow2`) };
      await vm.qmp('blockdev-add', { driver: 'qcow2', 'node-name': `${id}-backup`, file });
    }
    const backup = (id: string) => ({
      type: 'blockdev-backup',
      data: { 'job-id': `job-${id}`, device: id, target: `${id}-backup`, sync: 'full', speed: 1 << 16 },
    });
    await vm.qmp('transaction', { actions: [backup('a'), backup('b')] });
    const begun = Number(await vm.shell(countRounds));
    // Slowly, until the guest has gone on; then to the end.
    await vm.shell(`rounds ${begun + 2}`, 120_000);
    for (const id of ['a', 'b']) await vm.qmp('block-job-set-speed', { device: `job-${id}`, speed: 0 });
    for (const id of ['a', 'b']) {
      const { data } = await vm.event('BLOCK_JOB_COMPLETED', { device: `job-${id}` }, 120_000);
      expect(data).not.toHaveProperty('error');
      await vm.qmp('blockdev-del', { 'node-name': `${id}-backup` });
    }
    await vm.shell('touch /tmp/stop; while [ ! -e /tmp/stopped ]; do sleep 1; done', 120_000);

    const [onA, onB] = ['a', 'b'].map((id) => checkedFiles(scratch(`${id}-backup.qcow2`)));
    expect(onB).toBeGreaterThanOrEqual(2);
    expect(onB).toBeLessThanOrEqual(begun + 1);
    // A round is on b only after it was on a, and on a at most one round before.
    expect([onB, onB! + 1]).toContain(onA);
  });

  test('hears of the power button', async () => {
    const counted = (): Promise<string> => vm.shell('cat /sys/firmware/acpi/interrupts/ff_pwr_btn');
    expect(await counted()).toMatch(/^0 .*enabled/);
    await vm.qmp('system_powerdown');
    await expect.poll(counted, { timeout: 30_000 }).toMatch(/^1 /);
  });

  test('goes on from where it was saved, with the disk of that time', { timeout: 240_000 }, async () => {
    await vm.shell('x=alive; echo before > /mnt/a/state; sync');
    expect(await vm.monitor('savevm s1')).toBe('');
    await vm.shell('x=gone; echo after > /mnt/a/state; rm /mnt/a/f0; sync');
    expect(await vm.shell('cat /mnt/a/state')).toBe('after');
    expect(await vm.monitor('loadvm s1')).toBe('');
    expect(await vm.qmp('query-status')).toMatchObject({ status: 'running' });
    // Once from memory, once from the disk.
    for (const first of ['true', 'echo 3 > /proc/sys/vm/drop_caches']) {
      expect(await vm.shell(`${first}; echo $x; cat /mnt/a/state; ls /mnt/a/f0`)).toBe(
        'alive\nbefore\n/mnt/a/f0',
      );
    }
    expect(await vm.monitor('info snapshots')).toContain(' s1 ');
    expect(await vm.monitor('loadvm s2')).toContain("Snapshot 's2' does not exist in one or more devices");
    expect(await vm.qmp('query-status')).toMatchObject({ status: 'restore-vm' });

    expect(await vm.quit()).toEqual({ status: 0, errors: '' });
    for (const id of ['a', 'b']) {
      run('qemu-img', 'check', scratch(`${id}.qcow2`));
      expect(run('qemu-img', 'snapshot', '-l', scratch(`${id}.qcow2`))).toContain(' s1 ');
    }

    // In another process.
    vm = await start('second', '-loadvm', 's1');
    expect(await vm.shell('echo $x; cat /mnt/a/state')).toBe('alive\nbefore');
    await vm.shell('umount /mnt/a /mnt/b');
    expect(await vm.monitor('delvm s1')).toBe('');
    expect(await vm.monitor('info snapshots')).toContain('no snapshot available');
    expect(await vm.quit()).toEqual({ status: 0, errors: '' });
    for (const id of ['a', 'b']) {
      run('qemu-img', 'check', scratch(`${id}.qcow2`));
      run('qemu-img', 'convert', '-O', 'raw', scratch(`${id}.qcow2`), scratch(`${id}.raw`));
      run('e2fsck', '-fn', scratch(`${id}.raw`));
    }
  });
});
