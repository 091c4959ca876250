/**
 * The `blob` protocol: a disk that is read from a Blob of the page, for instance a File that the user chose. Not a QEMU
 * driver.
 *
 * The platform has it under a name (platform/blobs.ts), and a node is opened by that name.
 * A File that changes after it was chosen cannot be read any more: every request fails from then on.
 */
import { BlockError, invalid } from '../base/errors.ts';
import type { Driver, DriverDefinition, Extent } from '../block/driver.ts';
import { str, struct, type TypeOf } from '../qapi/types.ts';
import { requireReadOnly } from './only-read.ts';

const options = struct('BlockdevOptionsBlob', {
  /** Under which the Blob is registered. */
  filename: str,
});

type BlobOptions = TypeOf<typeof options>;

export const blob: DriverDefinition<BlobOptions> = {
  name: 'blob',
  kind: 'protocol',
  options,
  strongOptions: ['filename'],
  filenamePrefix: 'blob',
  parseFilename: (filename) => ({ filename: filename.replace(/^blob:/, '') }),
  exactFilename: (given) => `blob:${given.filename}`,
  async open(context, { filename }) {
    const found = context.platform.blobs?.find(filename);
    if (!found)
      throw new BlockError('ENOENT', `Could not open '${filename}': No Blob of this name is registered`);
    if (context.flags.direct) throw invalid("'blob' driver cannot read past a cache");
    requireReadOnly(context, `'blob' driver can only read '${filename}'`);
    return new BlobDriver(filename, found);
  },
};

class BlobDriver implements Driver {
  constructor(
    private readonly filename: string,
    private readonly content: Blob,
  ) {}

  async getLength(): Promise<number> {
    return this.content.size;
  }

  async read(offset: number, buffer: Uint8Array): Promise<void> {
    let bytes: ArrayBuffer;
    try {
      bytes = await this.content.slice(offset, offset + buffer.length).arrayBuffer();
    } catch (error) {
      throw this.translated(error);
    }
    // A last sector that is not full, as with any file; but a Blob gives no less than it has.
    if (bytes.byteLength < Math.min(buffer.length, this.content.size - offset)) throw new BlockError('EIO');
    buffer.set(new Uint8Array(bytes));
    buffer.fill(0, bytes.byteLength);
  }

  map(offset: number, bytes: number): Extent {
    return { type: 'own', bytes, zero: offset >= this.content.size };
  }

  async getAllocatedBytes(): Promise<number> {
    return this.content.size;
  }

  async contentVersion(): Promise<string | undefined> {
    return this.content instanceof File
      ? `${this.content.name} changed at ${this.content.lastModified}`
      : undefined;
  }

  private translated(error: unknown): BlockError {
    if (!(error instanceof DOMException)) throw error;
    const { name, message } = error;
    if (name !== 'NotReadableError' && name !== 'NotFoundError')
      return new BlockError('EIO', message, { cause: error });
    return new BlockError(
      'EIO',
      `'${this.filename}' cannot be read any more: the file was changed, moved or deleted after it was chosen`,
      { cause: error, reason: 'file-changed' },
    );
  }

  async close(): Promise<void> {}
}
