import { execFileSync } from 'node:child_process';
import * as fs from 'node:fs';
import * as zlib from 'node:zlib';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { codecs } from '../../../host/platform/node/codecs.ts';
import type { Codec } from '../../../host/platform/platform.ts';
import { zstdFrameAt } from '../../../host/platform/zstd-frame.ts';
import { scratchDirectory } from '../../support/scratch.ts';
import { haveQemu } from '../../support/tools.ts';

const scratch = scratchDirectory();
const clusterBytes = 65536;

/** Something between text and noise. */
function cluster(seed: number, length = clusterBytes): Uint8Array {
  return Uint8Array.from({ length }, (_, i) =>
    i % 97 < 60 ? i % 13 : Math.imul(i + seed, 2654435761) >>> 20,
  );
}

const both: [string, Codec][] = [
  ['deflate', codecs.deflate],
  ['zstd', codecs.zstd],
];

describe.each(both)('%s', (_name, codec) => {
  test('gives back what it was given, whatever follows the stream', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.uint8Array({ minLength: 1, maxLength: 3000 }),
        fc.uint8Array({ maxLength: 100 }),
        async (input, trailer) => {
          const packed = await codec.compress(input, Number.POSITIVE_INFINITY);
          const output = new Uint8Array(input.length);
          await codec.decompress(Buffer.concat([packed!, trailer]), output);
          expect(output).toEqual(input);
        },
      ),
      { numRuns: 100 },
    );
  });

  test('handles many clusters at once and large ones', async () => {
    const inputs = [...Array.from({ length: 12 }, (_, i) => cluster(i)), cluster(99, 2 << 20)];
    const packed = await Promise.all(inputs.map((input) => codec.compress(input, input.length)));
    const outputs = inputs.map((input) => new Uint8Array(input.length));
    await Promise.all(outputs.map((output, i) => codec.decompress(packed[i]!, output)));
    expect(outputs.map((output, i) => Buffer.compare(output, inputs[i]!))).toEqual(inputs.map(() => 0));
  });

  test('says when compressing is not worth it', async () => {
    const input = cluster(1);
    const { length } = (await codec.compress(input, input.length))!;
    expect(await codec.compress(input, length)).toBeUndefined();
    expect(await codec.compress(input, length + 1)).toHaveLength(length);
  });

  test('refuses streams that are cut off, damaged or short', async () => {
    const input = cluster(2);
    const packed = (await codec.compress(input, input.length))!;
    const output = new Uint8Array(input.length);
    const eio = { errno: 'EIO', name: 'BlockError' };
    await expect(codec.decompress(packed.subarray(0, packed.length / 2), output)).rejects.toMatchObject(eio);
    await expect(codec.decompress(new Uint8Array(512).fill(0xff), output)).rejects.toMatchObject(eio);
    await expect(codec.decompress(new Uint8Array(0), output)).rejects.toMatchObject(eio);
    await expect(codec.decompress(packed, new Uint8Array(input.length + 1))).rejects.toMatchObject(eio);
  });

  test('never crashes on damaged streams, nor gives anything but bytes or EIO', async () => {
    const packed = (await codec.compress(cluster(3, 4096), 4096))!;
    await fc.assert(
      fc.asyncProperty(fc.nat(packed.length - 1), fc.integer({ min: 1, max: 255 }), async (at, flip) => {
        const damaged = packed.slice();
        damaged[at]! ^= flip;
        await codec.decompress(damaged, new Uint8Array(4096)).catch((error: unknown) => {
          expect(error).toMatchObject({ errno: 'EIO', name: 'BlockError' });
        });
      }),
      { numRuns: 300 },
    );
  });
});

describe('deflate', () => {
  test('reads distances beyond the window it writes with', async () => {
    const block = Uint8Array.from({ length: 20_000 }, (_, i) => Math.imul(i, 2654435761) >>> 24);
    const input = Buffer.concat([block, block]);
    const output = new Uint8Array(input.length);
    await codecs.deflate.decompress(zlib.deflateRawSync(input, { windowBits: 15 }), output);
    expect(Buffer.compare(output, input)).toBe(0);
  });

  test('takes the first bytes of a stream that goes on, or lacks its end', async () => {
    const input = cluster(4);
    const packed = zlib.deflateRawSync(input);
    const output = new Uint8Array(1000);
    await codecs.deflate.decompress(packed, output);
    expect(output).toEqual(input.subarray(0, 1000));
    const open = zlib.deflateRawSync(input, { finishFlush: zlib.constants.Z_SYNC_FLUSH });
    const whole = new Uint8Array(input.length);
    await codecs.deflate.decompress(open, whole);
    expect(Buffer.compare(whole, input)).toBe(0);
  });

  test('writes streams that a reader with a window of 4 KiB can follow', async () => {
    const packed = (await codecs.deflate.compress(cluster(5), clusterBytes))!;
    expect(zlib.inflateRawSync(packed, { windowBits: 12 })).toHaveLength(clusterBytes);
  });
});

