/**
 * Compression of clusters in a browser: deflate by pako, since the browser's own streams know no window of 4 KiB and take
 * no bytes after the end; zstd by WebAssembly. Both are loaded when the first such cluster comes. What pako writes is, byte for
 * byte, what QEMU writes. All of it runs in the thread that asks: 1 ms to inflate 64 KiB, 5 ms to deflate them.
 */
import { BlockError } from '../../base/errors.ts';
import type { Codec, Codecs } from '../platform.ts';
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

const zstd: Codec = {
  async decompress(input, output) {
    let filled = 0;
    for (const content of framesOf(await zstdModule(), input, output.length)) {
      output.set(content, filled);
      filled += content.length;
      // Sectors are filled up behind it.
      if (filled === output.length) return;
    }
    throw new BlockError('EIO');
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

/** What each frame holds. EIO when one is damaged, or all together hold more than `limit` bytes. */
function* framesOf({ decompress }: Zstd, input: Uint8Array, limit: number): Generator<Uint8Array> {
  let left = limit;
  for (let at = 0; at < input.length; ) {
    const frame = zstdFrameAt(input, at);
    if (!frame || (frame.contentBytes ?? 0) > left) throw new BlockError('EIO');
    if (!frame.skippable) {
      let content: Uint8Array;
      try {
        content = decompress(input.subarray(at, frame.end));
      } catch (error) {
        // Whatever it throws says that the frame is damaged.
        throw new BlockError('EIO', undefined, { cause: error });
      }
      left -= content.length;
      if (left < 0) throw new BlockError('EIO');
      yield content;
    }
    at = frame.end;
  }
}

export const codecs: Codecs = { deflate, zstd };
