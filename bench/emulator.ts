/**
 * v86 on our disks and on its own, on Node: the same guest makes the same requests of each. v86's own is an ArrayBuffer, which
 * answers at once and keeps nothing. Its disk on a web server is measured in Chromium (browser.ts): on Node v86 takes it for a file.
 */
import { mkdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { guestKernel } from '../host/emulator/guest/index.ts';
import type { FlushPolicy } from '../host/emulator/local-disk.ts';
import { createV86 } from '../host/emulator/v86/emulator.ts';
import type { JsonObject } from '../host/qapi/json-value.ts';
import { type LoadResult, loadedBytes, measureLoads } from './guest-load.ts';
import { type InstalledV86, loadV86, withMachine } from './machine.ts';
import type { Report } from './report.ts';
import { median, ours, run } from './side.ts';
import { WebFiles } from './web-files.ts';

const rounds = 3;
const memoryBytes = 8 << 20;

interface Subject {
  /** The first disk: options of its node. */
  disk(path: (name: string) => string, address: string): JsonObject;
  readonly policy?: FlushPolicy;
}

const qcow2 = (path: (name: string) => string): JsonObject => ({
  driver: 'qcow2',
  file: { driver: 'file', filename: path('a.qcow2') },
});

const subjects: Readonly<Record<string, Subject>> = {
  raw: {
    disk: (path) => ({ driver: 'raw', file: { driver: 'file', filename: path('a.img') } }),
  },
  qcow2: { disk: qcow2 },
  'qcow2, durable in 1 s': { disk: qcow2, policy: { safe: 'process', flushMs: 1000 } },
  'qcow2, durable': { disk: qcow2, policy: { safe: 'power' } },
  'qcow2 on HTTP': {
    disk: (path, address) => ({
      driver: 'qcow2',
      file: { driver: 'file', filename: path('overlay.qcow2') },
      backing: { driver: 'raw', file: { driver: 'http', url: `${address}/base.img` } },
    }),
  },
};

export async function benchEmulator(report: Report, parent: string): Promise<void> {
  report.heading('v86 on Node: one request after the other; the second column is its own disk in memory');
  const installed = await loadV86();
  const folder = join(parent, 'emulator');
  const own: LoadResult[][] = [];
  const mine = new Map(Object.keys(subjects).map((name) => [name, [] as LoadResult[][]]));
  for (let round = 0; round < rounds; round++) {
    mkdirSync(folder);
    const web = await WebFiles.start(folder);
    const path = (name: string): string => join(folder, name);
    for (const name of ['a.img', 'b.img', 'base.img']) {
      await run(ours('img', 'create', '-q', path(name), `${loadedBytes}`));
    }
    own.push(await measureOwn(installed));
    for (const [name, { disk, policy }] of Object.entries(subjects)) {
      for (const image of ['a.qcow2', 'overlay.qcow2']) {
        await run(ours('img', 'create', '-q', '-f', 'qcow2', path(image), `${loadedBytes}`));
      }
      const second = { driver: 'file', filename: path('b.img') };
      mine.get(name)!.push(await measureOurs(installed, [disk(path, web.address), second], policy)); // one for each subject
    }
    web.close();
    rmSync(folder, { recursive: true });
  }
  for (const [kind, results] of mine) {
    const [loads = []] = own;
    for (const [at, { name, bytes }] of loads.entries()) {
      // there was a round
      const speed = (all: typeof own): number => median(all.map((one) => one[at]!.requestsPerSecond)); // the same loads
      addRow(report, `${kind}: ${name}`, bytes, speed(results), speed(own));
    }
  }
}

/** Large requests in MB/s, small ones in the time that each takes. */
function addRow(report: Report, name: string, bytes: number, mine: number, own: number): void {
  const ratio = mine / own;
  if (bytes > 4096) {
    const mbPerSecond = (rate: number): number => (rate * bytes) / 1e6;
    report.add({ name, unit: 'MB/s', ours: mbPerSecond(mine), theirs: mbPerSecond(own), ratio });
  } else report.add({ name, unit: 'µs', ours: 1e6 / mine, theirs: 1e6 / own, ratio });
}

const guestOptions = (options: object) => ({
  ...options,
  memory_size: memoryBytes,
  multiboot: guestKernel(),
});

async function measureOwn({ V86, options }: InstalledV86): Promise<LoadResult[]> {
  const disk = (): { buffer: ArrayBuffer } => ({ buffer: new ArrayBuffer(loadedBytes) });
  const emulator = await createV86(V86, { ...guestOptions(options), hda: disk(), hdb: disk() });
  const results = await measureLoads(emulator, () => emulator.run());
  await emulator.destroy();
  return results;
}

function measureOurs(
  { V86, options }: InstalledV86,
  disks: readonly JsonObject[],
  policy?: FlushPolicy,
): Promise<LoadResult[]> {
  return withMachine({ V86, options: guestOptions(options) }, disks, measureLoads, policy);
}
