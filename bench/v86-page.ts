/** v86 in a page, on its own disks and on ours: runs in Chromium, called by browser.ts. */

import { guestKernel } from '../host/emulator/guest/index.ts';
import { createV86 } from '../host/emulator/v86/emulator.ts';
import { openBlockyard, type V86Constructor, type V86Emulator } from '../host/library/index.ts';
import { type LoadedEmulator, type LoadResult, loadedBytes, measureLoads } from './guest-load.ts';

type Emulator = V86Emulator & LoadedEmulator;

const options = {
  wasm_path: '/v86/v86.wasm',
  memory_size: 8 << 20,
  vga_memory_size: 2 << 20,
  disable_keyboard: true,
  disable_mouse: true,
  disable_speaker: true,
};

const memory = (): object => ({ buffer: new ArrayBuffer(loadedBytes) });

const moduleUrl = new URL('/v86/libv86.mjs', location.href).href;
const diskUrl = new URL('/disk.img', location.href).href;
const overHttp = { driver: 'raw', file: { driver: 'http', url: diskUrl } };

async function loadV86(): Promise<V86Constructor<Emulator>> {
  const { V86 } = (await import(moduleUrl)) as { V86: V86Constructor<Emulator> };
  return V86;
}

async function measureOwn(hda: object): Promise<LoadResult[]> {
  const all = { ...options, multiboot: guestKernel(), hda, hdb: memory() };
  // With turns as v86 has them by itself.
  const emulator = await createV86(await loadV86(), all, undefined, () => {});
  const results = await measureLoads(emulator, () => emulator.run());
  await emulator.destroy();
  return results;
}

/** `where`: the thread that has v86. */
async function measureOurs(where: 'page' | 'worker', base?: object): Promise<LoadResult[]> {
  const yard = await openBlockyard({ workerUrl: '/blockyard/worker.js', httpCacheBytes: 0 });
  const name = `v86-${where}-${base ? 'overlay' : 'qcow2'}`;
  if (base) await yard.openOverlay({ node: 'a', file: name, base: { ...base } });
  else {
    await yard.createImage(name, { size: loadedBytes });
    await yard.add({ driver: 'qcow2', 'node-name': 'a', file: { driver: 'opfs', filename: name } });
  }
  await yard.createImage(`${name}-b`, { size: loadedBytes });
  await yard.add({ driver: 'qcow2', 'node-name': 'b', file: { driver: 'opfs', filename: `${name}-b` } });
  await yard.qmp('stop');
  const all = { ...options, multiboot: guestKernel() };
  const disks = [{ node: 'a' }, { node: 'b' }] as const;
  const start = async (): Promise<LoadedEmulator & { destroy(): Promise<void> }> => {
    if (where === 'worker') return yard.startInWorker(moduleUrl, { ...all, hda: disks[0], hdb: disks[1] });
    const [hda, hdb] = [await yard.disk(disks[0]), await yard.disk(disks[1])];
    return yard.start(await loadV86(), { ...all, hda, hdb });
  };
  const emulator = await start();
  const results = await measureLoads(emulator, () => yard.qmp('cont'));
  await yard.qmp('stop');
  await yard.detach();
  await emulator.destroy();
  await yard.close();
  return results;
}

/** By what stands over their results. */
const columns: Readonly<Record<string, () => Promise<LoadResult[]>>> = {
  'v86 memory': () => measureOwn(memory()),
  'v86 HTTP': () => measureOwn({ url: diskUrl, async: true, size: loadedBytes }),
  OPFS: () => measureOurs('page'),
  'OPFS in worker': () => measureOurs('worker'),
  'OPFS on HTTP': () => measureOurs('page', overHttp),
  '… in worker': () => measureOurs('worker', overHttp),
};

Object.assign(globalThis, {
  v86Columns: Object.keys(columns),
  measureV86: (name: string) => columns[name]!(),
});
