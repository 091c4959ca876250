/**
 * The jobs snapshot-save, snapshot-load and snapshot-delete: what they do is in saved-machines.ts.
 *
 * They cannot be held or cancelled, and stay to be dismissed. All the work is done when the command is answered; how it ended is
 * told after that.
 */
import { createDeferred } from '../base/deferred.ts';
import type { Job, JobDriver } from '../jobs/job.ts';
import { loadPart } from '../platform/platform.ts';
import type { Machine } from './machine.ts';
import type { SavedMachines } from './saved-machines.ts';

type SnapshotJobType = 'snapshot-save' | 'snapshot-load' | 'snapshot-delete';

/** Settles when the work is done. Errors: a bad id; everything else is the job's. */
export async function startSnapshotJob(
  machine: Machine,
  { id, type }: { id: string; type: SnapshotJobType },
  act: (machines: SavedMachines) => Promise<void>,
): Promise<void> {
  const work = new SnapshotDriver(machine, type, act);
  machine.jobs.create(work, { id, autoDismiss: false }).start();
  await work.isDone;
}

class SnapshotDriver implements JobDriver {
  readonly isBlockJob = false;
  private readonly done = createDeferred();

  constructor(
    private readonly machine: Machine,
    readonly type: SnapshotJobType,
    private readonly act: (machines: SavedMachines) => Promise<void>,
  ) {}

  get isDone(): Promise<void> {
    return this.done.promise;
  }

  async run(job: Job): Promise<void> {
    const { platform } = this.machine.graph;
    job.progress.expect(1);
    try {
      const { SavedMachines } = await loadPart(platform, () => import('./saved-machines.ts'));
      await this.act(new SavedMachines(this.machine, (line) => platform.console.stderr(line)));
    } finally {
      job.progress.advance(1);
      this.done.resolve();
      await platform.clock.yield();
    }
  }
}
