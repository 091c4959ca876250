/** A guest that switches itself off ends `blockyard vm`, or leaves it standing, as it does QEMU. */
import { writeFileSync } from 'node:fs';
import { afterEach, beforeAll, describe, expect, test } from 'vitest';
import { powerButtonKernel } from '../support/power-button-kernel.ts';
import { scratchDirectory } from '../support/scratch.ts';
import { builtProgram } from '../support/system-program.ts';
import { haveQemuSystem } from '../support/tools.ts';
import { installedV86 } from '../support/v86.ts';
import { VmProgram } from '../support/vm-program.ts';

const scratch = scratchDirectory();
const program = builtProgram();
let vm: VmProgram | undefined;

/** A multiboot kernel that asks the chipset for soft-off, by both addresses that the registers may have, and halts. */
function kernel(): Uint8Array {
  const [magic, hasAddresses, at] = [0x1badb002, 0x10000, 0x100000];
  const switchOff = (port: number): number[] => [
    ...[0x66, 0xba, port & 0xff, port >> 8], // mov dx, port
    ...[0x66, 0xb8, 0x00, 0x20, 0x66, 0xef], // mov ax: sleep; out
  ];
  const code = [...switchOff(0x604), ...switchOff(0xb004), 0xfa, 0xf4, 0xeb, 0xfd];
  const header = [magic, hasAddresses, -(magic + hasAddresses), at, at, 0, 0, at + 32];
  const image = Buffer.alloc(4096);
  for (const [i, word] of header.entries()) image.writeInt32LE(word | 0, 4 * i);
  image.set(code, header.length * 4);
  return image;
}

beforeAll(() => {
  writeFileSync(scratch('off.bin'), kernel());
  writeFileSync(scratch('button.bin'), powerButtonKernel());
  writeFileSync(scratch('disk.raw'), new Uint8Array(1 << 20));
});

afterEach(() => {
  vm?.kill();
  vm = undefined;
});

async function start(
  command: readonly [string, ...string[]],
  name: string,
  args: readonly string[] = [],
  image = 'off.bin',
): Promise<VmProgram> {
  vm = await VmProgram.start(command, scratch(name), [
    ...[
      '-m',
      '16',
      '-S',
      '-kernel',
      scratch(image),
      '-drive',
      `file=${scratch('disk.raw')},format=raw,if=ide`,
      ...args,
    ],
  ]);
  return vm;
}

const programs = {
  'blockyard vm': { isThere: installedV86 !== undefined, command: () => [...program(), 'vm'] as const },
  'qemu-system-x86_64': {
    isThere: haveQemuSystem,
    command: () => ['qemu-system-x86_64', '-nodefaults', '-display', 'none'] as const,
  },
};

describe.each(Object.entries(programs))(
  'a guest of %s that switches itself off',
  (name, { isThere, command }) => {
    test.skipIf(!isThere)('ends the program', async () => {
      const machine = await start(command(), `${name}-end`);
      await machine.qmp('cont');
      expect((await machine.event('SHUTDOWN')).data).toEqual({ guest: true, reason: 'guest-shutdown' });
      expect(await machine.whenEnded()).toEqual({ status: 0, errors: '' });
    });

    test.skipIf(!isThere)('leaves it standing with -no-shutdown, until it is reset', async () => {
      const machine = await start(command(), `${name}-stay`, ['-no-shutdown']);
      for (let times = 0; times < 2; times++) {
        await machine.qmp('cont');
        expect((await machine.event('SHUTDOWN')).data).toEqual({ guest: true, reason: 'guest-shutdown' });
        await machine.event('STOP');
        expect(await machine.qmp('query-status')).toMatchObject({ running: false, status: 'shutdown' });
        await expect(machine.qmp('cont')).rejects.toThrow('Resetting the Virtual Machine is required');
        await machine.qmp('system_reset');
        await machine.event('RESET');
        await expect
          .poll(() => machine.qmp('query-status'))
          .toMatchObject({ running: false, status: 'prelaunch' });
      }
      expect(await machine.quit()).toEqual({ status: 0, errors: '' });
    });

    test.skipIf(!isThere)('does so when it is told that the power button was pressed', async () => {
      const machine = await start(command(), `${name}-button`, [], 'button.bin');
      // Nobody listens yet.
      await machine.qmp('system_powerdown');
      await machine.event('POWERDOWN');
      await machine.qmp('cont');
      await machine.untilSerial(/R$/);
      await machine.qmp('system_powerdown');
      await machine.event('POWERDOWN');
      await machine.untilSerial(/^P$/);
      expect((await machine.event('SHUTDOWN')).data).toEqual({ guest: true, reason: 'guest-shutdown' });
      expect(await machine.whenEnded()).toEqual({ status: 0, errors: '' });
    });
  },
);
