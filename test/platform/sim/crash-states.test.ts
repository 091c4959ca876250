import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  crashStates,
  createSimulation,
  type SimStorage,
  type Simulation,
  storageAt,
} from '../../../host/platform/sim/index.ts';

const sector = (value: number): Uint8Array => new Uint8Array(512).fill(value);

async function recorded(body: (simulation: Simulation) => Promise<void>): Promise<Simulation> {
  const simulation = createSimulation(3);
  await simulation.run(() => body(simulation));
  return simulation;
}

/** The first byte of each sector. */
function sectors(storage: SimStorage): number[] {
  const data = storage.find('disk') ? storage.readFile('disk') : new Uint8Array();
  return [...data].filter((_, offset) => offset % 512 === 0);
}

function distinctStates(simulation: Simulation, options = {}): Set<string> {
  return new Set(
    [...crashStates(simulation.journal!, options)].map(({ storage }) => sectors(storage).join(' ')),
  );
}

async function writeFlushWrite({ platform }: Simulation): Promise<void> {
  const file = await platform.files.open('disk', { write: true, create: 'exclusive' });
  await file.write(0, sector(1));
  await file.flush();
  await file.write(0, sector(2));
}

describe('the states a crash can leave', () => {
  test('have unflushed writes in any subset', async () => {
    const simulation = await recorded(async ({ platform }) => {
      const file = await platform.files.open('disk', { write: true, create: 'exclusive' });
      await file.write(0, sector(1));
      await file.write(512, sector(2));
    });
    expect(distinctStates(simulation, { randomPerCut: 0 })).toEqual(new Set(['', '1', '0 2', '1 2']));
  });

  test('always have what was flushed', async () => {
    const simulation = await recorded(writeFlushWrite);
    const flushed = simulation.journal!.entries.findIndex(({ type }) => type === 'flush-complete');
    const after = [...crashStates(simulation.journal!)].filter(({ cut }) => cut > flushed);
    expect(new Set(after.map(({ storage }) => sectors(storage)[0]))).toEqual(new Set([1, 2]));
  });

  test('may lack a write that was still in flight when the flush was issued', async () => {
    const simulation = await recorded(async ({ platform }) => {
      const file = await platform.files.open('disk', { write: true, create: 'exclusive' });
      await Promise.all([file.write(0, sector(1)), file.flush()]);
    });
    expect(sectors(storageAt(simulation.journal!, () => false))).toEqual([]);
    expect(sectors(storageAt(simulation.journal!, () => true))).toEqual([1]);
  });

  test('are not made durable by the flush of another file', async () => {
    const simulation = await recorded(async ({ platform }) => {
      const file = await platform.files.open('disk', { write: true, create: 'exclusive' });
      const other = await platform.files.open('other', { write: true, create: 'exclusive' });
      await file.write(0, sector(1));
      await other.flush();
    });
    expect(sectors(storageAt(simulation.journal!, () => false))).toEqual([]);
  });

  test('are not made durable by a flush that failed', async () => {
    const simulation = await recorded(async (running) => {
      const file = await running.platform.files.open('disk', { write: true, create: 'exclusive' });
      await file.write(0, sector(1));
      running.fail({ type: 'flush', errno: 'EIO' });
      await expect(file.flush()).rejects.toMatchObject({ errno: 'EIO' });
    });
    expect(sectors(storageAt(simulation.journal!, () => false))).toEqual([]);
  });

  test('tear a write at sectors, never within one', async () => {
    const simulation = await recorded(async ({ platform }) => {
      const file = await platform.files.open('disk', { write: true, create: 'exclusive' });
      await file.truncate(8 * 512);
      await file.flush();
      await file.write(0, new Uint8Array(8 * 512).fill(1));
    });
    const torn = [...crashStates(simulation.journal!, { randomPerCut: 200 })].filter(({ description }) =>
      description.includes('torn'),
    );
    expect(torn.length).toBeGreaterThan(10);
    const counts = new Set<number>();
    for (const { storage } of torn) {
      const data = storage.readFile('disk');
      for (let at = 0; at < data.length; at += 512) {
        expect(new Set(data.subarray(at, at + 512)).size).toBe(1);
      }
      counts.add(sectors(storage).filter((value) => value === 1).length);
    }
    expect(counts.size).toBeGreaterThan(3);
  });

  test('may come with a file longer or shorter than its truncation left it', async () => {
    const simulation = await recorded(async ({ platform }) => {
      const file = await platform.files.open('disk', { write: true, create: 'exclusive' });
      await file.write(0, new Uint8Array(1024).fill(1));
      await file.flush();
      await file.truncate(512);
      await file.zero(0, 512, { unmap: true });
    });
    expect(distinctStates(simulation)).toEqual(new Set(['', '1', '1 1', '0', '0 1']));
  });

  test('are selected at random when there are more than asked for', async () => {
    const simulation = await recorded(async ({ platform }) => {
      const file = await platform.files.open('disk', { write: true, create: 'exclusive' });
      for (let i = 0; i < 50; i++) await file.write(i * 512, sector(i));
    });
    const states = [...crashStates(simulation.journal!, { maxStates: 20 })];
    expect(states).toHaveLength(20);
    expect(states.map(({ cut }) => cut)).toEqual(states.map(({ cut }) => cut).sort((a, b) => a - b));
    expect(states.at(-1)!.cut).toBeGreaterThan(50);
  });

  test('can be opened in simulations of their own without touching each other', async () => {
    const simulation = await recorded(writeFlushWrite);
    const contents: number[] = [];
    for (const { storage } of crashStates(simulation.journal!)) {
      const { files } = createSimulation(1, { storage, latency: 'instant', record: false }).platform;
      if (!storage.find('disk')) continue;
      const file = await files.open('disk', { write: true });
      const buffer = new Uint8Array(1);
      await file.read(0, buffer);
      contents.push(buffer[0]!);
      await file.write(0, sector(77));
    }
    expect(contents).toContain(1);
    expect(contents).toContain(2);
    expect(contents).not.toContain(77);
    expect(sectors(simulation.storage)).toEqual([2]);
  });

  test('agree with a model in which each sector has what it had at the flush or got after it', async () => {
    const step = fc.oneof(
      fc.record({ at: fc.nat(7), value: fc.integer({ min: 1, max: 255 }) }),
      fc.constant('flush' as const),
    );
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 12 }), async (steps) => {
        const simulation = await recorded(async ({ platform }) => {
          const file = await platform.files.open('disk', { write: true, create: 'exclusive' });
          await file.truncate(8 * 512);
          await file.flush();
          for (const change of steps) {
            if (change === 'flush') await file.flush();
            else await file.write(change.at * 512, sector(change.value));
          }
        });
        // By number of flushes that completed: what each sector may hold.
        const allowed: Set<number>[][] = [Array.from({ length: 8 }, () => new Set([0]))];
        const now = new Array<number>(8).fill(0);
        for (const change of steps) {
          if (change === 'flush') allowed.push(now.map((value) => new Set([value])));
          else allowed.at(-1)![change.at]!.add((now[change.at] = change.value));
        }
        const { entries } = simulation.journal!;
        for (const { cut, storage } of crashStates(simulation.journal!)) {
          const flushes = entries.slice(0, cut).filter(({ type }) => type === 'flush-complete').length;
          if (flushes === 0) continue;
          sectors(storage).forEach((value, at) => {
            expect([...allowed[flushes - 1]![at]!]).toContain(value);
          });
        }
      }),
      { numRuns: 40 },
    );
  });

  test('come in tens of thousands', async () => {
    const simulation = await recorded(async ({ platform }) => {
      const file = await platform.files.open('disk', { write: true, create: 'exclusive' });
      await file.truncate(1 << 20);
      for (let i = 0; i < 4000; i++) {
        await file.write(((i * 37) % 2048) * 512, sector(i % 251));
        if (i % 10 === 9) await file.flush();
      }
    });
    let count = 0;
    for (const { storage } of crashStates(simulation.journal!, { maxStates: 20_000 })) {
      const { files } = createSimulation(1, { storage, latency: 'instant', record: false }).platform;
      if (storage.find('disk')) await files.open('disk', { write: true });
      count++;
    }
    expect(count).toBe(20_000);
  });
});
