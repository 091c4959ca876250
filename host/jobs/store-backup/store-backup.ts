/**
 * The job x-store-backup: disks at one instant, as one snapshot of a repository (specification: store, section 7; jobs, section 7).
 *
 * | when                          | what                                                                                |
 * | ----------------------------- | ----------------------------------------------------------------------------------- |
 * | before (opened.ts)            | the repository is opened and held                                                   |
 * | the instant, nodes drained    | each disk gets a filter that keeps it (kept-disk.ts) and a bitmap (generation.ts)   |
 * | the job runs                  | chunks that were written since the parent are read, let go, and uploaded            |
 * | all jobs have done their work | the snapshot is written                                                             |
 * | then                          | earlier bitmaps go; after a failure the new ones do instead                         |
 *
 * Reading goes on in several chunks at once beside the job's loop, through a gate that the loop shuts when the job is to stand still. What
 * is being uploaded then goes on: nothing of it concerns the disks. Whatever was uploaded when the job ends in any way is used by
 * the next one.
 */
import { asBlockError, BlockError, invalid } from '../../base/errors.ts';
import { saveBitmaps } from '../../bitmaps/persistence.ts';
import type { BlockBackend } from '../../block/backend.ts';
import type { OnError } from '../../block/error-policy.ts';
import type { BlockGraph } from '../../block/graph.ts';
import { copyPacerOf } from '../../copy/copy-pacer.ts';
import { RetryPause } from '../../copy/retry-pause.ts';
import { Traffic } from '../../copy/traffic.ts';
import { writeDisk } from '../../store/disk-writer.ts';
import { type BackedUpDisk, chunkBytesOf, putMachine } from '../../store/machine.ts';
import { type DiskParent, parentFact, unchangedChunks } from '../../store/parent-disk.ts';
import { RepositoryWriter, type WriterStatistics } from '../../store/repository-writer.ts';
import { rfc3339 } from '../../store/time.ts';
import type { Job, JobDriver } from '../job.ts';
import type { JobRegistry } from '../job-registry.ts';
import type { JobTransaction } from '../job-transaction.ts';
import { Generation, newGeneration } from './generation.ts';
import { InstantLost, KeptDisk } from './kept-disk.ts';
import type { OpenedRepository } from './opened.ts';
import type { StoreBackupOptions } from './options.ts';
import { ReadingGate } from './reading-gate.ts';

interface StoreBackupParams {
  readonly opened: OpenedRepository;
  readonly options: StoreBackupOptions;
  /** Absent: the job succeeds or fails on its own. */
  readonly transaction: JobTransaction | undefined;
  /** What snapshots say they were made by. */
  readonly program: string;
}

/** A disk at the instant. */
interface Source {
  readonly kept: KeptDisk;
  readonly generation: Generation;
  readonly format: string;
  /** Undefined: all of it is read. */
  readonly since: { readonly parent: DiskParent; readonly written: Uint8Array } | undefined;
}

/**
 * Creates the job without starting it; the instant is now: the caller has drained the disks from before this until after `start`. Errors:
 * BlockError; nothing is left behind, and the repository is not held any more.
 */
export function createStoreBackup(
  graph: BlockGraph,
  jobs: JobRegistry,
  params: StoreBackupParams,
): Promise<Job> {
  const { options, transaction } = params;
  return jobs.createAttached(new StoreBackupDriver(graph, params), {
    id: options['job-id'] ?? options.machine,
    transaction,
    speed: options.speed,
    autoFinalize: options['auto-finalize'],
    autoDismiss: options['auto-dismiss'],
  });
}

export class StoreBackupDriver implements JobDriver {
  readonly type = 'backup';
  readonly isBlockJob = true;
  private readonly sources: Source[] = [];
  private readonly started: Generation[] = [];
  private readonly gate = new ReadingGate();
  /** Wakes the loop when there is something to look at. */
  private readonly traffic: Traffic;
  private readonly retryPause = new RetryPause();
  private time = '';
  private writer: RepositoryWriter | undefined;
  private readonly backedUp: BackedUpDisk[] = [];
  private snapshot: string | undefined;
  /** The bitmaps are as they are to stay. */
  private isDecided = false;
  private isReleased = false;

  constructor(
    private readonly graph: BlockGraph,
    private readonly params: StoreBackupParams,
  ) {
    this.traffic = new Traffic(graph.platform.clock);
  }

  get edges(): readonly BlockBackend[] {
    return this.sources.flatMap(({ kept }) => kept.edges);
  }

  /** Bytes so far; and the snapshot, once there is one. */
  get stored(): WriterStatistics & { readonly snapshot: string | undefined } {
    const { newBytes = 0, reusedBytes = 0, storedBytes = 0 } = this.writer?.statistics ?? {};
    return { newBytes, reusedBytes, storedBytes, snapshot: this.snapshot };
  }

  async attach(job: Job): Promise<void> {
    const { opened, options } = this.params;
    const { repository, sources, parents, store } = opened;
    const { platform } = this.graph;
    this.time = rfc3339(platform.clock);
    for (const { device, node } of sources) {
      // The repository took its time.
      if (this.graph.lookup(device, device) !== node)
        throw invalid(`'${device}' is not what it was a moment ago`);
      node.opBlockers.check('backup-source');
    }
    for (const source of sources) {
      const { name, node } = source;
      const generation = new Generation(node, repository.id, newGeneration(platform.random));
      const parent = parents.get(name);
      const written = parent && generation.writtenSince(parent);
      const kept = await KeptDisk.keep(source, options);
      const since = parent && written && { parent, written };
      this.sources.push({ kept, generation, format: node.definition.name, since });
      this.started.push(generation);
      generation.start();
      await kept.holdBy(job);
    }
    store.onFailedPut = (error) => this.decide(job, 'write', error);
    job.progress.expectMore(sources.reduce((sum, { node }) => sum + node.length, 0));
  }

