/**
 * Whole images: what convert, compare, check, dd, rebase and commit take, on the disk and on tmpfs. The floor is `cp` of as many
 * bytes on the same file system.
 */
import { copyFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { type Compare, comparison, timed } from './compare.ts';
import { makeCompressibleImage, makeImage, type Place } from './images.ts';
import type { Report } from './report.ts';
import { ours, run, theirs } from './side.ts';

const imageBytes = 512 << 20;
const compressedBytes = 128 << 20;
const memoryLimitMiB = 100;

interface Work {
  readonly name: string;
  /** Of `img`; names of files are those in the folder. */
  readonly args: (path: (name: string) => string) => readonly string[];
  /** Before each, unmeasured. */
  readonly prepare?: (path: (name: string) => string) => Promise<unknown>;
  readonly aim: number;
  readonly headline?: string;
}

const convert =
  (from: string, to: string, source: string, ...more: string[]): Work['args'] =>
  (path) => ['convert', '-f', from, '-O', to, ...more, path(source), path('out')];

const works: readonly Work[] = [
  {
    name: 'convert raw → qcow2',
    args: convert('raw', 'qcow2', 'raw'),
    aim: 1,
    headline: 'convert raw → qcow2',
  },
  {
    name: 'convert qcow2 → raw',
    args: convert('qcow2', 'raw', 'qcow2'),
    aim: 1,
    headline: 'convert qcow2 → raw',
  },
  {
    name: 'compare raw with qcow2',
    args: (path) => ['compare', '-f', 'raw', '-F', 'qcow2', path('raw'), path('qcow2')],
    aim: 1,
  },
  { name: 'check', args: (path) => ['check', '-f', 'qcow2', path('qcow2')], aim: 1 },
  {
    name: 'dd qcow2 → raw, 1 MiB at a time',
    args: (path) => ['dd', '-f', 'qcow2', '-O', 'raw', 'bs=1M', `if=${path('qcow2')}`, `of=${path('out')}`],
    aim: 1,
  },
  {
    name: 'rebase to no backing file',
    prepare: (path) =>
      run(ours('img', 'create', '-q', '-f', 'qcow2', '-b', path('qcow2'), '-F', 'qcow2', path('out'))),
    args: (path) => ['rebase', '-f', 'qcow2', '-b', '', path('out')],
    aim: 1,
  },
  {
    name: 'commit',
    prepare: async (path) => {
      await run(ours('img', 'create', '-q', '-f', 'qcow2', path('base'), `${imageBytes}`));
      copyFileSync(path('qcow2'), path('out'));
      await run(ours('img', 'rebase', '-u', '-f', 'qcow2', '-b', path('base'), '-F', 'qcow2', path('out')));
    },
    args: (path) => ['commit', '-q', '-f', 'qcow2', '-d', path('out')],
    aim: 1,
  },
  ...(['zlib', 'zstd'] as const).map((type) => ({
    name: `convert -c, ${type}, 128 MiB`,
    args: convert('raw', 'qcow2', 'text', '-c', '-o', `compression_type=${type}`),
    aim: type === 'zlib' ? 2 : 1.5,
    headline: `convert -c, ${type}`,
  })),
];

export async function benchBulk(report: Report, rounds: number, places: readonly Place[]): Promise<void> {
  const compare = comparison(report, rounds);
  for (const place of places) await benchPlace(report, compare, place);
}

async function benchPlace(report: Report, compare: Compare, { name, folder }: Place): Promise<void> {
  report.heading(`whole images, 512 MiB of data, on ${name}`);
  const path = (file: string): string => join(folder, file);
  makeImage(path('raw'), imageBytes);
  makeCompressibleImage(path('text'), compressedBytes);
  await run(ours('img', 'convert', '-f', 'raw', '-O', 'qcow2', path('raw'), path('qcow2')));
  let peakMiB = 0;
  for (const work of works) {
    const prepare = async (): Promise<void> => {
      for (const left of ['out', 'base']) rmSync(path(left), { force: true });
      await work.prepare?.(path);
    };
    const args = work.args(path);
    const qemu = theirs('qemu-img', ...args);
    const [own, floor] = [
      timed(ours('img', ...args), prepare),
      timed({ program: 'cp', args: [path('raw'), path('out')] }, prepare),
    ];
    await compare(work.name, 's', 'lower', {
      ours: async () => {
        const sample = await own();
        peakMiB = Math.max(peakMiB, sample.peakMiB ?? 0);
        return sample;
      },
      theirs: qemu && timed(qemu, prepare),
      ...(work.name.startsWith('convert -c') ? {} : { floor: { name: 'cp', measure: floor } }),
      aim: work.aim,
      headline: work.headline && `${work.headline}, on ${name}`,
    });
  }
  report.add({
    name: 'peak resident memory of all of them',
    unit: 'MiB',
    ours: peakMiB,
    aim: { text: `< ${memoryLimitMiB} MiB`, met: peakMiB < memoryLimitMiB },
  });
  for (const file of ['raw', 'text', 'qcow2', 'out', 'base']) rmSync(path(file), { force: true });
}
