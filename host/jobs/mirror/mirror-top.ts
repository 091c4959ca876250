/**
 * The `mirror_top` filter: between the source of a mirror and everybody who uses it (specification: jobs, section 8).
 *
 * Everything passes. With copy-mode=write-blocking the job puts itself between: a write is then over when source and
 * target have it. Only a mirror or an active commit makes such a node; options cannot name its driver.
 */
import type { Driver, DriverDefinition, WriteFlags, ZeroFlags } from '../../block/driver.ts';
import type { Edge } from '../../block/edge.ts';
import type { BlockNode } from '../../block/node.ts';
import type { OpenContext } from '../../block/open-context.ts';
import { defaultChildPermissions, Perm, type Permissions } from '../../block/permissions.ts';
import { struct } from '../../qapi/types.ts';

/** Who brings guests' writes to the target. */
export interface WriteCopier {
  /** `toSource` writes to the source; settles when the target has the same, or is known to lack it. */
  copyWrite(offset: number, buffer: Uint8Array, toSource: () => Promise<void>): Promise<void>;
  copyZeroes(offset: number, bytes: number, mayUnmap: boolean, toSource: () => Promise<void>): Promise<void>;
}

export class MirrorTop implements Driver {
  /** Flags travel on with the request. */
  readonly supportsFua = true;
  /** Absent: writes only go to the source. */
  copier: WriteCopier | undefined;
  /** For an active commit: while it runs the layers between hold no consistent data, and others may write to them. */
  isCommit = false;
  /** The job is over: the filter must not stand in the way of what comes after it. */
  private stopped = false;

  constructor(readonly source: Edge) {}

  getLength(): Promise<number> {
    return this.source.getByteLength();
  }

  write(offset: number, buffer: Uint8Array, flags: WriteFlags): Promise<void> {
    if (!this.copier) return this.source.write(offset, buffer, flags);
    // Guests may change their buffer while it is written: source and target must get the same.
    const data = buffer.slice();
    return this.copier.copyWrite(offset, data, () => this.source.write(offset, data, flags));
  }

  writeZeroes(offset: number, bytes: number, flags: ZeroFlags): Promise<void> {
    if (!this.copier) return this.source.writeZeroes(offset, bytes, flags);
    return this.copier.copyZeroes(offset, bytes, flags.mayUnmap === true, () =>
      this.source.writeZeroes(offset, bytes, flags),
    );
  }

  /** Needs nothing of its child from now on. */
  stop(): void {
    this.stopped = true;
    this.copier = undefined;
  }

  childPermissions(child: Edge, cumulative: Permissions): Permissions {
    if (this.stopped) return { perm: Perm.none, shared: Perm.all };
    const { perm, shared } = defaultChildPermissions(child.parent as BlockNode, child, cumulative);
    if (!this.isCommit) return { perm, shared };
    return { perm: perm & ~Perm.consistentRead, shared: shared | Perm.write };
  }

  async close(): Promise<void> {
    this.stop();
  }
}

export const mirrorTop: DriverDefinition = {
  name: 'mirror_top',
  kind: 'filter',
  options: struct('BlockdevOptionsMirrorTop', {}),
  children: [{ name: 'backing' }],
  isNamedAsChild: true,
  async open(context: OpenContext): Promise<Driver> {
    return new MirrorTop(await context.openChild('backing', 'filtered'));
  },
};
