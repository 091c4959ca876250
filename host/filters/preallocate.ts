/**
 * The `preallocate` filter: a file that grows is extended by more than was written, so that it grows seldom and stays
 * in one piece (specification: graph, section 3).
 *
 * A write past the end of `file` first zeroes everything from there to `prealloc-size` bytes after the write, rounded
 * up to `prealloc-align`, in a way that reserves the space; hosts that cannot do that get no preallocation. What lies
 * beyond the *data end* is not part of the node, and is cut off when nobody may write and resize any more: at closing,
 * and when the node becomes read-only. While somebody may, nobody else may write to `file` or resize it.
 *
 * | bound     | everything from there on                    |
 * | --------- | ------------------------------------------- |
 * | zeroStart | reads as zeros                              |
 * | dataEnd   | is not the node's                           |
 * | fileEnd   | is not in the file                          |
 */
import { invalid } from '../base/errors.ts';
import { Mutex } from '../base/mutex.ts';
import { roundUp, sectorBytes } from '../base/sectors.ts';
import type {
  Driver,
  DriverDefinition,
  ReopenChange,
  ReopenStep,
  TruncateOptions,
  WriteFlags,
  ZeroFlags,
} from '../block/driver.ts';
import type { Edge } from '../block/edge.ts';
import type { OpenContext } from '../block/open-context.ts';
import { Perm } from '../block/permissions.ts';
import { byteCount, optional, struct, type TypeOf } from '../qapi/types.ts';

const defaultAlign = 1 << 20;
const defaultSize = 128 << 20;
const writeAndResize = Perm.write | Perm.resize;

const optionsType = struct('BlockdevOptionsPreallocate', {
  /** Bytes, a multiple of 512. */
  'prealloc-align': optional(byteCount),
  /** Bytes. */
  'prealloc-size': optional(byteCount),
});

type Options = TypeOf<typeof optionsType>;

interface Settings {
  align: number;
  size: number;
}

function settingsOf(options: Options): Settings {
  const align = options['prealloc-align'] ?? defaultAlign;
  if (align % sectorBytes !== 0) {
    throw invalid(`prealloc-align parameter of preallocate filter is not aligned to ${sectorBytes}`);
  }
  return { align: Math.max(align, sectorBytes), size: options['prealloc-size'] ?? defaultSize };
}

/** Known only while the filter alone may write to the file and resize it. */
interface Bounds {
  zeroStart: number;
  dataEnd: number;
  fileEnd: number;
}

class Preallocate implements Driver {
  /** Flags travel on with the request. */
  readonly supportsFua = true;
  private bounds: Bounds | undefined;
  /** One extension at a time; writes past the end of the file wait for it. */
  private readonly growing = new Mutex();
  private settings: Settings;

  constructor(
    private readonly file: Edge,
    private options: Options,
  ) {
    this.settings = settingsOf(options);
  }

  async getLength(): Promise<number> {
    return this.bounds?.dataEnd ?? this.file.getByteLength();
  }

  async write(offset: number, buffer: Uint8Array, flags: WriteFlags): Promise<void> {
    const bounds = await this.findBounds();
    if (bounds) {
      const end = offset + buffer.length;
      bounds.zeroStart = Math.max(bounds.zeroStart, end);
      await this.grow(bounds, end);
    }
    await this.file.write(offset, buffer, flags);
  }

  async writeZeroes(offset: number, bytes: number, flags: ZeroFlags): Promise<void> {
    const bounds = await this.findBounds();
    if (bounds) {
      const end = offset + bytes;
      const wasZero = offset >= bounds.zeroStart;
      // The space of these zeros may not be given back, so having been zeroed is all it takes.
      if ((await this.grow(bounds, end)) && wasZero && !flags.mayUnmap && !flags.fua) return;
    }
    await this.file.writeZeroes(offset, bytes, flags);
  }

  /** Undefined while there is nobody on whose behalf the file could be extended. */
  private async findBounds(): Promise<Bounds | undefined> {
    if (this.bounds || (this.file.perm & writeAndResize) !== writeAndResize) return this.bounds;
    const length = await this.file.getByteLength();
    this.bounds ??= { zeroStart: length, dataEnd: length, fileEnd: length };
    return this.bounds;
  }

