/** Requests get on side by side however small the cache is: they do not push each other's tables out again and again. */
import { expect } from 'vitest';
import { BlockError } from '../../../../host/base/errors.ts';
import { Perm } from '../../../../host/block/permissions.ts';
import { drivers } from '../../../../host/drivers.ts';
import { createImage } from '../../../../host/formats/qcow2/create/create.ts';
import { createGraph } from '../../../../host/graph.ts';
import { createSimulation } from '../../../../host/platform/sim/index.ts';
import { type ArrayDisk, arrayProtocol } from '../../../support/array-driver.ts';
import { attach } from '../../../support/attach.ts';
import { Seeded } from '../../../support/seeded.ts';
import { testSeeds } from '../../../support/seeds.ts';
import { kib, mib } from '../../../support/units.ts';

const nothing = Promise.resolve();
const requests = 60;
/** What a step may read before it queues up, and what it needs then; some requests take two steps. */
const readsPerRequest = 16;

testSeeds({ first: 1, count: 20, batch: 5 }, async (seed) => {
  const random = new Seeded(seed);
  const { platform } = createSimulation(seed);
  const files: ArrayDisk[] = [];
  const graph = createGraph({ platform, drivers: [...drivers, arrayProtocol(files)], emit: () => {} });
  const bytes = await graph.open({ driver: 'array', 'node-name': 'file', size: 0 });
  const file = await attach(bytes, Perm.all);
  file.allowWriteBeyondEnd = true;
  const clusterBytes = 512 << random.below(3);
  await createImage(file, { size: 4 * mib, cluster_size: clusterBytes, preallocation: 'metadata' });
  await file.close();
  const node = await graph.open({
    driver: 'qcow2',
    file: 'file',
    'l2-cache-size': 1024,
    'l2-cache-entry-size': 512,
    'refcount-cache-size': 4 * clusterBytes,
    discard: 'unmap',
  });
  const disk = await attach(node, Perm.all);
  const model = new Uint8Array(4 * mib);

  let reads = 0;
  const [held] = files as [ArrayDisk];
  // It answers at once, as a file in the page cache does; an error is what ends a loop of requests that nothing else could.
  held.read = (offset, buffer) => {
    if (++reads > requests * readsPerRequest) return Promise.reject(new BlockError('EIO'));
    buffer.set(held.bytes.subarray(offset, offset + buffer.length));
    return nothing;
  };
  const slotBytes = (4 * mib) / requests;
  const running = Array.from({ length: requests }, (_, i) => {
    // Each in a table of its own, more or less.
    const offset = Math.floor((i * slotBytes) / 512) * 512 + 512 * random.below(4);
    const bytes = 512 * (1 + random.below(8));
    switch (random.below(4)) {
      case 0:
        return disk.read(offset, new Uint8Array(bytes));
      case 1:
        model.fill(0, offset, offset + bytes);
        return disk.writeZeroes(offset, bytes, { mayUnmap: true });
      default:
        model.fill(i + 1, offset, offset + bytes);
        return disk.write(offset, new Uint8Array(bytes).fill(i + 1));
    }
  });
  const outcomes = await Promise.allSettled(running);
  expect(outcomes.find(({ status }) => status === 'rejected')).toBeUndefined();
  reads = Number.NEGATIVE_INFINITY;
  const content = new Uint8Array(4 * mib);
  for (let at = 0; at < content.length; at += 64 * kib)
    await disk.read(at, content.subarray(at, at + 64 * kib));
  expect(Buffer.compare(content, model)).toBe(0);
  await disk.close();
  await graph.unref(node);
  await graph.unref(bytes);
});
