/** qcow2 images that are written from their beginning to their end: what was written is in them, and nothing is wrong with them. */
import { readFileSync, writeFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import type { OrderedFile } from '../../../host/block/ordered-file.ts';
import { planOrderedQcow2 } from '../../../host/formats/qcow2/create/ordered-image.ts';
import { nodePlatform } from '../../../host/platform/node/index.ts';
import { firstDifference } from '../../support/bytes.ts';
import { runOwn } from '../../support/own-tools.ts';
import { run } from '../../support/qemu.ts';
import { scratchDirectory } from '../../support/scratch.ts';
import { Seeded } from '../../support/seeded.ts';
import { haveQemu } from '../../support/tools.ts';
import { kib, mib } from '../../support/units.ts';

const scratch = scratchDirectory();

class MemoryFile implements OrderedFile {
  private readonly parts: Buffer[] = [];
  whole: Buffer | undefined;

  async append(bytes: Uint8Array): Promise<void> {
    this.parts.push(Buffer.from(bytes));
  }

  async finish(head?: Uint8Array): Promise<void> {
    this.whole = Buffer.concat(this.parts);
    if (head) this.whole.set(head);
  }

  async abort(): Promise<void> {}
}

/** Runs of bytes that compress, and that do not, at places that ascend. */
async function written(values: Record<string, string | number>, seed: number, compressed: boolean) {
  const seeded = new Seeded(seed);
  const size = Number(values['size']);
  const plan = planOrderedQcow2(values);
  const file = new MemoryFile();
  const image = plan.begin(file, nodePlatform.codecs);
  const unit = compressed ? image.clusterBytes : 512;
  const content = Buffer.alloc(size);
  const writes: Promise<void>[] = [];
  for (let at = 0; at < size; ) {
    at += seeded.oneIn(20) ? unit * seeded.below(300) : unit * seeded.below(3);
    const end = Math.min(size, at + unit * (compressed ? 1 : 1 + seeded.below(40)));
    if (at >= end) break;
    const isNoise = seeded.oneIn(3);
    for (let i = at; i < end; i++) content[i] = isNoise ? seeded.below(256) : at >>> 9;
    const piece = content.subarray(at, end);
    if (compressed)
      writes.push(image.writeCompressed!(at, piece)); // qcow2 has it
    else await image.write(at, piece);
    at = end;
  }
  await Promise.all(writes);
  await image.finish();
  const whole = file.whole!; // it is finished
  expect(whole.length).toBeLessThanOrEqual(plan.bounds.maxBytes);
  const path = scratch(`${seed}.qcow2`);
  writeFileSync(path, whole);
  return { path, content };
}

async function expectSound(path: string, content: Buffer): Promise<void> {
  const checked = await runOwn('blockyard img', ['check', '-f', 'qcow2', path]);
  expect(checked).toMatchObject({ status: 0, stderr: '' });
  expect(checked.stdout).toContain('No errors were found');
  const raw = `${path}.raw`;
  expect(await runOwn('blockyard img', ['convert', '-O', 'raw', path, raw])).toMatchObject({ status: 0 });
  expect(firstDifference(readFileSync(raw), content)).toBe(-1);
  if (!haveQemu) return;
  expect(run('qemu-img', 'check', path)).toContain('No errors were found');
  run('qemu-img', 'compare', '-f', 'qcow2', '-F', 'raw', path, raw);
}

describe('an image', () => {
  const shapes: readonly (readonly [name: string, values: Record<string, string | number>])[] = [
    // Of which a table is full soon.
    ['small clusters', { size: mib, cluster_size: 512 }],
    ['version 2', { size: 700 * kib, cluster_size: 1024, compat: '0.10' }],
    ['zstd', { size: 3 * mib, cluster_size: 4096, compression_type: 'zstd' }],
    ['usual clusters', { size: 8 * mib + 512 }],
    ['nothing in it', { size: 0 }],
  ];

  test.each(
    shapes.flatMap(([name, values], i) =>
      [false, true].map((compressed) => ({ name, values, compressed, i })),
    ),
  )('of $name, compressed: $compressed, is sound', async ({ values, compressed, i }) => {
    const { path, content } = await written(values, 2 * i + Number(compressed), compressed);
    await expectSound(path, content);
  });

  test('takes whole clusters in any batches, and many references to one cluster of the file', async () => {
    const size = 1024 * 4096;
    const plan = planOrderedQcow2({ size, cluster_size: 4096 });
    const file = new MemoryFile();
    const image = plan.begin(file, nodePlatform.codecs);
    const cluster = Buffer.alloc(4096, 1);
    await Promise.all(Array.from({ length: 1024 }, (_, i) => image.writeCompressed!(4096 * i, cluster))); // qcow2 has it
    await image.finish();
    const path = scratch('many.qcow2');
    writeFileSync(path, file.whole!); // it is finished
    await expectSound(path, Buffer.alloc(size, 1));
  });
});

test.each([
  [{ backing_file: 'base', backing_fmt: 'raw' }, 'backing_file'],
  [{ preallocation: 'metadata' }, 'preallocation'],
  [{ refcount_bits: 8 }, 'refcount_bits'],
])('%j is refused by name', (values, name) => {
  expect(() => planOrderedQcow2({ size: mib, ...values })).toThrow(
    `Parameter '${name}' is not supported for an image that is written in order`,
  );
});
