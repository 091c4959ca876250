/**
 * Compression of clusters with what Node has.
 *
 * A single cluster is (de)compressed in place, which takes 0.2 ms to inflate and 1 ms to deflate 64 KiB; when several
 * are asked for at a time, and for larger clusters, the thread pool does it on all cores. Measured on two: inflate 330
 * MB/s in place, 200 in the pool one by one, 420 eight at a time; deflate 65, 53, 104.
 */
import type * as Zlib from 'node:zlib';
import { BlockError } from '../../base/errors.ts';
import type { Codec, Codecs } from '../platform.ts';
import { zstd } from './zstd.ts';

/** A larger cluster would block the thread for too long. */
const inlineBytes = 64 << 10;

/** What QEMU writes, and what its reader accepts: distances up to 32 KiB (specification: qcow2, section 9.1). */
const writeOptions = { windowBits: 12, memLevel: 9 };
const readWindowBits = 15;

/** Loaded on first use: most processes never see a compressed cluster. */
let loaded: typeof Zlib | undefined;
function zlib(): typeof Zlib {
  loaded ??= process.getBuiltinModule('node:zlib');
  return loaded;
}

/** Requests under way or about to start. */
let active = 0;

/** Runs one of the two, by how many others are around and by size. */
async function choose<T>(bytes: number, inPlace: () => T, pooled: () => Promise<T>): Promise<T> {
  active++;
  try {
    // Callers that were woken together all get here before the first of them goes on.
    await undefined;
    return await (active === 1 && bytes <= inlineBytes ? inPlace() : pooled());
  } finally {
    active--;
  }
}

type InflateOptions = Zlib.ZlibOptions & { maxOutputLength: number };

function inflateOptions(outputBytes: number): InflateOptions {
  return {
    windowBits: readWindowBits,
    chunkSize: Math.max(outputBytes, 64),
    maxOutputLength: outputBytes,
    // Without a final block the stream is as good as with one.
    finishFlush: zlib().constants.Z_SYNC_FLUSH,
  };
}

const deflate: Codec = {
  async decompress(input, output) {
    const options = inflateOptions(output.length);
    let result: Uint8Array;
    try {
      result = await choose(
        output.length,
        () => zlib().inflateRawSync(input, options),
        () =>
          new Promise<Uint8Array>((resolve, reject) => {
            zlib().inflateRaw(input, options, (error, value) => (error ? reject(error) : resolve(value)));
          }),
      );
    } catch {
      // Damaged, or it goes on after the cluster, which is allowed: the slow way tells them apart.
      result = await inflateStart(input, output.length);
    }
    if (result.length !== output.length) throw new BlockError('EIO');
    output.set(result);
  },

  async compress(input, limit) {
    const result = await choose(
      input.length,
      () => zlib().deflateRawSync(input, writeOptions),
      () =>
        new Promise<Uint8Array>((resolve, reject) => {
          zlib().deflateRaw(input, writeOptions, (error, value) => (error ? reject(error) : resolve(value)));
        }),
    );
    return result.length < limit ? result : undefined;
  },
};

/** The first `bytes` bytes of what a stream gives, whatever comes after. EIO when it does not give as many. */
function inflateStart(input: Uint8Array, bytes: number): Promise<Uint8Array> {
  return new Promise((resolve, reject) => {
    const parts: Uint8Array[] = [];
    let total = 0;
    const stream = zlib().createInflateRaw({
      windowBits: readWindowBits,
      chunkSize: Math.max(bytes, 64),
      finishFlush: zlib().constants.Z_SYNC_FLUSH,
    });
    const settle = (): void => {
      stream.destroy();
      if (total < bytes) reject(new BlockError('EIO'));
      else resolve(Buffer.concat(parts).subarray(0, bytes));
    };
    stream.on('data', (part: Uint8Array) => {
      parts.push(part);
      total += part.length;
      if (total >= bytes) settle();
    });
    stream.on('error', settle);
    stream.on('end', settle);
    stream.end(input);
  });
}

export const codecs: Codecs = { deflate, zstd };
