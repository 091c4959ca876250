/**
 * What drive-backup and blockdev-backup have in common: a job that is created by `prepare`, started by `commit` and
 * taken back by `abort`.
 */
import type { BlockNode } from '../../block/node.ts';
import type { BackupCommon } from '../../jobs/backup/options.ts';
import type { Job } from '../../jobs/job.ts';
import { loadPart } from '../../platform/platform.ts';
import type { Action, ActionContext } from './action.ts';

export abstract class BackupAction<Options extends BackupCommon> implements Action {
  private job: Job | undefined;

  constructor(
    protected readonly context: ActionContext,
    protected readonly options: Options,
  ) {}

  nodes(): readonly BlockNode[] {
    const { device } = this.options;
    const source = this.context.graph.find(device, device);
    return source ? [source] : [];
  }

  abstract prepare(): Promise<void>;

  protected async createJob(source: BlockNode, target: BlockNode, options: BackupCommon): Promise<void> {
    const { graph, jobs, group } = this.context;
    const { createBackupJob } = await loadPart(graph.platform, () => import('../../jobs/copying-jobs.ts'));
    this.job = await createBackupJob(graph, jobs, { source, target, options, transaction: group });
  }

  commit(): void {
    this.job?.start();
  }

  async abort(): Promise<void> {
    // With completion-mode grouped the end of one job has taken the others along.
    if (this.job && this.job.status === 'created') await this.job.cancelAnyway(true);
  }
}
