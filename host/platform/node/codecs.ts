/**
 * Compression of clusters with what Node has.
 */
import type * as Zlib from 'node:zlib';
import { BlockError } from '../../base/errors.ts';
import type { Codec, Codecs } from '../platform.ts';
import { inPlaceOrPool } from './in-place-or-pool.ts';
import { zstd } from './zstd.ts';

/** What QEMU writes, and what its reader accepts: distances up to 32 KiB (specification: qcow2, section 9.1). */
const writeOptions = { windowBits: 12, memLevel: 9 };
const readWindowBits = 15;
/** What incompressible data may become longer by is less: with room for all, the pool is asked once. */
const spareBytes = 1 << 10;

/** Loaded on first use: most processes never see a compressed cluster. */
let loaded: typeof Zlib | undefined;
function zlib(): typeof Zlib {
  loaded ??= process.getBuiltinModule('node:zlib');
  return loaded;
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
      result = await inPlaceOrPool(
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
    const options = { ...writeOptions, chunkSize: input.length + spareBytes };
    const result = await inPlaceOrPool(
      input.length,
      () => zlib().deflateRawSync(input, options),
      () =>
        new Promise<Uint8Array>((resolve, reject) => {
          zlib().deflateRaw(input, options, (error, value) => (error ? reject(error) : resolve(value)));
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
