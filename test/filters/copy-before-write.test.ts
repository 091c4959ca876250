/** Copy-before-write with data at hand: writes that are let through without waiting, and what they must wait for all the same. */
import { expect, test } from 'vitest';
import { Perm } from '../../host/block/permissions.ts';
import { drivers } from '../../host/drivers.ts';
import type { CopyBeforeWrite } from '../../host/filters/copy-before-write/driver.ts';
import { createGraph } from '../../host/graph.ts';
import { createSimulation } from '../../host/platform/sim/index.ts';
import { unlimited } from '../../host/throttle/config.ts';
import { throttleGroupsOf } from '../../host/throttle/groups.ts';
import { mergeLimits } from '../../host/throttle/limit-names.ts';
import { attach, readWrite } from '../support/attach.ts';
import { kib } from '../support/units.ts';

const cluster = 64 * kib;
const unit = 4 * kib;
const clusters = 16;

/** The source has 1, all of it in the host's cache; the target takes a second for each cluster. */
async function withFilter(
  body: (world: {
    filter: CopyBeforeWrite;
    write(offset: number, bytes: number): Promise<void>;
    read(offset: number, bytes: number): Promise<Uint8Array>;
  }) => Promise<void>,
): Promise<void> {
  const simulation = createSimulation(1, {
    latency: { minNs: 1000, maxNs: 60_000 },
    cachedPercent: 100,
    record: false,
  });
  await simulation.run(async () => {
    const graph = createGraph({ platform: simulation.platform, drivers });
    simulation.storage.writeFile('source', new Uint8Array(clusters * cluster).fill(1));
    simulation.storage.writeFile('target', new Uint8Array(clusters * cluster));
    throttleGroupsOf(graph).add('slow', mergeLimits(unlimited, { 'bps-write': cluster }));
    const node = await graph.open({
      driver: 'copy-before-write',
      'node-name': 'filter',
      file: { driver: 'file', filename: 'source' },
      target: {
        driver: 'throttle',
        'throttle-group': 'slow',
        file: { driver: 'file', filename: 'target' },
      },
      'x-cbw-buffer': 1024 * kib,
    });
    const view = await graph.open({ driver: 'snapshot-access', 'node-name': 'view', file: 'filter' });
    const [guest, reader] = [await attach(node, readWrite), await attach(view, Perm.consistentRead)];
    await body({
      filter: node.driver as CopyBeforeWrite,
      write: (offset, bytes) => guest.write(offset, new Uint8Array(bytes).fill(2)),
      async read(offset, bytes) {
        const found = new Uint8Array(bytes);
        await reader.read(offset, found);
        return found;
      },
    });
    await guest.close();
    await reader.close();
    await graph.unref(view);
    await graph.unref(node);
  });
}

test('units are saved before the write is on its way, and clusters that are saved whole are left alone', async () => {
  await withFilter(async ({ filter, write, read }) => {
    // As in a drained section: nothing goes to the target, and so nothing is completed.
    filter.drainChanged(true);
    const written = write(3 * unit, unit);
    expect([filter.waits.count, filter.saving.fill?.bufferedBytes]).toEqual([1, unit]);
    await written;
    await write(3 * unit + 512, 512);
    expect(filter.waits.count).toBe(1);
    for (let at = 0; at < cluster; at += unit) await write(at, unit);
    expect([filter.waits.count, filter.copyMap.isLeft(0, cluster)]).toEqual([cluster / unit, false]);
    filter.drainChanged(false);
    expect(new Set(await read(0, 2 * cluster))).toEqual(new Set([1]));
  });
});

test('a write that needs nothing more saved waits for whoever reads its range back', async () => {
  await withFilter(async ({ write, read }) => {
    for (let at = 0; at < clusters * cluster; at += unit) {
      const found = read(at - (at % cluster), cluster);
      // It has begun to read the source by then.
      for (let turn = 0; turn < 20; turn++) await Promise.resolve();
      await write(at, unit);
      expect(new Set(await found)).toEqual(new Set([1]));
    }
  });
});
