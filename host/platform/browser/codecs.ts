/**
 * Compression of clusters in a browser: deflate by pako, since the browser's own streams know no window of 4 KiB and take
 * no bytes after the end; zstd by WebAssembly. Both are loaded when the first such cluster comes. What pako writes is, byte for
 * byte, what QEMU writes. All of it runs in the thread that asks: 1 ms to inflate 64 KiB, 5 ms to deflate them.
 */
import { BlockError } from '../../base/errors.ts';
import type { Codec, Codecs, WholeCodec } from '../platform.ts';
import { zstdFrameAt } from '../zstd-frame.ts';

const deflate: Codec = {
  async decompress(input, output) {
    const { Inflate } = await import('pako');
    let filled = 0;
    const inflate = new Inflate({ raw: true, windowBits: 15, chunkSize: Math.max(64, output.length) });
    inflate.onData = (part) => {
      // The stream may go on after the cluster.
      const used = part.subarray(0, output.length - filled);
      output.set(used, filled);
      filled += used.length;
      if (filled === output.length) throw new Complete();
    };
    try {
      // Without a final block the stream is as good as with one.
      inflate.push(input, 2);
    } catch (error) {
      if (!(error instanceof Complete)) throw error;
    }
    if (filled < output.length) throw new BlockError('EIO');
  },

  async compress(input, limit) {
    const { Deflate } = await import('pako');
    const stream = new Deflate({ raw: true, windowBits: 12, memLevel: 9, legacyHash: true });
    stream.push(input, true);
    if (stream.err !== 0) throw new BlockError('EIO', stream.msg);
    return stream.result.length < limit ? stream.result : undefined;
  },
};

/** Leaves a decompressor that has given enough. */
class Complete extends Error {}

/** What zstd itself defaults to, and QEMU writes. */
const zstdLevel = 3;

const zstd: WholeCodec = {
  async decompressWhole(input, limit) {
    const { decompress } = await zstdModule();
    const parts: Uint8Array[] = [];
    let bytes = 0;
    for (let at = 0; at < input.length; ) {
      const frame = zstdFrameAt(input, at);
      if (!frame) throw new BlockError('EIO');
      if (!frame.skippable) {
        const content = decodeFrame(
          decompress,
          input.subarray(at, frame.end),
          frame.contentBytes,
          limit - bytes,
        );
        parts.push(content);
        bytes += content.length;
      }
      at = frame.end;
    }
    const whole = new Uint8Array(bytes);
    let filled = 0;
    for (const part of parts) {
      whole.set(part, filled);
      filled += part.length;
    }
    return whole;
  },

  async decompress(input, output) {
    const { decompress } = await zstdModule();
    let at = 0;
    let filled = 0;
    while (filled < output.length) {
      const frame = zstdFrameAt(input, at);
      if (!frame) throw new BlockError('EIO');
      if (!frame.skippable) {
        const frameBytes = input.subarray(at, frame.end);
        const content = decodeFrame(decompress, frameBytes, frame.contentBytes, output.length - filled);
        output.set(content, filled);
        filled += content.length;
      }
      at = frame.end;
    }
  },

  async compress(input, limit) {
    const { compress } = await zstdModule();
    const result = compress(input, zstdLevel);
    return result.length < limit ? result : undefined;
  },
};

type Zstd = typeof import('@cloudpss/zstd');

function zstdModule(): Promise<Zstd> {
  return import('@cloudpss/zstd');
}

function decodeFrame(
  decompress: Zstd['decompress'],
  frame: Uint8Array,
  contentBytes: number | undefined,
  limit: number,
): Uint8Array {
  if (contentBytes !== undefined && contentBytes > limit) throw new BlockError('EIO');
  let content: Uint8Array;
  try {
    content = decompress(frame);
  } catch (error) {
    // Whatever it throws says that the frame is damaged.
    throw new BlockError('EIO', undefined, { cause: error });
  }
  if (content.length > limit) throw new BlockError('EIO');
  return content;
}

export const codecs: Codecs = { deflate, zstd };
