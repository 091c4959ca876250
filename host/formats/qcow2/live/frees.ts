/**
 * Freed clusters: counted down when their last use is durably gone and nobody can still be reading them (specification:
 * qcow2, sections 2.4 and 4.4).
 *
 * Before the last reference goes, while nobody else can get the cluster, its space is given back to the file where the
 * options say so. What cannot be counted down stays on the list: a leak at worst.
 */
import { FreeReason } from '../../../core/qcow2-abi.ts';
import type { StepRunner } from './steps.ts';
import type { TransferGate } from './transfer-gate.ts';

export class Frees {
  private running: Promise<void> | undefined;

  constructor(
    private readonly engine: StepRunner,
    private readonly gate: TransferGate,
  ) {}

  /** Starts counting down what can be, if anything can. */
  startInBackground(): void {
    const { core, corruption } = this.engine;
    if (corruption.isFatal || core.isPoisoned || !core.hasFrees) return;
    // The next attempt tells what went wrong.
    this.countDown().catch(() => {});
  }

  /** Settles when no counting down that was started before is running. */
  async over(): Promise<void> {
    await this.running?.catch(() => {});
  }

  /** Counts down every cluster whose last use is durably gone, once nobody can still be using it. */
  countDown(): Promise<void> {
    this.running ??= this.run().finally(() => {
      this.running = undefined;
    });
    return this.running;
  }

  private async run(): Promise<void> {
    await this.gate.barrier();
    const { core, file, header } = this.engine;
    while (core.hasFrees) {
      const free = await this.engine.run(() => core.nextFree());
      // A hint: the file need not be able to follow it.
      if (free.last && this.passesDiscard(free.reason))
        await file.discard(free.offset, header.clusterSize).catch(() => {});
      await file.debugEvent('cluster_free');
      await this.engine.runCode(() => core.applyFree());
    }
  }

  private passesDiscard(reason: number): boolean {
    const { passDiscard } = this.engine.options;
    switch (reason) {
      case FreeReason.always:
        return true;
      case FreeReason.request:
        return passDiscard.request;
      case FreeReason.snapshot:
        return passDiscard.snapshot;
      case FreeReason.other:
        return passDiscard.other;
      default:
        return false;
    }
  }
}
