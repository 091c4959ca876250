/** x-store-backup: disks at one instant, as one snapshot of a repository. Ours. */
import type { BlockNode } from '../../block/node.ts';
import type { Job } from '../../jobs/job.ts';
import type { OpenedRepository } from '../../jobs/store-backup/opened.ts';
import { type StoreBackupOptions, storeBackupType } from '../../jobs/store-backup/options.ts';
import { loadPart } from '../../platform/platform.ts';
import { versionInfo } from '../version.ts';
import type { Action, ActionContext, ActionDefinition, BlockServices } from './action.ts';

/**
 * What is to be done before anything is brought to rest: guests are not to wait for a repository. What it settles to is the action; who does
 * not run it has to `giveUp`.
 */
export async function openStoreBackup(
  { graph }: BlockServices,
  options: StoreBackupOptions,
): Promise<{ definition: ActionDefinition<StoreBackupOptions>; giveUp(): Promise<void> }> {
  const { openForBackup } = await loadPart(graph.platform, () => import('../../jobs/store-backup/opened.ts'));
  const opened = await openForBackup(graph, options);
  let action: StoreBackupAction | undefined;
  return {
    definition: {
      ...storeBackup,
      create(context, data) {
        action = new StoreBackupAction(context, data, opened);
        return action;
      },
    },
    async giveUp() {
      if (!action?.hasJob) await opened.lock.release();
    },
  };
}

class StoreBackupAction implements Action {
  private job: Job | undefined;

  constructor(
    private readonly context: ActionContext,
    private readonly options: StoreBackupOptions,
    private readonly opened: OpenedRepository,
  ) {}

  /** Which lets the repository go when it is over. */
  get hasJob(): boolean {
    return this.job !== undefined;
  }

  nodes(): readonly BlockNode[] {
    return this.opened.sources.map(({ node }) => node);
  }

  async prepare(): Promise<void> {
    const { graph, jobs, group } = this.context;
    const { opened, options } = this;
    const { createStoreBackup } = await loadPart(
      graph.platform,
      () => import('../../jobs/store-backup/store-backup.ts'),
    );
    const program = `blockyard ${versionInfo.package}`;
    this.job = await createStoreBackup(graph, jobs, { opened, options, transaction: group, program });
  }

  commit(): void {
    this.job?.start();
  }

  async abort(): Promise<void> {
    if (this.job && this.job.status === 'created') await this.job.cancelAnyway(true);
  }
}

/** As transactions know it; what runs is made by `openStoreBackup`. */
export const storeBackup = {
  type: 'x-store-backup',
  data: storeBackupType,
  supportsGrouped: true,
} as const;
