/**
 * A store as one program sees it, over files that others see, too: operations take their time and overtake each other, and some are
 * lost, or done and not said to be, or done twice, late or in part; and at one of them the program dies.
 *
 * What may come late, after it was said to have failed, are packs and locks; and what may be there in part are packs. An index or a
 * snapshot is there at once or never.
 */
import { BlockError } from '../../../host/base/errors.ts';
import type { Clock } from '../../../host/platform/platform.ts';
import type { Prng } from '../../../host/platform/sim/prng.ts';
import { never } from '../../../host/platform/sim/simulated-files.ts';
import type { MemoryStore, ObjectStore, StoredObject } from '../../../host/store/object-store.ts';

interface Unreliability {
  /** Of a thousand operations, how many go wrong. */
  readonly faults: number;
  /** At which the program dies; 0: it does not. */
  readonly crashAt: number;
}

const usualNs = 200e6;
/** Now and then one takes so long. Locks are renewed every five minutes, and honoured for thirty. */
const longNs = 420e9;
const lateNs = 600e9;

export class UnreliableStore implements ObjectStore {
  readonly location = 'the store';
  /** Settles when the program has died. */
  readonly crash: Promise<void>;
  private hasCrashed = false;
  private operations = 0;
  private crashed: () => void = () => {};

  constructor(
    private readonly files: MemoryStore,
    private readonly clock: Clock,
    private readonly random: Prng,
    private readonly unreliability: Unreliability,
  ) {
    this.crash = new Promise((resolve) => (this.crashed = resolve));
  }

  prepare(): Promise<void> {
    return this.files.prepare();
  }

  get(name: string, limit: number): Promise<Uint8Array> {
    return this.ask(() => this.files.get(name, limit));
  }

  getRange(name: string, offset: number, bytes: number): Promise<Uint8Array> {
    return this.ask(() => this.files.getRange(name, offset, bytes));
  }

  list(folder: string): Promise<readonly StoredObject[]> {
    return this.ask(() => this.files.list(folder));
  }

  async put(name: string, parts: readonly Uint8Array[]): Promise<void> {
    const content = parts.map((part) => part.slice());
    const put = (): Promise<void> => this.files.put(name, content);
    const isPack = name.startsWith('data/');
    await this.change(put, {
      late: isPack || name.startsWith('locks/'),
      half: isPack && (() => this.files.put(name, [content[0]!.subarray(0, content[0]!.length / 2)])),
    });
  }

  remove(name: string): Promise<void> {
    return this.change(() => this.files.remove(name), { late: false, half: false });
  }

  private async ask<T>(act: () => Promise<T>): Promise<T> {
    await this.begin();
    if (this.isFault()) throw failure();
    return act();
  }

  private async change(
    act: () => Promise<void>,
    { late, half }: { late: boolean; half: false | (() => Promise<void>) },
  ): Promise<void> {
    await this.begin(act);
    if (!this.isFault()) return act();
    const fate = this.random.below(5);
    if (fate === 0) await act();
    if (fate === 1 && half) await half();
    if (fate === 2 && late) this.later(act);
    if (fate === 3) {
      if (late) this.later(act);
      return act();
    }
    throw failure();
  }

  private later(act: () => Promise<void>): void {
    this.clock.setTimer(this.random.below(lateNs / 1e9) * 1e9, () => void act());
  }

  /** The time that it takes, and perhaps the end of the program, which what it asked for may outlive. */
  private async begin(act?: () => Promise<void>): Promise<void> {
    if (this.hasCrashed) return never();
    const isLast = ++this.operations === this.unreliability.crashAt;
    const ns = this.random.below(100) === 0 ? longNs : usualNs;
    await new Promise<void>(
      (resolve) => void this.clock.setTimer(this.random.below(1000) * (ns / 1000), resolve),
    );
    if (isLast) {
      if (act && this.random.below(2) === 0) await act();
      this.hasCrashed = true;
      this.crashed();
    }
    if (this.hasCrashed) return never();
  }

  private isFault(): boolean {
    return this.random.below(1000) < this.unreliability.faults;
  }
}

function failure(): BlockError {
  return new BlockError('EIO', 'the store did not answer');
}
