/**
 * NBD clients at work on the same server, nbdkit on a file: `bench` and `convert` of ours and of qemu-img. The file, and what is
 * written, are on tmpfs where there is one.
 */
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { comparison, rated, timed } from './compare.ts';
import { makeImage, memoryFolder } from './images.ts';
import { Server, socketOf } from './nbd-server.ts';
import type { Report } from './report.ts';
import { ours, theirs } from './side.ts';

const imageBytes = 512 << 20;

export async function benchNbdClient(report: Report, rounds: number): Promise<void> {
  const compare = comparison(report, rounds);
  const folder = memoryFolder();
  const image = join(folder, 'disk');
  const command = theirs('nbdkit', '-f', '-U', socketOf(image), 'file', image);
  if (!command) {
    report.heading('NBD client: not measured, nbdkit is not installed');
    rmSync(folder, { recursive: true });
    return;
  }
  report.heading('NBD client, raw, 512 MiB, of nbdkit');
  makeImage(image, imageBytes);
  const server = await Server.start('nbdkit', image, command);
  try {
    const [source, out] = [join(folder, 'source'), join(folder, 'out')];
    makeImage(source, imageBytes);
    for (const [name, args] of [
      ['convert to a file', ['-O', 'raw', server.uri, out]],
      ['convert from a file', ['-n', '-O', 'raw', source, server.uri]],
    ] as const) {
      const all = ['convert', '-f', 'raw', ...args];
      const clear = (): void => rmSync(out, { force: true });
      const qemu = theirs('qemu-img', ...all);
      await compare(name, 's', 'lower', {
        ours: timed(ours('img', ...all), clear),
        theirs: qemu && timed(qemu, clear),
        aim: 1,
      });
    }
    // What is written is zeros: nothing reads the disk after that.
    for (const write of [false, true]) {
      for (const depth of [1, 32]) {
        const count = depth === 1 ? 40_000 : 200_000;
        // Every block, each far from the one before.
        const where = ['-s', '4096', '-S', String(4096 * 98_317)];
        const args = ['bench', '-f', 'raw', '-c', String(count), '-d', String(depth), ...where];
        if (write) args.push('-w');
        const qemu = theirs('qemu-img', ...args, server.uri);
        await compare(`bench, 4 KiB ${write ? 'write' : 'read'}, depth ${depth}`, 'IOPS', 'higher', {
          ours: rated(ours('img', ...args, server.uri), count),
          theirs: qemu && rated(qemu, count),
          aim: 1.5,
        });
      }
    }
  } finally {
    await server.stop();
    rmSync(folder, { recursive: true });
  }
}
