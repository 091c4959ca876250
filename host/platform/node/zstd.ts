/**
 * zstd clusters (specification: qcow2, section 9.2), with node:zlib where it has zstd (Node 22.15 and later), else
 * with @cloudpss/zstd, which is loaded on first use (zstd-library.ts for several at a time). All are given one frame at a time and never room for more than
 * the cluster still lacks.
 */
import type { Transform } from 'node:stream';
import { BlockError } from '../../base/errors.ts';
import type { WholeCodec } from '../platform.ts';
import { type ZstdFrame, zstdFrameAt } from '../zstd-frame.ts';
import { inPlaceOrPool } from './in-place-or-pool.ts';

interface Engine {
  compress(input: Uint8Array): Uint8Array | Promise<Uint8Array>;
  /** `input` is exactly one frame. Throws when it is damaged, and should it give more than `limit` bytes. */
  decompress(input: Uint8Array, frame: ZstdFrame, limit: number): Uint8Array | Promise<Uint8Array>;
}

/** What zstd itself defaults to, and QEMU writes. */
const level = 3;
/** As in codecs.ts. */
const spareBytes = 1 << 10;

let engine: Promise<Engine> | undefined;

export const zstd: WholeCodec = {
  async decompress(input, output) {
    const { decompress } = await (engine ??= loadEngine());
    let at = 0;
    let filled = 0;
    while (filled < output.length) {
      const frame = zstdFrameAt(input, at);
      if (!frame) throw new BlockError('EIO');
      const limit = output.length - filled;
      if (!frame.skippable) {
        if (frame.contentBytes !== undefined && frame.contentBytes > limit) throw new BlockError('EIO');
        const content = await decodeFrame(decompress, input.subarray(at, frame.end), frame, limit);
        output.set(content, filled);
        filled += content.length;
      }
      at = frame.end;
    }
  },

  async decompressWhole(input, limit) {
    const { decompress } = await (engine ??= loadEngine());
    const parts: Uint8Array[] = [];
    let left = limit;
    for (let at = 0; at < input.length; ) {
      const frame = zstdFrameAt(input, at);
      if (!frame || (frame.contentBytes ?? 0) > left) throw new BlockError('EIO');
      if (!frame.skippable) {
        const content = await decodeFrame(decompress, input.subarray(at, frame.end), frame, left);
        parts.push(content);
        left -= content.length;
      }
      at = frame.end;
    }
    return parts.length === 1 ? parts[0]! : Buffer.concat(parts); // the one
  },

  async compress(input, limit) {
    const { compress } = await (engine ??= loadEngine());
    const result = await compress(input);
    return result.length < limit ? result : undefined;
  },
};

async function decodeFrame(
  decompress: Engine['decompress'],
  input: Uint8Array,
  frame: ZstdFrame,
  limit: number,
): Promise<Uint8Array> {
  let content: Uint8Array;
  try {
    content = await decompress(input, frame, limit);
  } catch (error) {
    // Decoders throw errors of their own kinds; each of them says that the frame is damaged.
    throw new BlockError('EIO', undefined, { cause: error });
  }
  if (content.length > limit) throw new BlockError('EIO');
  return content;
}

/** zstd in node:zlib, which the types of the oldest supported Node do not know. */
interface ZlibZstd {
  zstdCompressSync?(input: Uint8Array, options: object): Uint8Array;
  zstdDecompressSync?(input: Uint8Array, options: object): Uint8Array;
  zstdCompress?: PooledCall;
  zstdDecompress?: PooledCall;
  constants: { ZSTD_c_compressionLevel?: number };
}

type PooledCall = (
  input: Uint8Array,
  options: object,
  callback: (error: Error | null, result: Uint8Array) => void,
) => void;

function inPool(call: PooledCall, input: Uint8Array, options: object): Promise<Uint8Array> {
  return new Promise((resolve, reject) => {
    call(input, options, (error, result) => (error ? reject(error) : resolve(result)));
  });
}

async function loadEngine(): Promise<Engine> {
  const zlib = process.getBuiltinModule('node:zlib') as unknown as ZlibZstd;
  const { zstdCompressSync, zstdDecompressSync, zstdCompress, zstdDecompress, constants } = zlib;
  if (zstdCompressSync && zstdDecompressSync && zstdCompress && zstdDecompress) {
    const params = { [constants.ZSTD_c_compressionLevel!]: level }; // there with the functions
    return {
      // The pledged size makes it write the content size, as QEMU does.
      compress(input) {
        const chunkSize = input.length + spareBytes;
        const options = { params, pledgedSrcSize: input.length, chunkSize };
        return inPlaceOrPool(
          input.length,
          () => zstdCompressSync(input, options),
          () => inPool(zstdCompress, input, options),
        );
      },
      decompress(input, _frame, limit) {
        const options = { chunkSize: Math.max(limit, 64), maxOutputLength: limit };
        return inPlaceOrPool(
          limit,
          () => zstdDecompressSync(input, options),
          () => inPool(zstdDecompress, input, options),
        );
      },
    };
  }
  const { compress, decompress, Decompressor, TYPE } = await import('@cloudpss/zstd');
  const { ZstdLibrary } = await import('./zstd-library.ts');
  const library = TYPE === 'napi' ? ZstdLibrary.load() : undefined;
  const inPlace: Engine = {
    compress: (input) => compress(input, level),
    decompress(input, frame, limit) {
      if (frame.contentBytes !== undefined) return decompress(input);
      return decodeByBlocks(new Decompressor(), input, frame, limit);
    },
  };
  if (!library) return inPlace;
  return {
    compress: (input) =>
      inPlaceOrPool(
        input.length,
        () => inPlace.compress(input),
        () => library.compress(input, level),
      ),
    decompress: (input, frame, limit) =>
      inPlaceOrPool(
        limit,
        () => inPlace.decompress(input, frame, limit),
        () => library.decompress(input, frame.contentBytes ?? limit),
      ),
  };
}

/**
 * A frame that does not say what it contains is decoded block by block, each of which gives at most 128 KiB, so that
 * a hostile one is noticed before it has filled the memory.
 */
async function decodeByBlocks(
  stream: Transform,
  input: Uint8Array,
  frame: ZstdFrame,
  limit: number,
): Promise<Uint8Array> {
  const frameStart = frame.end - input.length;
  const bounds = [...frame.blockBounds.map((position) => position - frameStart), input.length];
  const parts: Uint8Array[] = [];
  let total = 0;
  const ended = new Promise<void>((resolve, reject) => {
    stream.on('data', (part: Uint8Array) => {
      parts.push(part);
      total += part.length;
      if (total > limit) stream.destroy(new BlockError('EIO'));
    });
    stream.on('error', reject);
    stream.on('end', resolve);
  });
  const feed = async (): Promise<void> => {
    let start = 0;
    for (const bound of bounds) {
      const piece = input.subarray(start, bound);
      await new Promise<void>((resolve, reject) => {
        stream.write(piece, (error) => (error ? reject(error) : resolve()));
      });
      start = bound;
    }
    stream.end();
  };
  await Promise.all([feed(), ended]);
  return Buffer.concat(parts);
}
