import { describe, expect, test } from 'vitest';
import {
  createSimulation,
  DeadlockError,
  type IoOperation,
  SimStorage,
  SimulatedCrash,
} from '../../../host/platform/sim/index.ts';

const bytes = (length: number, value: number): Uint8Array => new Uint8Array(length).fill(value);

/** Several writers that wait, draw lots and print. */
async function workload(
  seed: number,
): Promise<{ operations: IoOperation[]; stdout: string[]; nowNs: number }> {
  const simulation = createSimulation(seed);
  const { clock, files, random, console } = simulation.platform;
  await simulation.run(async () => {
    const file = await files.open('disk', { write: true, create: 'if-absent' });
    const writer = async (name: number): Promise<void> => {
      for (let i = 0; i < 5; i++) {
        await file.write(random.below(64) * 512, bytes(512, name));
        if (random.below(3) === 0) await file.flush();
        await new Promise<void>((resolve) => void clock.setTimer(random.below(1_000_000), resolve));
        console.stdout(`${name} ${i} at ${clock.nowNs()}`);
      }
    };
    await Promise.all([1, 2, 3, 4].map(writer));
  });
  return { operations: simulation.operations, stdout: simulation.output.stdout, nowNs: simulation.nowNs };
}

describe('a simulation', () => {
  test('repeats itself exactly with the same seed and not with another', async () => {
    const first = await workload(7);
    expect(await workload(7)).toEqual(first);
    expect((await workload(8)).stdout).not.toEqual(first.stdout);
  });

  test('fires timers in the order of their time, those of one instant in the order they were set', async () => {
    const simulation = createSimulation(1);
    const { clock } = simulation.platform;
    const fired: string[] = [];
    await simulation.run(
      () =>
        new Promise<void>((resolve) => {
          clock.setTimer(3e9, resolve);
          clock.setTimer(2e9, () => fired.push(`b ${clock.nowNs()}`));
          clock.setTimer(2e9, () => fired.push(`c ${clock.nowNs()}`));
          clock.setTimer(1, () => fired.push(`a ${clock.nowNs()}`));
        }),
    );
    expect(fired).toEqual(['a 1', 'b 2000000000', 'c 2000000000']);
  });

  test('does not fire a cancelled timer', async () => {
    const simulation = createSimulation(1);
    const { clock } = simulation.platform;
    let fired = false;
    await simulation.run(async () => {
      clock.setTimer(10, () => (fired = true)).cancel();
      await new Promise<void>((resolve) => void clock.setTimer(1000, resolve));
    });
    expect(fired).toBe(false);
  });

  test('lets time pass only when no promise can go on', async () => {
    const simulation = createSimulation(1);
    const { clock } = simulation.platform;
    await simulation.run(async () => {
      clock.setTimer(1, () => {});
      for (let i = 0; i < 1000; i++) await Promise.resolve();
      expect(clock.nowNs()).toBe(0);
      await clock.yield();
      expect(clock.nowNs()).toBeGreaterThan(0);
    });
  });

  test('notices a deadlock and tells what happened last', async () => {
    const simulation = createSimulation(1);
    const stuck = simulation.run(async () => {
      await simulation.platform.files.open('disk', { write: true, create: 'exclusive' });
      await new Promise(() => {});
    });
    await expect(stuck).rejects.toThrow(DeadlockError);
    await expect(stuck).rejects.toThrow('open disk');
  });

  test('settles with what the body returns or throws', async () => {
    const simulation = createSimulation(1);
    expect(await simulation.run(async () => 5)).toBe(5);
    await expect(simulation.run(() => Promise.reject(new Error('no')))).rejects.toThrow('no');
  });

  test('fails the run with what a timer throws', async () => {
    const simulation = createSimulation(1);
    const run = simulation.run(async () => {
      simulation.platform.clock.setTimer(5, () => {
        throw new Error('from a timer');
      });
      await new Promise<void>((resolve) => void simulation.platform.clock.setTimer(50, resolve));
    });
    await expect(run).rejects.toThrow('from a timer');
  });

  test('waits for codecs without letting time pass', async () => {
    const simulation = createSimulation(1);
    const { codecs, clock } = simulation.platform;
    const input = bytes(100_000, 3);
    const output = new Uint8Array(input.length);
    await simulation.run(async () => {
      const packed = await Promise.all([1, 2].map(() => codecs.deflate.compress(input, input.length)));
      await codecs.deflate.decompress(packed[1]!, output);
      expect(clock.nowNs()).toBe(0);
    });
    expect(output).toEqual(input);
  });

  test('goes on without run while something is scheduled', async () => {
    const { files } = createSimulation(1).platform;
    const file = await files.open('disk', { write: true, create: 'exclusive' });
    await file.write(0, bytes(10, 1));
    expect(await file.getSize()).toBe(10);
  });
});

