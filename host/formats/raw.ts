/**
 * raw: the bytes of the file are the disk, or a window of them (specification: graph, section 3).
 *
 * Without `offset` and `size` everything passes through, holes and resizing included. With `size` the window is fixed.
 */
import { BlockError, invalid } from '../base/errors.ts';
import { sectorBytes, wholeSectors } from '../base/sectors.ts';
import type { DriverDefinition, ReopenChange, ReopenStep, TruncateOptions } from '../block/driver.ts';
import type { Edge } from '../block/edge.ts';
import { byteCount, optional, struct, type TypeOf } from '../qapi/types.ts';
import { WindowDriver } from './window.ts';

const rawOptions = struct('BlockdevOptionsRaw', {
  offset: optional(byteCount),
  size: optional(byteCount),
});
type RawOptions = TypeOf<typeof rawOptions>;

class RawDriver extends WindowDriver {
  get isWholeFile(): boolean {
    return this.offset === 0 && this.size === undefined;
  }

  async getLength(): Promise<number> {
    if (this.size !== undefined) return this.size;
    const length = await this.file.getByteLength();
    // A part of a file starts in whole sectors of it.
    if (this.offset === 0) return length;
    return Math.max(0, wholeSectors(length) - this.offset);
  }

  async truncate(length: number, options: TruncateOptions): Promise<void> {
    if (this.size !== undefined) throw new BlockError('ENOTSUP', 'Cannot resize fixed-size raw disks');
    await this.file.truncate(this.offset + length, options);
  }

  async reopen({ options }: ReopenChange<RawOptions>): Promise<ReopenStep> {
    const { offset, size } = await checkWindow(this.file, options);
    return {
      commit: async () => {
        this.offset = offset;
        this.size = size;
      },
    };
  }
}

/** The part of `file` that is the disk. Errors: it is not inside. */
async function checkWindow(
  file: Edge,
  { offset = 0, size }: RawOptions,
): Promise<{ offset: number; size: number | undefined }> {
  const { length } = file;
  if (offset > length) {
    throw invalid(`Offset (${offset}) cannot be greater than size of the containing file (${length})`);
  }
  if (size !== undefined && size > length - offset) {
    throw invalid(
      `The sum of offset (${offset}) and size (${size}) has to be smaller or equal to the ` +
        ` actual size of the containing file (${length})`,
    );
  }
  if (size !== undefined && size % sectorBytes !== 0) {
    throw invalid('Specified size is not multiple of 512');
  }
  return { offset, size };
}

export const raw: DriverDefinition<RawOptions> = {
  name: 'raw',
  kind: 'format',
  children: [{ name: 'file' }],
  options: rawOptions,
  strongOptions: ['offset', 'size'],
  isProbeFallback: true,
  reopenableOptions: ['offset', 'size'],
  async open(context, options) {
    // All of a file is passed through as by a filter; in a part of one, the disk's end is not the file's.
    const isWhole = (options.offset ?? 0) === 0 && options.size === undefined;
    const file = await context.openChild('file', isWhole ? 'filtered' : 'data');
    const { offset, size } = await checkWindow(file, options);
    return new RawDriver(file, offset, size);
  },
  create: {
    options: [{ name: 'size', type: 'size', help: 'Virtual disk size' }],
  },
};
