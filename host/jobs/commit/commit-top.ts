/**
 * The `commit_top` filter: between the top image of an intermediate commit and those who use it (specification: jobs,
 * sections 9 and 12). Everything passes. Only a commit makes such a node; options cannot name its driver.
 */
import type { Driver, DriverDefinition } from '../../block/driver.ts';
import type { Edge } from '../../block/edge.ts';
import type { OpenContext } from '../../block/open-context.ts';
import { Perm } from '../../block/permissions.ts';
import { struct } from '../../qapi/types.ts';

export class CommitTop implements Driver {
  readonly supportsFua = true;

  constructor(private readonly top: Edge) {}

  getLength(): Promise<number> {
    return this.top.getByteLength();
  }

  /** While the commit runs the images between hold no consistent data by themselves, and base is written to. */
  childPermissions(): { perm: number; shared: number } {
    return { perm: Perm.none, shared: Perm.all };
  }

  async close(): Promise<void> {}
}

export const commitTop: DriverDefinition = {
  name: 'commit_top',
  kind: 'filter',
  options: struct('BlockdevOptionsCommitTop', {}),
  children: [{ name: 'backing' }],
  isNamedAsChild: true,
  async open(context: OpenContext): Promise<Driver> {
    return new CommitTop(await context.openChild('backing', 'filtered'));
  },
};