  /** Makes the node reach to `end` at least. Whether all of it is in the file now. */
  private async grow(bounds: Bounds, end: number): Promise<boolean> {
    bounds.dataEnd = Math.max(bounds.dataEnd, end);
    if (end <= bounds.fileEnd) return true;
    return this.growing.run(async () => {
      if (end <= bounds.fileEnd) return true;
      const { align, size } = this.settings;
      const target = roundUp(end + size, align);
      try {
        await this.file.writeZeroes(bounds.fileEnd, target - bounds.fileEnd, { noFallback: true });
        bounds.fileEnd = target;
        return true;
      } catch {
        // Then the file grows by the write itself, and nobody may zero that afterwards.
        bounds.fileEnd = end;
        bounds.zeroStart = Math.max(bounds.zeroStart, end);
        return false;
      }
    });
  }

  truncate(length: number, options: TruncateOptions): Promise<void> {
    return this.growing.run(() => this.resize(length, options));
  }

  private async resize(length: number, options: TruncateOptions): Promise<void> {
    const { bounds, file } = this;
    if (bounds && length > bounds.dataEnd && options.preallocation === 'falloc' && length <= bounds.fileEnd) {
      bounds.dataEnd = length;
      return;
    }
    // What the user asked for is for the file to do, from the length that the user knows.
    if (bounds && options.preallocation !== 'falloc') await this.trim();
    else if (bounds && length < bounds.fileEnd) await this.trim();
    await file.truncate(length, options);
    if (this.bounds) this.bounds = { zeroStart: length, dataEnd: length, fileEnd: length };
  }

  /** Cuts off what is not the node's. Errors: of the file. */
  private async trim(): Promise<void> {
    const { bounds, file } = this;
    if (!bounds || bounds.fileEnd <= bounds.dataEnd) return;
    const { dataEnd } = bounds;
    await file.truncate(dataEnd);
    bounds.fileEnd = dataEnd;
    bounds.zeroStart = Math.min(bounds.zeroStart, dataEnd);
  }

  childPermissions(
    _child: Edge,
    cumulative: { perm: number; shared: number },
  ): { perm: number; shared: number } {
    const { perm, shared } = cumulative;
    const node = this.file.parentNode;
    if (node?.readOnly) return { perm: perm & Perm.consistentRead, shared };
    if ((perm & writeAndResize) !== writeAndResize) return { perm, shared };
    return { perm, shared: shared & ~writeAndResize };
  }

  /** The last moment at which the file can still be cut to its length. */
  async checkPermissions(perm: number): Promise<void> {
    if (!this.bounds || (perm & writeAndResize) === writeAndResize) return;
    await this.trim();
    this.bounds = undefined;
  }

  async reopen({ flags, options }: ReopenChange<Options>): Promise<ReopenStep> {
    const next = options;
    for (const name of ['prealloc-align', 'prealloc-size'] as const) {
      if (this.options[name] !== undefined && next[name] === undefined) {
        throw invalid(`Option '${name}' cannot be reset to its default value`);
      }
    }
    const settings = settingsOf(next);
    if (flags.readOnly) {
      await this.trim();
      this.bounds = undefined;
    }
    return {
      commit: async () => {
        this.options = next;
        this.settings = settings;
      },
    };
  }

  async close(): Promise<void> {
    if ((this.file.perm & writeAndResize) === writeAndResize) await this.trim();
  }
}

export const preallocate: DriverDefinition<Options> = {
  name: 'preallocate',
  kind: 'filter',
  options: optionsType,
  children: [{ name: 'file' }],
  reopenableOptions: ['prealloc-align', 'prealloc-size'],
  async open(context: OpenContext, options: Options): Promise<Driver> {
    const { align } = settingsOf(options);
    const file = await context.openChild('file', 'filtered');
    const { requestAlignment = 1 } = file.node.driver.limits ?? {};
    if (align % requestAlignment !== 0)
      throw invalid(
        'prealloc-align parameter of preallocate filter is not aligned to underlying node request alignment ' +
          `(${requestAlignment})`,
      );
    return new Preallocate(file, options);
  },
};