describe('zstd', () => {
  test('joins frames until the cluster is full', async () => {
    const input = cluster(6);
    const parts = await Promise.all(
      [input.subarray(0, 30_000), input.subarray(30_000)].map((part) =>
        codecs.zstd.compress(part, clusterBytes),
      ),
    );
    const skippable = Buffer.from([0x50, 0x2a, 0x4d, 0x18, 3, 0, 0, 0, 1, 2, 3]);
    const output = new Uint8Array(clusterBytes);
    await codecs.zstd.decompress(Buffer.concat([parts[0]!, skippable, parts[1]!]), output);
    expect(Buffer.compare(output, input)).toBe(0);
  });

  test('refuses a frame that would give more than the cluster lacks', async () => {
    const packed = (await codecs.zstd.compress(cluster(7), clusterBytes))!;
    await expect(codecs.zstd.decompress(packed, new Uint8Array(clusterBytes - 1))).rejects.toMatchObject({
      errno: 'EIO',
    });
  });

  test('gives the same streams for clusters side by side as for one after the other', async () => {
    const inputs = Array.from({ length: 9 }, (_, i) => cluster(i, 1 + i * 8000));
    const together = await Promise.all(
      inputs.map((input) => codecs.zstd.compress(input, Number.POSITIVE_INFINITY)),
    );
    for (const [i, input] of inputs.entries()) {
      const alone = await codecs.zstd.compress(input, Number.POSITIVE_INFINITY);
      expect(Buffer.compare(together[i]!, alone!)).toBe(0);
    }
  });

  test('writes the content size, as QEMU does', async () => {
    const packed = (await codecs.zstd.compress(cluster(8), clusterBytes))!;
    expect(zstdFrameAt(packed, 0)).toMatchObject({ contentBytes: clusterBytes, end: packed.length });
  });

  test('refuses hostile sizes without allocating them', async () => {
    const header = Buffer.from([0x28, 0xb5, 0x2f, 0xfd, 0xe0, 0, 0, 0, 0, 0, 1, 0, 0, 1, 0, 0]);
    expect(zstdFrameAt(header, 0)?.contentBytes).toBe(2 ** 40);
    await expect(codecs.zstd.decompress(header, new Uint8Array(512))).rejects.toMatchObject({ errno: 'EIO' });
  });

  /** Without a content size: window 128 KiB, run-length blocks. */
  const runs = (count: number, bytes: number): Buffer => {
    const block = (last: number): number[] => {
      const word = (bytes << 3) | (1 << 1) | last;
      return [word & 255, (word >> 8) & 255, word >> 16, 0x41];
    };
    const blocks = Array.from({ length: count }, (_, i) => block(i === count - 1 ? 1 : 0)).flat();
    return Buffer.from([0x28, 0xb5, 0x2f, 0xfd, 0x00, 0x38, ...blocks]);
  };

  test('decodes a frame that does not say what it contains', async () => {
    const output = new Uint8Array(clusterBytes);
    await codecs.zstd.decompress(runs(2, clusterBytes / 2), output);
    expect(output.every((value) => value === 0x41)).toBe(true);
  });

  test('stops decoding such a frame once it gives too much', async () => {
    const bomb = runs(200_000, 128 << 10);
    await expect(codecs.zstd.decompress(bomb, new Uint8Array(clusterBytes))).rejects.toMatchObject({
      errno: 'EIO',
    });
  });
});

describe.skipIf(!haveQemu)('clusters written by the real qemu-img', () => {
  test.each([
    ['zlib', codecs.deflate],
    ['zstd', codecs.zstd],
  ] as const)('are read: %s', async (type, codec) => {
    const raw = scratch('source.raw');
    const image = scratch(`${type}.qcow2`);
    fs.writeFileSync(raw, Buffer.concat(Array.from({ length: 8 }, (_, i) => cluster(i))));
    execFileSync('qemu-img', ['convert', '-c', '-O', 'qcow2', '-o', `compression_type=${type}`, raw, image]);
    const bytes = fs.readFileSync(image);
    const l1 = Number(bytes.readBigUInt64BE(40));
    const l2 = Number(bytes.readBigUInt64BE(l1) & 0x00fffffffffffe00n);
    for (let i = 0; i < 8; i++) {
      // Compressed cluster descriptor at cluster_bits 16: offset in bits 0–53, further sectors in bits 54–61.
      const entry = bytes.readBigUInt64BE(l2 + i * 8);
      expect((entry >> 62n) & 1n).toBe(1n);
      const offset = Number(entry & ((1n << 54n) - 1n));
      const sectors = Number((entry >> 54n) & 0xffn) + 1;
      const input = bytes.subarray(offset, (Math.floor(offset / 512) + sectors) * 512);
      const output = new Uint8Array(clusterBytes);
      await codec.decompress(input, output);
      expect(Buffer.compare(output, cluster(i))).toBe(0);
    }
  });
});
