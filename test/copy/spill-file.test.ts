import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { openSpill } from '../../host/copy/buffer-options.ts';
import { SpillFile, type SpillSlots } from '../../host/copy/spill-file.ts';
import { createSimulation } from '../../host/platform/sim/index.ts';
import { kib } from '../support/units.ts';

const slot = 4 * kib;

describe('a spill file', () => {
  it('gives back what was stored, uses its space again and stays below its limit', async () => {
    const step = fc.oneof(
      fc.record({ op: fc.constant('store' as const), bytes: fc.integer({ min: 1, max: 5 * slot }) }),
      fc.record({ op: fc.constant('load' as const), which: fc.nat(), from: fc.nat(), bytes: fc.nat() }),
      fc.record({ op: fc.constant('release' as const), which: fc.nat() }),
    );
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 60 }), async (steps) => {
        const simulation = createSimulation(1, { latency: 'instant', record: false });
        const maxBytes = 12 * slot;
        const file = await SpillFile.open(simulation.platform, { path: '/spill', maxBytes });
        const stored: { slots: SpillSlots; data: Uint8Array }[] = [];
        let fill = 0;
        const used = (): number => stored.reduce((sum, { data }) => sum + Math.ceil(data.length / slot), 0);
        for (const one of steps) {
          const chosen = 'which' in one && stored.length > 0 ? one.which % stored.length : undefined;
          if (one.op === 'store') {
            const data = new Uint8Array(one.bytes).map(() => ++fill);
            const [slots] = await file.store([data]);
            const fits = used() + Math.ceil(one.bytes / slot) <= maxBytes / slot;
            expect(slots !== undefined).toBe(fits);
            if (slots) stored.push({ slots, data });
          } else if (chosen !== undefined && one.op === 'load') {
            const { slots, data } = stored[chosen]!; // an index of the list
            const from = one.from % data.length;
            const into = new Uint8Array(one.bytes % (data.length - from + 1));
            await slots.load(from, into);
            expect(into).toEqual(data.subarray(from, from + into.length));
          } else if (chosen !== undefined) {
            stored.splice(chosen, 1)[0]!.slots.release();
          }
          expect(file.usedBytes).toBe(used() * slot);
        }
        await file.close();
      }),
    );
  });

  it('takes a file system without room for a full one, until something is given back', async () => {
    const simulation = createSimulation(1, { latency: 'instant' });
    const file = await SpillFile.open(simulation.platform, { path: '/spill', maxBytes: 100 * slot });
    const [first] = await file.store([new Uint8Array(2 * slot).fill(1)]);
    simulation.fail({ errno: 'ENOSPC', type: 'write', times: 1 });
    expect(await file.store([new Uint8Array(2 * slot).fill(2)])).toEqual([]);
    expect(file.isFull).toBe(true);
    first!.release();
    expect(file.isFull).toBe(false);
    expect(await file.store([new Uint8Array(2 * slot).fill(3)])).toHaveLength(1);
    await file.close();
  });

  it('does not use what somebody is reading', async () => {
    const simulation = createSimulation(1, { record: false });
    await simulation.run(async () => {
      const file = await SpillFile.open(simulation.platform, { path: '/spill', maxBytes: slot });
      const [slots] = await file.store([new Uint8Array(slot).fill(1)]);
      const into = new Uint8Array(slot);
      const loading = slots!.load(0, into);
      slots!.release();
      expect(await file.store([new Uint8Array(slot).fill(2)])).toEqual([]);
      await loading;
      expect(into.every((byte) => byte === 1)).toBe(true);
      expect(await file.store([new Uint8Array(slot).fill(2)])).toHaveLength(1);
      await file.close();
    });
  });

  it('has no name, and is a file of its own wherever it is put', async () => {
    const { platform, storage } = createSimulation(1, { latency: 'instant' });
    const file = await SpillFile.open(platform, { path: '/somewhere', maxBytes: slot });
    expect(storage.paths()).toEqual([]);
    await file.close();
    storage.create('/taken');
    await expect(SpillFile.open(platform, { path: '/taken', maxBytes: slot })).rejects.toThrow(
      "Could not create spill file '/taken': File exists",
    );
    const { temporaryDirectory: _, ...page } = platform;
    await expect(openSpill(page, { 'x-cbw-spill': 'auto' }, slot)).rejects.toThrow(
      'There are no files that a copy could be spilled to',
    );
  });
});
