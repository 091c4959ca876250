/**
 * v86 as the guest of a machine: its memory, what it boots, its disks and its serial port, as the command line says.
 *
 * v86 is a package of its own that need not be there; it is loaded when the machine is complete. A device with a medium
 * that v86 would not show to its guest is refused.
 */
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { invalid } from '../../base/errors.ts';
import { v86Drives } from '../../emulator/v86/drives.ts';
import type { V86Constructor, V86Emulator } from '../../emulator/v86/emulator.ts';
import { V86Machine } from '../../emulator/v86/machine.ts';
import { onPowerOff } from '../../emulator/v86/power-off.ts';
import { BlockDevice } from '../../machine/block-device.ts';
import type { Machine } from '../../machine/machine.ts';
import { OptionValues, parseQemuOpts } from '../../qapi/qemu-opts.ts';
import { parseSize } from '../../qapi/sizes.ts';
import { readMachine } from '../system/machine-options.ts';
import type { CommandLine, Step } from '../system/options.ts';
import type { GuestRunner, GuestServices } from '../system/program.ts';
import { bootOptions } from './boot.ts';
import { SerialLine, type SerialPort } from './serial.ts';

type Emulator = V86Emulator & SerialPort;

const mebibyte = 1 << 20;
const defaultMemory = 128 * mebibyte;
/** Less has no room for a BIOS and a kernel; more v86 cannot address. */
const [minMemory, maxMemory] = [4 * mebibyte, 2047 * mebibyte];

export class V86Guest implements GuestRunner {
  private v86: V86Machine<Emulator> | undefined;
  private serial: SerialLine | undefined;

  async start(services: GuestServices): Promise<void> {
    const { tool, line, machine } = services;
    await tool.attempt(async () => {
      checkMachine(line.get('machine'));
      checkDevices(machine);
      const memory = memoryBytes(line.get('m'));
      const { V86, wasmPath } = await loadV86();
      const drives = v86Drives(machine);
      const boot = await bootOptions(line, drives);
      this.v86 = await V86Machine.start(machine, V86, drives, {
        ...boot,
        memory_size: memory,
        acpi: machine.hasAcpi,
        wasm_path: wasmPath,
        disable_keyboard: true,
        disable_mouse: true,
        disable_speaker: true,
      });
      onPowerOff(this.v86.emulator, services.powerOff);
    });
    await this.connectSerial(services);
  }

  async close(): Promise<void> {
    this.serial?.close();
    await this.v86?.close();
  }

  private async connectSerial({ line, monitors, take }: GuestServices): Promise<void> {
    const serial = new SerialLine(this.v86!.emulator); // just made
    this.serial = serial;
    const [step, second] = line.all('serial');
    if (second) await take(second, async () => Promise.reject(invalid('there is only one serial port')));
    const chosen = step ?? usualSerial(line);
    if (chosen && chosen.value !== 'none') {
      await take(chosen, async (context) => {
        const device = { context, id: 'serial0' };
        await monitors.openPort(chosen.value, device, {
          connect: (connection) => serial.connect(connection),
          sendBreak: () => 'the serial port of v86 can send no break',
        });
      });
    }
    if (line.has('nographic') && step && !hasMonitor(line.steps) && !usesStdio(line.steps)) {
      const monitor = { name: 'monitor', value: 'stdio' };
      await take(monitor, (context) => monitors.open(monitor, context));
    }
  }
}

/** Without -nographic the port has the terminal for itself; with it, the monitor shares it unless it is elsewhere. */
function usualSerial(line: CommandLine): Step | undefined {
  if (usesStdio(line.steps)) return undefined;
  const isShared = line.has('nographic') && !hasMonitor(line.steps);
  return { name: 'serial', value: isShared ? 'mon:stdio' : 'stdio' };
}

function hasMonitor(steps: readonly Step[]): boolean {
  return steps.some(({ name }) => ['qmp', 'qmp-pretty', 'monitor', 'mon'].includes(name));
}

function usesStdio(steps: readonly Step[]): boolean {
  return steps.some(
    ({ name, value }) =>
      ['qmp', 'qmp-pretty', 'monitor', 'chardev', 'serial'].includes(name) &&
      /^(mon:|backend=)?stdio(,|$)/.test(value),
  );
}

/** `-m [size=]N`: mebibytes without a suffix. Errors: BlockError. */
function memoryBytes(text: string | undefined): number {
  if (text === undefined) return defaultMemory;
  const values = new OptionValues(parseQemuOpts(text, { impliedKey: 'size' }).pairs, [
    { name: 'size', type: 'string' },
  ]);
  const size = values.string('size') ?? '';
  const bytes = parseSize(/\d$/.test(size) ? `${size}M` : size);
  if (bytes === undefined) throw invalid(`-m ${text}: '${size}' is no size`);
  if (bytes < minMemory || bytes > maxMemory || bytes % mebibyte !== 0) {
    throw invalid(`-m ${text}: v86 can have 4 to 2047 MiB of memory, in whole MiB`);
  }
  return bytes;
}

function checkMachine(text: string | undefined): void {
  const { type, isQtest } = readMachine(text, [], () => {});
  if (isQtest || !type.aliases.includes('pc')) throw invalid(`-machine ${text}: v86 is a 'pc', and runs`);
}

function checkDevices(machine: Machine): void {
  for (const device of machine.devices) {
    if (!(device instanceof BlockDevice) || device.bus?.kind === 'IDE') continue;
    if (!device.front.backend.hasMedium) continue;
    throw invalid(`v86 has no ${device.typeName}: only ide-hd and ide-cd can be used`);
  }
}

async function loadV86(): Promise<{ V86: V86Constructor<Emulator>; wasmPath: string }> {
  try {
    const { V86 } = (await import('v86')) as unknown as { V86: V86Constructor<Emulator> };
    const entry = createRequire(import.meta.url).resolve('v86');
    return { V86, wasmPath: join(dirname(entry), 'v86.wasm') };
  } catch {
    throw invalid("The package 'v86' is not installed: 'npm install v86' brings it");
  }
}
