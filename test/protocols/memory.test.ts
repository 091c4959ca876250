import { expect, test } from 'vitest';
import { createSimulation } from '../../host/platform/sim/index.ts';
import { memory } from '../../host/protocols/memory.ts';
import { openDriver } from '../support/open-driver.ts';

const { platform } = createSimulation(1);

test('a disk in memory may be 64 TiB long', async () => {
  const size = 2 ** 46;
  const { driver } = await openDriver(memory, platform, { size });
  await driver.write!(size - 512, new Uint8Array(512).fill(1), {});
  expect(await driver.getAllocatedBytes!()).toBe(65536);
  expect(await driver.map!(0, size)).toEqual({ type: 'own', bytes: size - 65536, zero: true });
  await driver.writeZeroes!(0, size, {});
  expect(await driver.getAllocatedBytes!()).toBe(0);
});

test('a disk in memory is full before the process is', async () => {
  const { driver } = await openDriver(memory, platform, { size: 2 ** 46 });
  const requestBytes = 2 ** 32 + 1;
  // A view that claims a length without the memory behind it: the check comes before any byte is looked at.
  const huge = Object.defineProperty(new Uint8Array(0), 'length', { value: requestBytes });
  await expect(driver.write!(0, huge, {})).rejects.toMatchObject({ errno: 'ENOSPC' });
  expect(await driver.getAllocatedBytes!()).toBe(0);
});

test.each([
  [-1, "Value '-1' is out of range for parameter 'size'"],
  [0.5, "Parameter 'size' expects a non-negative number below 2^64"],
  [2 ** 60, 'Invalid disk size'],
])('a size of %d is refused', async (size, message) => {
  await expect(openDriver(memory, platform, { size })).rejects.toThrow(message);
});
