/**
 * Linux started from an image on a web server that is 50 ms away: for the first time, and with a list of what that read fetched
 * in advance. The machine starts as any does: firmware, boot sector, boot loader, kernel, initial file system.
 */
import { execFileSync, spawnSync } from 'node:child_process';
import { mkdirSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { prefetchListOf } from '../host/protocols/http/driver.ts';
import type { JsonObject } from '../host/qapi/json-value.ts';
import { type DebianGuest, debianGuest } from '../test/guest/debian.ts';
import { type Emulator, type InstalledV86, loadV86, withMachine } from './machine.ts';
import type { Report } from './report.ts';
import { median, ours, run } from './side.ts';
import { WebFiles } from './web-files.ts';

const latencyMs = 50;
const rounds = 3;
const imageBytes = 48 << 20;
const memoryBytes = 128 << 20;
const longestMs = 120_000;

interface Boot {
  readonly seconds: number;
  readonly requests: number;
  readonly bytes: number;
  /** What was read of the image. */
  readonly list: unknown;
}

export async function benchHttpBoot(report: Report, parent: string): Promise<void> {
  report.heading(`Linux started in v86 from an image on a web server ${latencyMs} ms away`);
  const missing = ['syslinux', 'mcopy', 'mkfs.fat'].filter((tool) => spawnSync(tool, ['--version']).error);
  const guest = missing.length === 0 ? await debianGuest() : undefined;
  if (!guest) {
    console.log(`left out: there is no ${missing.join(', ') || 'Debian guest'}`);
    return;
  }
  const folder = join(parent, 'http-boot');
  mkdirSync(folder);
  await makeImage(folder, guest);
  const installed = await loadV86();
  const options = {
    ...installed.options,
    memory_size: memoryBytes,
    bios: { url: guest.bios },
    vga_bios: { url: guest.vgaBios },
  };
  const cold: Boot[] = [];
  const prefetched: Boot[] = [];
  for (let round = 0; round < rounds; round++) {
    const first = await boot({ ...installed, options }, folder, {});
    writeFileSync(join(folder, 'boot.json'), JSON.stringify(first.list));
    cold.push(first);
    prefetched.push(await boot({ ...installed, options }, folder, { 'x-prefetch': 'boot.json' }));
  }
  addRows(report, 'cold', cold);
  addRows(report, 'with a prefetch list', prefetched);
  rmSync(folder, { recursive: true });
}

function addRows(report: Report, name: string, boots: readonly Boot[]): void {
  const middle = (of: (boot: Boot) => number): number => median(boots.map(of));
  report.add({ name: `${name}: ready after`, unit: 's', ours: middle(({ seconds }) => seconds) });
  report.add({ name: `${name}: requests`, unit: '', ours: middle(({ requests }) => requests) });
  report.add({ name: `${name}: fetched`, unit: 'MB', ours: middle(({ bytes }) => bytes / 1e6) });
}

/** `boot.img`: a FAT file system with kernel, initial file system and boot loader, as the whole disk. */
async function makeImage(folder: string, { kernel, initrd }: DebianGuest): Promise<void> {
  const image = join(folder, 'boot.img');
  writeFileSync(image, '');
  truncateSync(image, imageBytes);
  execFileSync('mkfs.fat', ['-F', '16', image], { stdio: 'ignore' });
  const config = join(folder, 'syslinux.cfg');
  writeFileSync(
    config,
    'DEFAULT linux\nLABEL linux\n KERNEL vmlinuz\n INITRD initrd.gz\n APPEND console=ttyS0 mitigations=off quiet\n',
  );
  const files = { 'syslinux.cfg': config, vmlinuz: kernel, 'initrd.gz': initrd };
  for (const [name, from] of Object.entries(files)) execFileSync('mcopy', ['-i', image, from, `::${name}`]);
  execFileSync('syslinux', ['--install', image]);
}

/** `more`: options of the node that reads from the server. */
async function boot(installed: InstalledV86, folder: string, more: JsonObject): Promise<Boot> {
  const filename = join(folder, 'overlay.qcow2');
  await run(ours('img', 'create', '-q', '-f', 'qcow2', filename, `${imageBytes}`));
  const web = await WebFiles.start(folder, latencyMs);
  const remote = { driver: 'http', url: `${web.address}/boot.img`, 'node-name': 'remote', ...more };
  const disk = {
    driver: 'qcow2',
    file: { driver: 'file', filename },
    backing: { driver: 'raw', file: remote },
  };
  const startMs = performance.now();
  try {
    return await withMachine(installed, [disk], async (emulator, start, server) => {
      await untilReady(emulator, start);
      return {
        seconds: (performance.now() - startMs) / 1000,
        requests: web.requests,
        bytes: web.bytes,
        list: prefetchListOf(server.graph.getNode('remote').driver),
      };
    });
  } finally {
    web.close();
  }
}

async function untilReady(emulator: Emulator, start: () => Promise<unknown>): Promise<void> {
  let output = '';
  const ready = new Promise<void>((resolve, reject) => {
    const giveUp = setTimeout(() => reject(new Error(`no Linux: ${output.slice(-500)}`)), longestMs);
    emulator.add_listener('serial0-output-byte', (byte?: number) => {
      output += String.fromCharCode(byte!); // it comes with the event
      if (!output.includes('guest ready')) return;
      clearTimeout(giveUp);
      resolve();
    });
  });
  await start();
  await ready;
}
