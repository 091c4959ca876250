/**
 * Small requests: 4 KiB across a whole image of 1 GiB, in no order that the page cache could guess, by `bench` of both tools.
 * The images are on the disk's file system and in the page cache. The floor is `pread` in a loop, on Node.
 */
import { closeSync, openSync, readSync } from 'node:fs';
import { join } from 'node:path';
import { comparison, rated } from './compare.ts';
import { type Images, imageBytes, makeImage } from './images.ts';
import { Server, socketOf } from './nbd-server.ts';
import type { Report, Sample } from './report.ts';
import { ours, run, theirs } from './side.ts';

const requestBytes = 4096;
/** Coprime to the number of blocks: it visits every one, far from the one before. */
const stride = requestBytes * 98_317;

const counts: Readonly<Record<number, number>> = { 1: 60_000, 32: 200_000 };

interface Case {
  readonly name: string;
  readonly format: string;
  readonly path: string;
  readonly write: boolean;
  readonly depth: 1 | 32;
  readonly aim: number;
  readonly headline?: string;
}

function cases({ raw, qcow2, top }: Images & { readonly top: string }): Case[] {
  const all: Case[] = [];
  for (const [format, path] of [
    ['qcow2', qcow2],
    ['raw', raw],
  ] as const) {
    for (const depth of [1, 32] as const) {
      const read = { format, path, depth, write: false, aim: depth === 1 ? 1.3 : 1.5 };
      const at = depth === 1 ? 'one at a time' : '32 at a time';
      all.push({
        ...read,
        name: `${format} read, depth ${depth}`,
        headline: `4 KiB random reads, ${format}, ${at}`,
      });
    }
    for (const depth of [1, 32] as const) {
      const write = { format, path, depth, write: true, aim: 1.5 };
      const headline = depth === 32 ? { headline: `4 KiB random writes, ${format}, 32 at a time` } : {};
      all.push({ ...write, name: `${format} write, depth ${depth}`, ...headline });
    }
  }
  for (const depth of [1, 32] as const)
    all.push({
      name: `through two backing files, depth ${depth}`,
      ...{ format: 'qcow2', path: top, write: false, depth, aim: 1.3 },
    });
  return all;
}

export async function benchRandomIo(
  report: Report,
  rounds: number,
  folder: string,
  images: Images,
): Promise<void> {
  report.heading('4 KiB requests across 1 GiB in the page cache, at random (QEMU: io_uring)');
  const compare = comparison(report, rounds);
  const [middle, top] = [join(folder, 'middle.qcow2'), join(folder, 'top.qcow2')];
  const overlay = ['create', '-q', '-f', 'qcow2', '-F', 'qcow2', '-b'];
  await run(ours('img', ...overlay, images.qcow2, middle));
  await run(ours('img', ...overlay, middle, top));
  for (const { name, format, path, write, depth, aim, headline } of cases({ ...images, top })) {
    const count = counts[depth]!; // of both
    const args = ['bench', '-f', format, '-c', `${count}`, '-d', `${depth}`, '-s', `${requestBytes}`];
    args.push('-S', `${stride}`, ...(write ? ['-w'] : []));
    const qemu = theirs('qemu-img', ...args, '-i', 'io_uring', path);
    await compare(name, 'IOPS', 'higher', {
      ours: rated(ours('img', ...args, path), count),
      theirs: qemu && rated(qemu, count),
      ...(write
        ? {}
        : { floor: { name: 'pread in a loop', measure: async () => readLoop(images.raw, count) } }),
      aim,
      headline,
    });
  }
  await benchSlowDevice(report, rounds, folder);
}

function readLoop(path: string, count: number): Sample {
  const file = openSync(path, 'r');
  const buffer = new Uint8Array(requestBytes);
  const start = process.hrtime.bigint();
  for (let i = 0, offset = 0; i < count; i++, offset = (offset + stride) % imageBytes)
    readSync(file, buffer, 0, requestBytes, offset);
  const seconds = Number(process.hrtime.bigint() - start) / 1e9;
  closeSync(file);
  return { value: count / seconds };
}

const slowBytes = 64 << 20;

/** Where every request takes a millisecond, whoever keeps 32 of them on the way wins. */
async function benchSlowDevice(report: Report, rounds: number, folder: string): Promise<void> {
  const image = join(folder, 'slow');
  const server = ['-f', '-U', socketOf(image), '-t', '64', '--filter=delay', 'file', image, 'rdelay=1ms'];
  const command = theirs('nbdkit', ...server);
  if (!command) return;
  makeImage(image, slowBytes);
  const nbdkit = await Server.start('nbdkit', image, command);
  try {
    const count = 20_000;
    const args = ['bench', '-f', 'raw', '-c', `${count}`, '-d', '32', '-s', `${requestBytes}`];
    args.push('-S', `${stride}`, nbdkit.uri);
    const qemu = theirs('qemu-img', ...args);
    await comparison(report, rounds)('read of an NBD server that takes 1 ms, depth 32', 'IOPS', 'higher', {
      ours: rated(ours('img', ...args), count),
      theirs: qemu && rated(qemu, count),
      aim: 0.95,
    });
  } finally {
    await nbdkit.stop();
  }
}
