/**
 * The `snapshot-access` driver: reads the point in time that the node below keeps, a copy-before-write filter
 * (specification: graph, section 3).
 *
 * It can only be read; a discard, when the node was opened with discard=unmap, says that an area will not be read again.
 * It needs no permissions of its child: everybody else goes on with that as if there were no reader. Requests fail with
 * ENOTSUP when the child keeps no point in time.
 */
import { BlockError } from '../base/errors.ts';
import type { Driver, DriverDefinition, Extent, SnapshotAccess } from '../block/driver.ts';
import type { Edge } from '../block/edge.ts';
import type { OpenContext } from '../block/open-context.ts';
import { Perm } from '../block/permissions.ts';
import { struct } from '../qapi/types.ts';

class SnapshotReader implements Driver {
  constructor(private readonly file: Edge) {}

  /** Asked for every time: the child is another one when a filter was put in between. */
  private get snapshot(): SnapshotAccess {
    const { snapshotAccess } = this.file.node.driver;
    if (!snapshotAccess) throw new BlockError('ENOTSUP');
    return snapshotAccess;
  }

  getLength(): Promise<number> {
    return this.file.getByteLength();
  }

  async read(offset: number, buffer: Uint8Array): Promise<void> {
    await this.snapshot.read(offset, buffer);
  }

  async map(offset: number, bytes: number): Promise<Extent> {
    return { type: 'own', ...(await this.snapshot.status(offset, bytes)) };
  }

  async discard(offset: number, bytes: number): Promise<void> {
    await this.snapshot.discard(offset, bytes);
  }

  childPermissions(): { perm: number; shared: number } {
    return { perm: Perm.none, shared: Perm.all };
  }

  async close(): Promise<void> {}
}

export const snapshotAccess: DriverDefinition = {
  name: 'snapshot-access',
  kind: 'format',
  options: struct('BlockdevOptionsGenericFormat', {}),
  children: [{ name: 'file' }],
  isNamedAsChild: true,
  async open(context: OpenContext): Promise<Driver> {
    return new SnapshotReader(await context.openChild('file', 'data'));
  },
};
