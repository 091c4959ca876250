/**
 * A file opened with O_DIRECT: requests bypass the page cache, and offset, length and memory must be aligned.
 *
 * The dispatcher aligns offset and length (`requestAlignment`); memory is aligned here. A buffer that happens to be
 * aligned, as those in WebAssembly memory are, is used as it is; others are copied through bounce buffers of limited
 * size. Where a buffer is in memory only libc.ts can tell, so direct access needs koffi.
 */
import * as fs from 'node:fs';
import { assert } from '../../base/assert.ts';
import { anyAlignment, type DescriptorKind, NodeFile } from './host-file.ts';
import type { Libc } from './libc.ts';

const bounceBytes = 1 << 20;

export class DirectFile extends NodeFile {
  override readonly requestAlignment: number;
  private readonly spare: Uint8Array[] = [];

  constructor(
    fd: number,
    private readonly libc: Libc,
    kind: DescriptorKind,
  ) {
    super(fd, { ...kind, isDirect: true });
    this.requestAlignment = this.probeAlignment();
  }

  /** 512 where the device takes it. A file that takes everything, being empty, gets what every device takes. */
  private probeAlignment(): number {
    const buffer = this.takeBounce();
    const takes = (bytes: number): boolean => {
      try {
        fs.readSync(this.fd, buffer, 0, bytes, 0);
        return true;
      } catch {
        // EINVAL says it is not allowed; anything else will be met again by the first real read.
        return false;
      }
    };
    const alignment = !takes(1) && takes(512) ? 512 : anyAlignment;
    this.spare.push(buffer);
    return alignment;
  }

  private takeBounce(): Uint8Array {
    const spare = this.spare.pop();
    if (spare) return spare;
    const memory = new Uint8Array(bounceBytes + anyAlignment);
    const skip = (anyAlignment - this.libc.misalignment(memory, anyAlignment)) % anyAlignment;
    return memory.subarray(skip, skip + bounceBytes);
  }

  private isAligned(buffer: Uint8Array): boolean {
    return this.libc.misalignment(buffer, this.requestAlignment) === 0;
  }

  /** Past the page cache nothing is quick. */
  override readNow(): boolean {
    return false;
  }

  override async read(offset: number, buffer: Uint8Array): Promise<void> {
    this.checkAligned(offset, buffer);
    if (this.isAligned(buffer)) return super.read(offset, buffer);
    const bounce = this.takeBounce();
    try {
      for (let at = 0; at < buffer.length; at += bounceBytes) {
        const part = bounce.subarray(0, Math.min(bounceBytes, buffer.length - at));
        await super.read(offset + at, part);
        buffer.set(part, at);
      }
    } finally {
      this.spare.push(bounce);
    }
  }

  override async write(offset: number, buffer: Uint8Array): Promise<void> {
    this.checkAligned(offset, buffer);
    if (this.isAligned(buffer)) return super.write(offset, buffer);
    const bounce = this.takeBounce();
    try {
      for (let at = 0; at < buffer.length; at += bounceBytes) {
        const part = bounce.subarray(0, Math.min(bounceBytes, buffer.length - at));
        part.set(buffer.subarray(at, at + part.length));
        await super.write(offset + at, part);
      }
    } finally {
      this.spare.push(bounce);
    }
  }

  override async writeAll(offset: number, buffers: readonly Uint8Array[]): Promise<void> {
    let at = offset;
    for (const buffer of buffers) {
      await this.write(at, buffer);
      at += buffer.length;
    }
  }

  private checkAligned(offset: number, buffer: Uint8Array): void {
    const { requestAlignment } = this;
    assert(
      offset % requestAlignment === 0 && buffer.length % requestAlignment === 0,
      `request at ${offset} of ${buffer.length} bytes is not aligned to ${requestAlignment}`,
    );
  }
}
