/**
 * zstd in the thread pool, for versions of Node that do not have it (zstd.ts).
 *
 * @cloudpss/zstd works on the thread that calls, and all threads of the process share its one context: it cannot be used
 * from two. But its addon exports the C interface of the library in it, which koffi calls in the thread pool, each call
 * with a context of its own. Where that cannot be, there is no such engine, and the package's own functions do.
 */
import { createRequire } from 'node:module';
import { dirname } from 'node:path';
import { type AsyncIntCall, inThreadPool, libc } from './libc.ts';

/** What calls need that run side by side: as many are made as there are at a time. */
interface Workspace {
  readonly compressing: unknown;
  readonly decompressing: unknown;
}

/** Enough for what does not get shorter (ZSTD_COMPRESSBOUND, with what is in front of the blocks). */
const spareBytes = 64;

export class ZstdLibrary {
  private readonly idle: Workspace[] = [];
  private readonly makeCompressing: AsyncIntCall;
  private readonly makeDecompressing: AsyncIntCall;
  private readonly compressCall: AsyncIntCall;
  private readonly decompressCall: AsyncIntCall;
  private readonly isError: AsyncIntCall;

  private constructor(func: (definition: string) => AsyncIntCall) {
    this.makeCompressing = func('void *ZSTD_createCCtx(void)');
    this.makeDecompressing = func('void *ZSTD_createDCtx(void)');
    this.compressCall = func(
      'size_t ZSTD_compressCCtx(void *context, _Out_ void *to, size_t room, const void *from, size_t bytes, int level)',
    );
    this.decompressCall = func(
      'size_t ZSTD_decompressDCtx(void *context, _Out_ void *to, size_t room, const void *from, size_t bytes)',
    );
    this.isError = func('unsigned int ZSTD_isError(size_t code)');
  }

  /** Undefined where there is none. `@cloudpss/zstd` has been imported: what its addon does when it is loaded has been done. */
  static load(): ZstdLibrary | undefined {
    const koffi = libc()?.koffi;
    if (!koffi) return undefined;
    try {
      const require = createRequire(import.meta.url);
      const package_ = require.resolve('@cloudpss/zstd/package.json');
      const { path } = createRequire(package_)('node-gyp-build') as { path(folder: string): string };
      const library = koffi.load(path(dirname(package_)));
      return new ZstdLibrary((definition) => library.func(definition));
    } catch {
      return undefined;
    }
  }

  compress(input: Uint8Array, level: number): Promise<Uint8Array> {
    const room = input.length + (input.length >> 8) + spareBytes;
    return this.fill(room, ({ compressing }, output) =>
      inThreadPool(this.compressCall, [compressing, output, room, input, input.length, level]),
    );
  }

  /** Of one frame. Rejects when it is damaged, or gives more than `room` bytes. */
  decompress(frame: Uint8Array, room: number): Promise<Uint8Array> {
    return this.fill(room, ({ decompressing }, output) =>
      inThreadPool(this.decompressCall, [decompressing, output, room, frame, frame.length]),
    );
  }

  private async fill(
    room: number,
    act: (workspace: Workspace, output: Uint8Array) => Promise<number>,
  ): Promise<Uint8Array> {
    const workspace = this.idle.pop() ?? {
      compressing: this.makeCompressing(),
      decompressing: this.makeDecompressing(),
    };
    try {
      const output = Buffer.allocUnsafeSlow(room);
      const bytes = await act(workspace, output);
      if (this.isError(bytes) !== 0) throw new Error(`zstd fails with ${bytes}`);
      return output.subarray(0, bytes);
    } finally {
      this.idle.push(workspace);
    }
  }
}
