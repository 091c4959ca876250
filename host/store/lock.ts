/**
 * Locks, which other programs look for before they remove anything (specification: store, section 9). One that reads or adds has a lock
 * that is not exclusive; several of those go together.
 *
 * It is made anew every five minutes. When that has not worked for too long, `check` fails: others may take the lock for one that
 * was left behind, and remove what is being added.
 */
import { BlockError } from '../base/errors.ts';
import type { ProcessIdentity, Timer } from '../platform/platform.ts';
import { getDocument } from './documents.ts';
import { parseRecord } from './json.ts';
import { maxDocumentBytes } from './limits.ts';
import { baseName, type Repository } from './repository.ts';
import { rfc3339 } from './time.ts';

const settleNs = 200e6;
const refreshNs = 300e9;
/** After that nobody writes on the strength of it. */
const validNs = 1350e9;
/** Others of that age are taken for left behind. */
const staleMs = 1800e3;

export class RepositoryLock {
  private timer: Timer | undefined;
  private refreshing: Promise<void> = Promise.resolve();
  private isReleased = false;
  /** For some time nobody had to honour it. */
  private isLost = false;

  private constructor(
    private readonly repository: Repository,
    private readonly holder: ProcessIdentity,
    private id: string,
    private refreshedNs: number,
  ) {
    this.schedule();
  }

  /** Not exclusive. Errors: EBUSY: somebody has an exclusive one; of the store. */
  static async take(repository: Repository, holder: ProcessIdentity): Promise<RepositoryLock> {
    await refuseExclusive(repository);
    const { clock } = repository.platform;
    const startNs = clock.nowNs();
    const id = await putLock(repository, holder);
    try {
      await new Promise<void>((resolve) => clock.setTimer(settleNs, resolve));
      await refuseExclusive(repository);
    } catch (error) {
      await repository.store.remove(`locks/${id}`);
      throw error;
    }
    return new RepositoryLock(repository, holder, id, startNs);
  }

  /** Errors: EIO: it could not be kept all the time, and must not be relied on. */
  check(): void {
    this.isLost ||= this.ageNs > validNs;
    if (!this.isLost) return;
    throw new BlockError(
      'EIO',
      `the lock on ${this.repository.store.location} could not be renewed for more than ${Math.floor(validNs / 60e9)} minutes`,
    );
  }

  private get ageNs(): number {
    return this.repository.platform.clock.nowNs() - this.refreshedNs;
  }

  /** Errors: of the store. */
  async release(): Promise<void> {
    this.isReleased = true;
    this.timer?.cancel();
    await this.refreshing;
    await this.repository.store.remove(`locks/${this.id}`);
  }

  private schedule(): void {
    this.timer = this.repository.platform.clock.setTimer(refreshNs, () => {
      this.refreshing = this.refresh().finally(() => {
        if (!this.isReleased) this.schedule();
      });
    });
  }

  /** A failure shows in `check`, when it lasts. */
  private async refresh(): Promise<void> {
    const startNs = this.repository.platform.clock.nowNs();
    try {
      const id = await putLock(this.repository, this.holder);
      // Until now it was the old one that others saw.
      this.isLost ||= this.ageNs > validNs;
      const old = this.id;
      this.id = id;
      this.refreshedNs = startNs;
      await this.repository.store.remove(`locks/${old}`);
    } catch (error) {
      if (!(error instanceof BlockError)) throw error;
    }
  }
}

function putLock(repository: Repository, { hostname, username, pid }: ProcessIdentity): Promise<string> {
  const time = rfc3339(repository.platform.clock);
  return repository.put('locks', { time, exclusive: false, hostname, username, pid, uid: 0, gid: 0 });
}

async function refuseExclusive({ sealer, store, platform }: Repository): Promise<void> {
  for (const { name } of await store.list('locks')) {
    let json: Uint8Array;
    try {
      json = await getDocument(sealer, store, 'locks', baseName(name), maxDocumentBytes);
    } catch (error) {
      // Released between two looks.
      if (error instanceof BlockError && error.errno === 'ENOENT') continue;
      throw error;
    }
    const lock = parseRecord(json, name);
    const ageMs = platform.clock.wallClock().seconds * 1000 - Date.parse(String(lock['time']));
    if (lock['exclusive'] !== true || ageMs > staleMs) continue;
    const owner = `process ${String(lock['pid'])} of ${String(lock['username'])} on ${String(lock['hostname'])}`;
    throw new BlockError('EBUSY', `${store.location} is locked by ${owner} since ${String(lock['time'])}`);
  }
}