  async run(job: Job): Promise<void> {
    let isDone = false;
    const working = this.work(job).finally(() => {
      isDone = true;
      this.traffic.wake();
    });
    // It is waited for below, unless the job is cancelled before.
    working.catch(() => {});
    while (!isDone) {
      if (job.isCancelled) {
        this.gate.close(new BlockError('ECANCELED'));
        return this.gate.whenIdle();
      }
      if (job.shouldPause()) {
        this.gate.shut();
        await this.gate.whenIdle();
        await job.pausePoint();
      }
      this.gate.open();
      if (!isDone && !job.isWanted) await this.traffic.whenChanged();
    }
    await working;
    // There is no loop any more that could stand still.
    this.params.opened.store.onFailedPut = undefined;
  }

  interrupt(): void {
    this.traffic.wake();
  }

  /** The last thing that can fail. */
  async prepare(): Promise<void> {
    const { opened, options, program } = this.params;
    const { repository, username, lock } = opened;
    lock.check();
    const author = { username, program, time: this.time };
    this.snapshot = await putMachine(repository, this.writer!, options.machine, this.backedUp, author); // it has run
  }

  async commit(): Promise<void> {
    this.isDecided = true;
    for (const generation of this.started) await generation.dropEarlier();
  }

  async abort(): Promise<void> {
    this.isDecided = true;
    for (const generation of this.started) await generation.dropOwn();
  }

  async clean(): Promise<void> {
    for (const { kept } of [...this.sources].reverse()) await kept.end();
    if (this.isReleased) return;
    this.isReleased = true;
    // It was never started.
    if (!this.isDecided) await this.abort();
    await saveBitmaps(this.graph);
    await this.params.opened.lock.release();
  }

  private async work(job: Job): Promise<void> {
    const { repository, lock } = this.params.opened;
    const writer = await RepositoryWriter.start(repository, { check: () => lock.check() });
    this.writer = writer;
    await this.letGo();
    for (const source of this.sources) this.backedUp.push(await this.backUp(job, writer, source));
    await writer.finish();
  }

  private async backUp(job: Job, writer: RepositoryWriter, source: Source): Promise<BackedUpDisk> {
    const { kept, generation, format, since } = source;
    const { name, bytes: size } = kept;
    const chunkBytes = since?.parent.facts.chunkBytes ?? chunkBytesOf(size);
    const bitmap = generation.facts;
    const unchanged = since && unchangedChunks(since.parent, since.written, size);
    // Of an incremental backup what lies ahead may have been let go.
    const keptBytes = (offset: number): number => Math.min(size - offset, since ? chunkBytes : size);
    const content = await writeDisk(
      writer,
      {
        bytes: size,
        zeroBytes: (offset) => this.fromDisk(job, () => kept.zeroBytes(offset, keptBytes(offset))),
        read: async (offset, buffer) => {
          job.limiter.delay(buffer.length);
          await this.fromDisk(job, () => kept.read(offset, buffer));
          await this.gate.pass(() => kept.drop(offset, buffer.length));
        },
      },
      {
        ...{ chunkBytes, progress: (bytes: number) => job.progress.advance(bytes) },
        check: () => this.pace(job),
        ...(unchanged && { unchanged }),
      },
    );
    return { name, size, chunkBytes, format, bitmap, content, ...parentFact(since?.parent) };
  }

  /** What fails is for on-source-error to decide about. */
  private async fromDisk<T>(job: Job, read: () => Promise<T>): Promise<T> {
    for (;;) {
      try {
        return await this.gate.pass(read);
      } catch (error) {
        await this.gate.whenOpen();
        if (error instanceof InstantLost) throw error;
        await this.decide(job, 'read', asBlockError(error));
      }
    }
  }

  /** What will not be read, guests may overwrite from now on without anything being saved. */
  private async letGo(): Promise<void> {
    const { data } = await this.params.opened.repository.index();
    for (const { kept, since } of this.sources) {
      if (!since) continue;
      const { written, parent } = since;
      const unchanged = unchangedChunks(parent, written, kept.bytes);
      const { chunkBytes } = parent.facts;
      let start = 0;
      for (let chunk = 0; chunk <= written.length; chunk++) {
        const id = unchanged(chunk);
        if (id && data.has(id)) continue;
        // What is not in the repository any more is read again.
        if (chunk < written.length) written[chunk] = 1;
        const [offset, end] = [start * chunkBytes, chunk * chunkBytes];
        if (end > offset) await this.gate.pass(() => kept.drop(offset, end - offset));
        start = chunk + 1;
      }
    }
  }

  private async pace(job: Job): Promise<void> {
    const { lock } = this.params.opened;
    await copyPacerOf(job.registry).breathe(this.traffic);
    for (;;) {
      lock.check();
      await this.gate.whenOpen();
      const delayNs = job.limiter.delay(0);
      if (delayNs <= 0) return;
      await this.traffic.sleep(delayNs);
    }
  }

  /** Settles when it is to be tried again. Errors: `error`, or that the job is cancelled. */
  private async decide(job: Job, operation: 'read' | 'write', error: BlockError): Promise<void> {
    const { options } = this.params;
    const policies: Record<typeof operation, OnError | undefined> = {
      read: options['on-source-error'],
      write: options['on-target-error'],
    };
    const action = job.handleError(operation, policies[operation] ?? 'report', error);
    if (action === 'report') throw error;
    if (action === 'stop') {
      this.gate.shut();
      this.traffic.wake();
      return this.gate.whenOpen();
    }
    await this.traffic.sleep(this.retryPause.nextNs(job.progress.current));
    await this.gate.whenOpen();
  }
}
