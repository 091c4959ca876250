/** How large the core is, and what it takes to open a disk of 64 TiB. */
import { statSync } from 'node:fs';
import { join, resolve } from 'node:path';
import type { Images } from './images.ts';
import type { Report } from './report.ts';
import { median, ours, run } from './side.ts';

export async function benchSize(
  report: Report,
  rounds: number,
  folder: string,
  images: Images,
): Promise<void> {
  report.heading('size');
  const bytes = statSync(resolve(import.meta.dirname, '../build/core.wasm')).size;
  report.add({
    name: 'core.wasm',
    unit: 'KiB',
    ours: bytes / 1024,
    aim: { text: '≤ 64 KiB', met: bytes <= 65_536 },
  });
  const huge = join(folder, 'huge.qcow2');
  await run(ours('img', 'create', '-q', '-f', 'qcow2', huge, '64T'));
  for (const [name, path] of [
    ['1 GiB', images.qcow2],
    ['64 TiB', huge],
  ] as const) {
    const times: number[] = [];
    let peakMiB = 0;
    for (let round = 0; round < rounds; round++) {
      const finished = await run(ours('io', '-f', 'qcow2', '-r', '-c', 'read -q 0 4k', path));
      times.push(finished.seconds);
      peakMiB = Math.max(peakMiB, finished.peakMiB);
    }
    report.add({ name: `open a ${name} image and read 4 KiB`, unit: 's', ours: median(times) });
    report.add({ name: `  peak resident memory`, unit: 'MiB', ours: peakMiB });
  }
}
