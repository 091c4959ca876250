/** A disk that is part of a file, byte for byte: what raw images and others of fixed size are. */
import type { Driver, Extent, WritePlan, ZeroFlags } from '../block/driver.ts';
import type { Edge } from '../block/edge.ts';
import type { BlockNode } from '../block/node.ts';
import { defaultChildPermissions, type Permissions } from '../block/permissions.ts';

export abstract class WindowDriver implements Driver {
  /** What is told to it is for its file. */
  readonly debugEvent?: NonNullable<Driver['debugEvent']>;

  constructor(
    protected readonly file: Edge,
    /** Where in the file the disk begins. */
    protected offset: number,
    /** Undefined: up to the end of the file. */
    protected size: number | undefined,
  ) {
    if (file.debugged) this.debugEvent = (event) => file.debugEvent(event);
  }

  abstract getLength(): Promise<number>;

  get hasZeroInit(): boolean {
    return this.file.node.driver.hasZeroInit ?? false;
  }

  /** Flags travel on with the request. */
  get supportsFua(): boolean | 'data' {
    return this.file.node.driver.supportsFua ?? false;
  }

  map(offset: number, bytes: number): Extent {
    return { type: 'data', bytes, child: this.file, offset: this.offset + offset };
  }

  prepareWrite(offset: number, bytes: number): WritePlan {
    return { bytes, child: this.file, offset: this.offset + offset };
  }

  writeZeroes(offset: number, bytes: number, flags: ZeroFlags): Promise<void> {
    return this.file.writeZeroes(this.offset + offset, bytes, flags);
  }

  discard(offset: number, bytes: number): Promise<void> {
    return this.file.discard(this.offset + offset, bytes);
  }

  /** A part of a file never makes it longer by itself. */
  childPermissions(child: Edge, cumulative: Permissions): Permissions {
    const needed = defaultChildPermissions(child.parent as BlockNode, child, cumulative);
    if (child.role === 'filtered') return needed;
    return { perm: needed.perm & cumulative.perm, shared: needed.shared };
  }

  async close(): Promise<void> {}
}
