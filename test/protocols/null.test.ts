import { describe, expect, test } from 'vitest';
import { ownOptions } from '../../host/block/options.ts';
import { createSimulation } from '../../host/platform/sim/index.ts';
import { type NullOptions, nullAio, nullCo } from '../../host/protocols/null.ts';
import { openDriver } from '../support/open-driver.ts';

const { platform } = createSimulation(1);

describe.each([nullCo, nullAio])('$name', (protocol) => {
  test('is 1 GiB long unless told otherwise', async () => {
    expect(await (await openDriver(protocol, platform, {})).driver.getLength()).toBe(1 << 30);
    expect(await (await openDriver(protocol, platform, { size: 511 })).driver.getLength()).toBe(511);
  });

  test('leaves the buffer alone, or fills it with zeros when asked to', async () => {
    const read = async (options: NullOptions): Promise<number[]> => {
      const { driver } = await openDriver(protocol, platform, options);
      await driver.write!(0, new Uint8Array(2).fill(1), {});
      const buffer = new Uint8Array(2).fill(7);
      await driver.read!(0, buffer);
      return [...buffer];
    };
    expect(await read({})).toEqual([7, 7]);
    expect(await read({ 'read-zeroes': true })).toEqual([0, 0]);
  });

  test('tells in its map whether it reads as zeros', async () => {
    const { driver } = await openDriver(protocol, platform, { 'read-zeroes': true });
    expect(await driver.map!(512, 1024)).toEqual({ type: 'own', bytes: 1024, zero: true, hole: true });
    const { driver: plain } = await openDriver(protocol, platform, {});
    expect(await plain.map!(512, 1024)).toEqual({ type: 'own', bytes: 1024, zero: false, hole: true });
  });

  test('takes its latency for every request', async () => {
    const simulation = createSimulation(1);
    const { clock } = simulation.platform;
    const { driver } = await openDriver(protocol, simulation.platform, { 'latency-ns': 5000 });
    await simulation.run(async () => {
      await driver.read!(0, new Uint8Array(1));
      expect(clock.nowNs()).toBe(5000);
      await Promise.all([driver.write!(0, new Uint8Array(1), {}), driver.flush!()]);
      expect(clock.nowNs()).toBe(10_000);
    });
  });

  test('refuses what makes no sense, in the words of QEMU', async () => {
    await expect(openDriver(protocol, platform, { 'latency-ns': -1 })).rejects.toThrow(
      'latency-ns is invalid',
    );
    await expect(openDriver(protocol, platform, { size: -1 })).rejects.toThrow(
      "Value '-1' is out of range for parameter 'size'",
    );
    expect(() => protocol.parseFilename!('null-co://x')).toThrow(
      `The only allowed filename for this driver is '${protocol.name}://'`,
    );
    expect(protocol.parseFilename!(`${protocol.name}://`)).toEqual({});
  });

  test('has a plain file name as long as only its latency was set', () => {
    const nameOf = (options: object): string | undefined =>
      protocol.exactFilename!(ownOptions(protocol, { ...options }), () => undefined);
    expect(nameOf({})).toBe(`${protocol.name}://`);
    expect(nameOf({ 'latency-ns': 5 })).toBe(`${protocol.name}://`);
    expect(nameOf({ size: 512 })).toBeUndefined();
    expect(nameOf({ 'read-zeroes': true })).toBeUndefined();
  });
});
