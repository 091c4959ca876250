/**
 * A protocol over a plain byte array, with everything a test of the layers above may want to know or to break: which
 * requests came, a gate that holds them back, and failures to order. It makes no use of the platform.
 */
import { BlockError, type Errno } from '../../host/base/errors.ts';
import type { Driver, DriverDefinition, Limits } from '../../host/block/driver.ts';
import { BlockGraph } from '../../host/block/graph.ts';
import { createSimulation } from '../../host/platform/sim/index.ts';
import { bool, optional, size, struct } from '../../host/qapi/types.ts';

export class ArrayDisk implements Driver {
  bytes: Uint8Array;
  readonly log: string[] = [];
  limits: Partial<Limits> = {};
  /** Requests wait for it when it is there. */
  gate: Promise<void> | undefined;
  /** Taken once by the next request of that kind. */
  failNext: { op: string; errno: Errno } | undefined;

  constructor(length: number) {
    this.bytes = new Uint8Array(length);
  }

  async getLength(): Promise<number> {
    return this.bytes.length;
  }

  async read(offset: number, buffer: Uint8Array): Promise<void> {
    await this.arrive('read', offset, buffer.length);
    buffer.fill(0);
    buffer.set(this.bytes.subarray(offset, offset + buffer.length));
  }

  async write(offset: number, buffer: Uint8Array): Promise<void> {
    await this.arrive('write', offset, buffer.length);
    this.grow(offset + buffer.length);
    this.bytes.set(buffer, offset);
  }

  async flush(): Promise<void> {
    await this.arrive('flush', 0, 0);
  }

  async truncate(length: number): Promise<void> {
    await this.arrive('truncate', length, 0);
    const resized = new Uint8Array(length);
    resized.set(this.bytes.subarray(0, length));
    this.bytes = resized;
  }

  async close(): Promise<void> {
    this.log.push('close');
  }

  private async arrive(op: string, offset: number, bytes: number): Promise<void> {
    this.log.push(`${op} ${offset}+${bytes}`);
    if (this.gate !== undefined) await this.gate;
    if (this.failNext?.op !== op) return;
    const { errno } = this.failNext;
    this.failNext = undefined;
    throw new BlockError(errno);
  }

  private grow(length: number): void {
    if (length <= this.bytes.length) return;
    const grown = new Uint8Array(length);
    grown.set(this.bytes);
    this.bytes = grown;
  }
}

/** The driver `array`; `disks` collects what was opened. */
export function arrayProtocol(disks: ArrayDisk[]): DriverDefinition<{ size?: number | undefined }> {
  return {
    name: 'array',
    kind: 'protocol',
    options: struct('BlockdevOptionsArray', { size: optional(size) }),
    async open(_context, { size: length = 1 << 20 }) {
      const disk = new ArrayDisk(length);
      disks.push(disk);
      return disk;
    },
  };
}

/** The filter `pass`: everything goes through, and `hold` stops what changes data on its way. */
export const passFilter: DriverDefinition<{ strict?: boolean | undefined }> = {
  name: 'pass',
  kind: 'filter',
  children: [{ name: 'file' }],
  options: struct('BlockdevOptionsPass', { strict: optional(bool) }),
  async open(context) {
    const file = await context.openChild('file', 'filtered');
    return { getLength: () => file.getByteLength(), close: async () => {} };
  },
};

/** A graph of these two drivers, and the disks that were opened in it. */
export function arrayGraph(): { graph: BlockGraph; disks: ArrayDisk[] } {
  const disks: ArrayDisk[] = [];
  const { platform } = createSimulation(1);
  return { graph: new BlockGraph({ platform, drivers: [arrayProtocol(disks), passFilter] }), disks };
}
