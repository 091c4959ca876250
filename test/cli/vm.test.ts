/** The command `blockyard vm` itself: the guest it has of its own, and what it refuses. */
import { spawnSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { scratchDirectory } from '../support/scratch.ts';
import { builtProgram } from '../support/system-program.ts';
import { installedV86 } from '../support/v86.ts';
import { VmProgram } from '../support/vm-program.ts';

const scratch = scratchDirectory();
const program = builtProgram();

function disk(name: string, bytes = 1 << 20): string {
  writeFileSync(scratch(name), new Uint8Array(bytes));
  return `file=${scratch(name)},format=raw,if=ide`;
}

function refusal(...args: string[]): string {
  const [node, main] = program();
  const { status, stderr } = spawnSync(node, [main, 'vm', ...args], { encoding: 'utf8', timeout: 30_000 });
  expect(status).toBe(1);
  return stderr.replaceAll(scratch(''), '');
}

describe.skipIf(!installedV86)('blockyard vm', () => {
  test('starts its own guest when there is nothing else to boot, and ends by quit', async () => {
    const [node, main] = program();
    const vm = await VmProgram.start([node, main, 'vm'], scratch('serial'), [
      ...['-m', '16', '-S', '-drive', disk('a.raw'), '-drive', disk('b.raw')],
    ]);
    try {
      expect(await vm.qmp('query-status')).toMatchObject({ status: 'prelaunch' });
      await vm.qmp('cont');
      await vm.untilSerial(/blockyard guest/);
      expect(await vm.monitor('savevm x')).toContain('is writable but does not support snapshots');
      expect(await vm.qmp('query-status')).toMatchObject({ status: 'running' });
      expect(await vm.quit()).toEqual({ status: 0, errors: '' });
    } finally {
      vm.kill();
    }
  });

  test('ends by a signal as by quit, with the guest running', async () => {
    const [node, main] = program();
    const vm = await VmProgram.start([node, main, 'vm'], scratch('other'), [
      ...['-m', '16', '-drive', disk('e.raw'), '-drive', disk('f.raw')],
    ]);
    try {
      await vm.qmp('system_reset');
      await vm.untilSerial(/blockyard guest/);
      expect(await vm.terminate()).toEqual({ status: 0, errors: '' });
    } finally {
      vm.kill();
    }
  });

  test('refuses what v86 does not have, by name', () => {
    expect(refusal('-fda', 'x')).toContain('-fda: option is not supported');
    expect(refusal('-m', '1')).toContain('v86 can have 4 to 2047 MiB of memory');
    expect(refusal('-append', 'x')).toContain('-append only allowed with -kernel option');
    expect(refusal('-drive', `${disk('c.raw')},index=3`)).toContain('v86 has no place for ide-hd as unit 1');
    expect(refusal('-drive', disk('d.raw').replace('if=ide', 'if=virtio'))).toContain(
      'v86 has no virtio-blk-pci: only ide-hd and ide-cd can be used',
    );
    expect(refusal('-serial', 'null', '-serial', 'null')).toContain('there is only one serial port');
  });

  test('says what it cannot load, in the words of QEMU', () => {
    const absent = 'No such file or directory';
    writeFileSync(scratch('kernel'), new Uint8Array(8192));
    expect(refusal('-kernel', 'missing')).toBe(
      `blockyard vm: could not open kernel file 'missing': ${absent}\n`,
    );
    expect(refusal('-kernel', '/')).toBe("blockyard vm: could not load kernel '/': Is a directory\n");
    expect(refusal('-kernel', scratch('kernel'), '-initrd', 'missing')).toBe(
      `blockyard vm: error reading initrd missing: ${absent}\n`,
    );
    expect(refusal('-bios', 'missing')).toBe(`blockyard vm: could not load PC BIOS 'missing': ${absent}\n`);
  });
});
