/**
 * v86 on our disks and on its own, on Node: the same guest makes the same requests of each. v86's own is an ArrayBuffer, which
 * answers at once and keeps nothing.
 */
import { createReadStream, mkdirSync, rmSync, statSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import { createRequire } from 'node:module';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { drivers } from '../host/drivers.ts';
import { guestKernel } from '../host/emulator/guest/index.ts';
import { v86Drives } from '../host/emulator/v86/drives.ts';
import { createV86, type V86Constructor, type V86Emulator } from '../host/emulator/v86/emulator.ts';
import { V86Machine } from '../host/emulator/v86/machine.ts';
import { deviceTypes } from '../host/machine/device-types.ts';
import { findMachineType } from '../host/machine/machine-types.ts';
import { nodePlatform } from '../host/platform/node/index.ts';
import type { JsonObject } from '../host/qapi/json-value.ts';
import { systemCommands } from '../host/qmp/commands/system.ts';
import { QmpServer } from '../host/qmp/server.ts';
import { type LoadedEmulator, type LoadResult, loadedBytes, measureLoads } from './guest-load.ts';
import type { Report } from './report.ts';
import { median, ours, run } from './side.ts';

type Emulator = V86Emulator & LoadedEmulator;

const rounds = 3;
const memoryMiB = 8;

/** The first disk: options of its node. */
type Subject = (path: (name: string) => string, address: string) => JsonObject;

const subjects: Readonly<Record<string, Subject>> = {
  raw: (path) => ({ driver: 'raw', file: { driver: 'file', filename: path('a.img') } }),
  qcow2: (path) => ({ driver: 'qcow2', file: { driver: 'file', filename: path('a.qcow2') } }),
  'qcow2 on HTTP': (path, address) => ({
    driver: 'qcow2',
    file: { driver: 'file', filename: path('overlay.qcow2') },
    backing: { driver: 'raw', file: { driver: 'http', url: `${address}/base.img` } },
  }),
};

export async function benchEmulator(report: Report, parent: string): Promise<void> {
  report.heading('v86 on Node: one request after the other; the second column is its own disk in memory');
  const { V86, options } = await loadV86();
  const folder = join(parent, 'emulator');
  const own: LoadResult[][] = [];
  const mine = new Map(Object.keys(subjects).map((name) => [name, [] as LoadResult[][]]));
  for (let round = 0; round < rounds; round++) {
    mkdirSync(folder);
    const server = await serve(folder);
    const address = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
    const path = (name: string): string => join(folder, name);
    await run(ours('img', 'create', '-q', path('a.img'), `${loadedBytes}`));
    await run(ours('img', 'create', '-q', path('base.img'), `${loadedBytes}`));
    await run(ours('img', 'create', '-q', path('b.img'), `${loadedBytes}`));
    for (const name of ['a.qcow2', 'overlay.qcow2']) {
      await run(ours('img', 'create', '-q', '-f', 'qcow2', path(name), `${loadedBytes}`));
    }
    own.push(await measureOwn(V86, options));
    for (const [name, subject] of Object.entries(subjects)) {
      const second = { driver: 'file', filename: path('b.img') };
      mine.get(name)!.push(await measureOurs(V86, options, [subject(path, address), second]));
    }
    server.close();
    rmSync(folder, { recursive: true });
  }
  for (const [kind, results] of mine) {
    for (const [at, { name, bytes }] of own[0]!.entries()) {
      const [a, b] = [results, own].map((all) => median(all.map((one) => one[at]!.requestsPerSecond)));
      addRow(report, `${kind}: ${name}`, bytes, a!, b!);
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

interface Installed {
  V86: V86Constructor<Emulator>;
  options: Readonly<Record<string, unknown>>;
}

async function loadV86(): Promise<Installed> {
  const main = createRequire(import.meta.url).resolve('v86');
  const { V86 } = (await import('v86')) as unknown as { V86: V86Constructor<Emulator> };
  return {
    V86,
    options: {
      wasm_path: join(dirname(main), 'v86.wasm'),
      memory_size: memoryMiB << 20,
      disable_keyboard: true,
      disable_mouse: true,
      disable_speaker: true,
      multiboot: guestKernel(),
    },
  };
}

async function measureOwn(V86: Installed['V86'], options: Installed['options']): Promise<LoadResult[]> {
  const disk = (): { buffer: ArrayBuffer } => ({ buffer: new ArrayBuffer(loadedBytes) });
  const emulator = await createV86(V86, { ...options, hda: disk(), hdb: disk() });
  const results = await measureLoads(emulator, () => emulator.run());
  await emulator.destroy();
  return results;
}

/** As `blockyard vm` has it. */
async function measureOurs(
  V86: Installed['V86'],
  options: Installed['options'],
  disks: readonly JsonObject[],
): Promise<LoadResult[]> {
  const server = new QmpServer({
    platform: nodePlatform,
    drivers,
    commands: systemCommands,
    machine: { type: findMachineType('pc')!, deviceTypes, temporaryDirectory: tmpdir() },
  });
  const execute = (name: string, args: JsonObject = {}): Promise<unknown> =>
    server.runLocally(name, () => args);
  const machine = server.machine!; // it was asked for
  try {
    for (const [unit, disk] of disks.entries()) {
      const drive = `disk${unit}`;
      await execute('blockdev-add', { ...disk, 'node-name': drive });
      await machine.addDevice({ driver: 'ide-hd', drive, bus: 'ide.0', unit }, false);
    }
    const guest = await V86Machine.start(machine, V86, v86Drives(machine), options);
    const emulator = guest.emulator as Emulator;
    const results = await measureLoads(emulator, () => execute('cont'));
    await execute('stop');
    await guest.close();
    return results;
  } finally {
    await server.stop();
    await server.close();
  }
}

/** Files of a folder, by ranges. */
async function serve(folder: string): Promise<Server> {
  const server = createServer(({ url, headers }, response) => {
    const path = join(folder, url!); // of a request
    const { size } = statSync(path);
    const [, from, to] = /^bytes=(\d+)-(\d+)$/.exec(headers.range ?? '') ?? [];
    const start = Number(from ?? 0);
    const end = Math.min(Number(to ?? size - 1), size - 1);
    response.writeHead(from === undefined ? 200 : 206, {
      'accept-ranges': 'bytes',
      'content-length': end - start + 1,
      etag: '"1"',
      ...(from === undefined ? {} : { 'content-range': `bytes ${start}-${end}/${size}` }),
    });
    createReadStream(path, { start, end }).pipe(response);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return server;
}
