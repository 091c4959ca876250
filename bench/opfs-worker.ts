/** The side of the OPFS benchmark that runs in a dedicated worker: requests per second and MB/s, and posts them. */

import { BlockBackend } from '../host/block/backend.ts';
import { createImage } from '../host/block/create.ts';
import { Perm } from '../host/block/permissions.ts';
import { browserDrivers } from '../host/drivers-browser.ts';
import { createGraph } from '../host/graph.ts';
import { makeBrowserPlatform } from '../host/platform/browser/index.ts';
import type { OpfsFileHandle } from '../host/platform/browser/opfs-types.ts';
import { Prng } from '../host/platform/sim/prng.ts';

const platform = makeBrowserPlatform();

const diskBytes = 256 << 20;
const requests = 40_000;

interface Target {
  read(offset: number, buffer: Uint8Array): unknown;
  write(offset: number, buffer: Uint8Array): unknown;
  flush(): unknown;
  close(): unknown;
}

async function bare(): Promise<Target> {
  const root = await navigator.storage.getDirectory();
  const file = (await root.getFileHandle('bench-bare', { create: true })) as OpfsFileHandle;
  const handle = await file.createSyncAccessHandle!({ mode: 'readwrite' }); // a worker has it
  handle.truncate(diskBytes);
  return {
    read: (offset, buffer) => handle.read(buffer, { at: offset }),
    write: (offset, buffer) => handle.write(buffer, { at: offset }),
    flush: () => handle.flush(),
    close: () => handle.close(),
  };
}

async function disk(format: string): Promise<Target> {
  const graph = createGraph({ platform, drivers: browserDrivers });
  const filename = `bench-${format}`;
  await createImage(graph, { filename, format, size: diskBytes, quiet: true });
  const node = await graph.open({ driver: format, file: { driver: 'opfs', filename } });
  const backend = await BlockBackend.attach(node, {
    name: 'root',
    description: 'the benchmark',
    perm: Perm.consistentRead | Perm.write,
    shared: Perm.consistentRead,
  });
  await graph.unref(node);
  return backend;
}

/** Units per second of `count` calls. */
async function rate(count: number, act: (i: number) => unknown): Promise<number> {
  const startNs = platform.clock.nowNs();
  for (let i = 0; i < count; i++) {
    const pending = act(i);
    if (pending instanceof Promise) await pending;
  }
  return count / ((platform.clock.nowNs() - startNs) / 1e9);
}

async function measure(target: Target): Promise<Record<string, number>> {
  const random = new Prng(1);
  const small = new Uint8Array(4096).fill(1);
  const large = new Uint8Array(1 << 20).fill(2);
  const place = (): number => random.below(diskBytes / 4096) * 4096;
  const megabytes = diskBytes / large.length;
  const results = {
    'first write, 1 MiB in order, MiB/s': await rate(megabytes, (i) => target.write(i << 20, large)),
    'write again, 1 MiB in order, MiB/s': await rate(megabytes, (i) => target.write(i << 20, large)),
    'read, 1 MiB in order, MiB/s': await rate(megabytes, (i) => target.read(i << 20, large)),
    'read, 4 KiB at random, per second': await rate(requests, () => target.read(place(), small)),
    'write, 4 KiB at random, per second': await rate(requests, () => target.write(place(), small)),
    'flush after a write of 4 KiB, per second': await rate(200, async () => {
      await target.write(place(), small);
      await target.flush();
    }),
  };
  await target.close();
  return results;
}

postMessage({
  bare: await measure(await bare()),
  raw: await measure(await disk('raw')),
  qcow2: await measure(await disk('qcow2')),
});
