/**
 * Linux started from an image on a web server that is 20 ms away: for the first time, and with a list of what that read fetched
 * in advance. The machine starts as any does: firmware, boot sector, boot loader, kernel, initial file system.
 */
import { execFileSync, spawnSync } from 'node:child_process';
import { mkdirSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { prefetchListOf } from '../host/protocols/http.ts';
import type { JsonObject } from '../host/qapi/json-value.ts';
import { type DebianGuest, debianGuest } from '../test/guest/debian.ts';
import { type InstalledV86, loadV86, withMachine } from './machine.ts';
import type { Report } from './report.ts';
import { ours, run } from './side.ts';
import { WebFiles } from './web-files.ts';

const latencyMs = 20;
const imageBytes = 48 << 20;
const memoryBytes = 128 << 20;
const longestMs = 120_000;

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
  makeImage(folder, guest);
  const { V86, options } = await loadV86();
  const installed: InstalledV86 = {
    V86,
    options: {
      ...options,
      memory_size: memoryBytes,
      bios: { url: guest.bios },
      vga_bios: { url: guest.vgaBios },
    },
  };
  const list = await boot(report, 'cold', installed, folder, {});
  writeFileSync(join(folder, 'boot.json'), JSON.stringify(list));
  await boot(report, 'with a prefetch list', installed, folder, { 'x-prefetch': 'boot.json' });
  rmSync(folder, { recursive: true });
}

/** A FAT file system with kernel, initial file system and boot loader, as the whole disk. */
function makeImage(folder: string, { kernel, initrd }: DebianGuest): void {
  const path = (name: string): string => join(folder, name);
  const image = path('boot.img');
  writeFileSync(image, '');
  truncateSync(image, imageBytes);
  execFileSync('mkfs.fat', ['-F', '16', image], { stdio: 'ignore' });
  writeFileSync(
    path('syslinux.cfg'),
    'DEFAULT linux\nLABEL linux\n KERNEL vmlinuz\n INITRD initrd.gz\n APPEND console=ttyS0 mitigations=off quiet\n',
  );
  for (const [from, to] of [
    [path('syslinux.cfg'), 'syslinux.cfg'],
    [kernel, 'vmlinuz'],
    [initrd, 'initrd.gz'],
  ] as const) {
    execFileSync('mcopy', ['-i', image, from, `::${to}`]);
  }
  execFileSync('syslinux', ['--install', image]);
}

/** Gives the list of what was read. */
async function boot(
  report: Report,
  name: string,
  installed: InstalledV86,
  folder: string,
  more: JsonObject,
): Promise<unknown> {
  const web = await WebFiles.start(folder, latencyMs);
  const filename = join(folder, 'overlay.qcow2');
  await run(ours('img', 'create', '-q', '-f', 'qcow2', filename, `${imageBytes}`));
  const remote = { driver: 'http', url: `${web.address}/boot.img`, 'node-name': 'remote', ...more };
  const disk = {
    driver: 'qcow2',
    file: { driver: 'file', filename },
    backing: { driver: 'raw', file: remote },
  };
  try {
    const startMs = performance.now();
    return await withMachine(installed, [disk], async (emulator, start, server) => {
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
      report.add({ name: `${name}: ready after`, unit: 's', ours: (performance.now() - startMs) / 1000 });
      report.add({ name: `${name}: requests`, unit: '', ours: web.requests });
      report.add({ name: `${name}: fetched`, unit: 'MB', ours: web.bytes / 1e6 });
      return prefetchListOf(server.graph.getNode('remote').driver);
    });
  } finally {
    web.close();
  }
}
