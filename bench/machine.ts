/** v86 on Node with disks of ours, as `blockyard vm` has it. */
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { drivers } from '../host/drivers.ts';
import type { FlushPolicy } from '../host/emulator/local-disk.ts';
import { v86Drives } from '../host/emulator/v86/drives.ts';
import type { V86Constructor, V86Emulator } from '../host/emulator/v86/emulator.ts';
import { V86Machine } from '../host/emulator/v86/machine.ts';
import { deviceTypes } from '../host/machine/device-types.ts';
import { findMachineType } from '../host/machine/machine-types.ts';
import { nodePlatform } from '../host/platform/node/index.ts';
import type { JsonObject } from '../host/qapi/json-value.ts';
import { systemCommands } from '../host/qmp/commands/system.ts';
import { QmpServer } from '../host/qmp/server.ts';
import type { LoadedEmulator } from './guest-load.ts';

export type Emulator = V86Emulator & LoadedEmulator;

export interface InstalledV86 {
  readonly V86: V86Constructor<Emulator>;
  readonly options: Readonly<Record<string, unknown>>;
}

export async function loadV86(): Promise<InstalledV86> {
  const main = createRequire(import.meta.url).resolve('v86');
  const { V86 } = (await import('v86')) as unknown as { V86: V86Constructor<Emulator> };
  return {
    V86,
    options: {
      wasm_path: join(dirname(main), 'v86.wasm'),
      disable_keyboard: true,
      disable_mouse: true,
      disable_speaker: true,
    },
  };
}

/** `act` is given an emulator that stands, on `disks` (options of their nodes), and what has it run. All is gone afterwards. */
export async function withMachine<T>(
  { V86, options }: InstalledV86,
  disks: readonly JsonObject[],
  act: (emulator: Emulator, run: () => Promise<unknown>, server: QmpServer) => Promise<T>,
  policy?: FlushPolicy,
): Promise<T> {
  const server = new QmpServer({
    platform: nodePlatform,
    drivers,
    commands: systemCommands,
    machine: { type: findMachineType('pc'), deviceTypes, temporaryDirectory: tmpdir() },
  });
  const execute = (name: string, args: JsonObject = {}): Promise<unknown> =>
    server.runLocally(name, () => args);
  const machine = server.machine!; // it was asked for
  try {
    for (const [unit, disk] of disks.entries()) {
      const drive = `disk${unit}`;
      await execute('blockdev-add', { ...disk, 'node-name': drive });
      await machine.addDevice({ driver: 'ide-hd', drive, bus: 'ide.0', unit }, false);
    }
    const guest = await V86Machine.start(machine, V86, v86Drives(machine, policy), options);
    const result = await act(guest.emulator as Emulator, () => execute('cont'), server);
    await execute('stop');
    await guest.close();
    return result;
  } finally {
    await server.stop();
    await server.close();
  }
}
