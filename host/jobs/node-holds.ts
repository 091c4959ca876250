/**
 * What a block job holds of the nodes it works with: an edge to each, by which draining reaches the job and queries see
 * it, and a blocker for what must not happen to them meanwhile.
 */
import { BlockBackend } from '../block/backend.ts';
import type { BlockNode } from '../block/node.ts';
import type { OpBlocker } from '../block/op-blockers.ts';
import type { Job } from './job.ts';

interface HoldOptions {
  /** Whether a drained section is the job's own doing, and must not wait for the job. */
  drainsItself?(): boolean;
  /** What goes on beside the job's loop, and has to stand still with it. */
  beside?: { hold(): void; unhold(): void; whenIdle(): Promise<void> };
}

export class NodeHolds {
  readonly edges: BlockBackend[] = [];
  private readonly blocker: OpBlocker;
  private readonly nodes: BlockNode[] = [];
  private filter: BlockNode | undefined;

  constructor(
    private readonly job: Job,
    private readonly options: HoldOptions = {},
  ) {
    this.blocker = { reason: `block device is in use by block job: ${job.type}` };
  }

  /** As `hold`, for the filter that the job has put in. */
  async holdFilter(filter: BlockNode, name: string, perm: number, shared: number): Promise<void> {
    this.filter = filter;
    await this.hold(filter, name, perm, shared);
  }

  /** `name` is the edge's: `main node`, `base`, … Errors: a permission conflict. */
  async hold(node: BlockNode, name: string, perm: number, shared: number): Promise<void> {
    const { job } = this;
    const { beside, drainsItself } = this.options;
    const onDrain = {
      begin: () => {
        beside?.hold();
        job.drainBegin();
      },
      end: () => {
        beside?.unhold();
        job.drainEnd();
      },
      whenIdle: async () => {
        if (drainsItself?.()) return;
        await job.whenQuiescent();
        await beside?.whenIdle();
      },
    };
    const description = `${job.type} job '${job.id}'`;
    this.edges.push(await BlockBackend.attach(node, { name, description, perm, shared, onDrain, job }));
    this.nodes.push(node);
    node.opBlockers.blockAll(this.blocker, name === 'main node' ? ['dataplane'] : []);
  }

  /** Gives the edges up. Nobody may start anything on the nodes yet. Harmless when called again. */
  async close(): Promise<void> {
    for (const edge of this.edges.splice(0)) await edge.close();
  }

  /** Harmless when called again. */
  async release(): Promise<void> {
    // The job's filter stays blocked: it is about to go, and nobody may start anything on it in between.
    for (const node of this.nodes.splice(0)) {
      if (node !== this.filter) node.opBlockers.unblockAll(this.blocker);
    }
    await this.close();
  }
}
