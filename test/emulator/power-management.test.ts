/** States of v86 with and without power management, put into a v86 that has it: `acpi` is an option of each. */
import { afterEach, expect, test } from 'vitest';
import { createV86, type V86Emulator } from '../../host/emulator/v86/emulator.ts';
import { PowerManagement } from '../../host/emulator/v86/power-management.ts';
import { installedV86 } from '../support/v86.ts';

/** Where v86 has what is asked for here. */
interface WithChipset {
  v86: {
    cpu: {
      io: { port_write8(port: number, value: number): void };
      devices: { acpi: { gpe: Uint8Array } };
    };
  };
}

const emulators: V86Emulator[] = [];

afterEach(async () => {
  for (const emulator of emulators.splice(0)) await emulator.destroy();
});

async function make(acpi: boolean): Promise<V86Emulator> {
  const { V86, options } = installedV86!; // the tests are skipped without
  const emulator = await createV86(V86, { ...options, acpi, hda: { buffer: new ArrayBuffer(1 << 20) } });
  emulators.push(emulator);
  return emulator;
}

test.skipIf(!installedV86)('an emulator without it has none', async () => {
  expect(PowerManagement.of(await make(false))).toBeUndefined();
});

test.skipIf(!installedV86)('general events are cleared by writing them', async () => {
  const emulator = await make(true);
  expect(PowerManagement.of(emulator)).toBeDefined();
  const { io, devices } = (emulator as unknown as WithChipset).v86.cpu;
  devices.acpi.gpe[1] = 0x81;
  for (const port of [0xafe0, 0xafe1, 0xafe2]) io.port_write8(port, 0x80);
  expect([...devices.acpi.gpe]).toEqual([0, 1, 0x80, 0]);
});

test.skipIf(!installedV86)(
  'a state without it is restored, and the machine has it again with the next reset',
  async () => {
    const emulator = await make(true);
    const power = PowerManagement.of(emulator)!; // it was asked for
    const [withIt, without] = [await emulator.save_state(), await (await make(false)).save_state()];
    await expect(emulator.restore_state(without)).rejects.toThrow();
    power.suit(without);
    await emulator.restore_state(without);
    expect(PowerManagement.of(emulator)).toBeUndefined();
    // Nothing happens.
    power.press();
    power.reset();
    expect(PowerManagement.of(emulator)).toBeDefined();
    power.suit(without);
    await emulator.restore_state(without);
    power.suit(withIt);
    await emulator.restore_state(withIt);
    expect(PowerManagement.of(emulator)).toBeDefined();
  },
);