describe('failures to order', () => {
  test('hit the operations they describe and no others', async () => {
    const simulation = createSimulation(1, { latency: 'instant' });
    const file = await simulation.platform.files.open('disk', { write: true, create: 'exclusive' });
    simulation.fail({
      type: 'write',
      path: 'disk',
      range: { offset: 512, bytes: 512 },
      errno: 'EIO',
      after: 1,
      times: 1,
    });
    await file.write(0, bytes(512, 1));
    await file.write(512, bytes(512, 1));
    await file.write(1024, bytes(512, 1));
    await expect(file.write(0, bytes(513, 2))).rejects.toMatchObject({ errno: 'EIO' });
    await file.write(0, bytes(513, 3));
  });

  test('leave nothing of a failed write behind', async () => {
    const simulation = createSimulation(1);
    const file = await simulation.platform.files.open('disk', { write: true, create: 'exclusive' });
    await file.write(0, bytes(512, 1));
    const cancel = simulation.fail({ type: 'write', errno: 'ENOSPC' });
    await expect(file.write(0, bytes(512, 2))).rejects.toMatchObject({ errno: 'ENOSPC' });
    cancel();
    expect(simulation.storage.readFile('disk')).toEqual(bytes(512, 1));
    await file.write(0, bytes(512, 4));
    expect(simulation.storage.readFile('disk')).toEqual(bytes(512, 4));
  });

  test('make a full disk refuse new space but not overwriting', async () => {
    const simulation = createSimulation(1, { capacityBytes: 8192 });
    const file = await simulation.platform.files.open('disk', { write: true, create: 'exclusive' });
    await file.write(0, bytes(8192, 1));
    await expect(file.write(8192, bytes(1, 1))).rejects.toMatchObject({ errno: 'ENOSPC' });
    await file.write(100, bytes(5000, 2));
    await file.discard(0, 4096);
    await file.write(8192, bytes(1, 1));
  });
});

describe('a crash', () => {
  test('ends the run, and nothing happens any more', async () => {
    let writes = 0;
    const simulation = createSimulation(1, {
      onIo(operation) {
        if (operation.type === 'write' && ++writes === 3) simulation.crash();
      },
    });
    let finished = 0;
    const run = simulation.run(async () => {
      const file = await simulation.platform.files.open('disk', { write: true, create: 'exclusive' });
      for (let i = 0; i < 10; i++) {
        await file.write(i, bytes(1, 1));
        finished++;
      }
    });
    await expect(run).rejects.toThrow(SimulatedCrash);
    expect([writes, finished]).toEqual([3, 2]);
  });

  test('leaves handles that never answer', async () => {
    const simulation = createSimulation(1, { latency: 'instant' });
    const file = await simulation.platform.files.open('disk', { write: true, create: 'exclusive' });
    simulation.crash();
    const entries = simulation.journal?.entries.length;
    const settled = await Promise.race([
      file.write(0, bytes(1, 1)).then(() => 'write'),
      file.flush().then(() => 'flush'),
      new Promise((resolve) => setImmediate(resolve)).then(() => 'nothing'),
    ]);
    expect(settled).toBe('nothing');
    expect(simulation.journal?.entries.length).toBe(entries);
  });
});

describe('locks', () => {
  test('are held by open files and seen by others', async () => {
    const { files } = createSimulation(1, { latency: 'instant' }).platform;
    const a = await files.open('disk', { write: true, create: 'exclusive' });
    const b = await files.open('disk', { write: false });
    a.locks!.lockShared(100);
    expect([a.locks!.isHeldByOther(100), b.locks!.isHeldByOther(100)]).toEqual([false, true]);
    b.locks!.lockShared(100);
    expect(a.locks!.isHeldByOther(100)).toBe(true);
    b.locks!.unlock(100);
    await a.close();
    expect(b.locks!.isHeldByOther(100)).toBe(false);
  });

  test('are missing where the host has none', async () => {
    const { files } = createSimulation(1, { locks: false }).platform;
    const file = await files.open('disk', { write: true, create: 'exclusive' });
    expect(file.locks).toBeUndefined();
  });
});

test('storage made by hand is what a simulation starts from', async () => {
  const storage = new SimStorage();
  storage.writeFile('disk', bytes(700, 9));
  const { files } = createSimulation(1, { storage }).platform;
  const file = await files.open('disk', { write: false });
  const buffer = bytes(1000, 1);
  await file.read(300, buffer);
  expect([...buffer.subarray(0, 400)].every((byte) => byte === 9)).toBe(true);
  expect([...buffer.subarray(400)].every((byte) => byte === 0)).toBe(true);
  await expect(file.write(0, bytes(1, 1))).rejects.toMatchObject({ errno: 'EBADF' });
  await expect(files.open('other', { write: false })).rejects.toMatchObject({ errno: 'ENOENT' });
});
