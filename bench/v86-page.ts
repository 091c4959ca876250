/** v86 in a page, on its own disks and on ours: runs in Chromium, called by browser.ts. */

import { guestKernel } from '../host/emulator/guest/index.ts';
import { createV86 } from '../host/emulator/v86/emulator.ts';
import { openBlockyard, type V86Constructor, type V86Emulator } from '../host/library/index.ts';
import { type LoadedEmulator, type LoadResult, loadedBytes, measureLoads } from './guest-load.ts';

type Emulator = V86Emulator & LoadedEmulator;
type Column = Record<string, LoadResult[]>;

const options = {
  wasm_path: '/v86/v86.wasm',
  memory_size: 8 << 20,
  vga_memory_size: 2 << 20,
  disable_keyboard: true,
  disable_mouse: true,
  disable_speaker: true,
};

const memory = (): object => ({ buffer: new ArrayBuffer(loadedBytes) });

async function measureOwn(V86: V86Constructor<Emulator>, hda: object): Promise<LoadResult[]> {
  const emulator = await createV86(V86, { ...options, multiboot: guestKernel(), hda, hdb: memory() });
  const results = await measureLoads(emulator, () => emulator.run());
  await emulator.destroy();
  return results;
}

async function measureOurs(V86: V86Constructor<Emulator>, base?: object): Promise<LoadResult[]> {
  const yard = await openBlockyard({ workerUrl: '/blockyard/worker.js', httpCacheBytes: 0 });
  const name = `v86-${base ? 'overlay' : 'qcow2'}`;
  if (base) await yard.openOverlay({ node: 'a', file: name, base: { ...base } });
  else {
    await yard.createImage(name, { size: loadedBytes });
    await yard.add({ driver: 'qcow2', 'node-name': 'a', file: { driver: 'opfs', filename: name } });
  }
  await yard.createImage(`${name}-b`, { size: loadedBytes });
  await yard.add({ driver: 'qcow2', 'node-name': 'b', file: { driver: 'opfs', filename: `${name}-b` } });
  await yard.qmp('stop');
  const [hda, hdb] = [await yard.disk({ node: 'a' }), await yard.disk({ node: 'b' })];
  const emulator = await yard.start(V86, { ...options, multiboot: guestKernel(), hda, hdb });
  const results = await measureLoads(emulator, () => yard.qmp('cont'));
  await yard.qmp('stop');
  await yard.detach();
  await emulator.destroy();
  await yard.close();
  return results;
}

/** By the name of the column. */
async function measure(): Promise<Column> {
  const url = new URL('/v86/libv86.mjs', location.href).href;
  const { V86 } = (await import(url)) as { V86: V86Constructor<Emulator> };
  const disk = new URL('/disk.img', location.href).href;
  return {
    'v86 memory': await measureOwn(V86, memory()),
    'v86 HTTP': await measureOwn(V86, { url: disk, async: true, size: loadedBytes }),
    OPFS: await measureOurs(V86),
    'OPFS on HTTP': await measureOurs(V86, { driver: 'raw', file: { driver: 'http', url: disk } }),
  };
}

Object.assign(globalThis, { measureV86: measure });
