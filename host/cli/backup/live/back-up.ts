/**
 * `backup run --qmp`: disks of a running daemon, ours or QEMU's, at one instant, as one snapshot.
 *
 * The order in which nothing is lost: the bitmap of the next generation is started at the instant; the snapshot that has its name is
 * made durable; only then earlier bitmaps go. A run that dies before leaves a bitmap that no snapshot names, which nobody goes on from; one
 * that dies after it leaves one too many.
 */
import { asBlockError, BlockError } from '../../../base/errors.ts';
import type { BlockGraph } from '../../../block/graph.ts';
import { generationOf, isOfRepository } from '../../../store/bitmap-names.ts';
import type { RepositoryLock } from '../../../store/lock.ts';
import type { BackedUpDisk } from '../../../store/machine.ts';
import { findParents } from '../../../store/parent-disk.ts';
import type { Repository } from '../../../store/repository.ts';
import { RepositoryWriter } from '../../../store/repository-writer.ts';
import { Interruption } from '../../shared/interruption.ts';
import type { Progress } from '../../shared/progress.ts';
import type { Tool } from '../../shared/tool.ts';
import { backUpDisk } from '../back-up-disk.ts';
import { withLock } from '../options.ts';
import { putSnapshot } from '../put-snapshot.ts';
import { readLine } from '../read-line.ts';
import { bitmapsIn, findDisks, type LiveDisk, nodesOf, type WantedDisk } from './disks.ts';
import { Instant, type InstantDisk } from './instant.ts';
import { LiveMonitor } from './monitor.ts';
import { runOf } from './names.ts';
import { openInstantDisk, writtenChunks } from './read-instant.ts';
import { Scratch } from './scratch.ts';
import { clearLeftovers, dropBitmap } from './take-down.ts';

interface LiveBackupSettings {
  /** The monitor's socket. */
  readonly socket: string;
  readonly machine: string;
  /** None: all. */
  readonly disks: readonly WantedDisk[];
  /** A folder for what guests overwrite meanwhile. */
  readonly scratch: string | undefined;
  /** The daemon's NBD server, as a URI. Undefined: it has none. */
  readonly server: string | undefined;
}

/** Settles with what there is to say of it. */
export async function backUpLive(
  tool: Tool,
  repository: Repository,
  settings: LiveBackupSettings,
  progress: Progress,
): Promise<string> {
  const interruption = new Interruption();
  try {
    const graph = await tool.createGraph();
    return await withLock(tool, repository, (lock) =>
      tool.attempt(() =>
        new LiveBackup(tool, graph, { repository, lock }, settings, interruption).run(progress),
      ),
    );
  } finally {
    interruption.end();
    if (interruption.signal) process.kill(process.pid, interruption.signal);
  }
}

class LiveBackup {
  private readonly repository: Repository;
  private readonly lock: RepositoryLock;

  constructor(
    private readonly tool: Tool,
    private readonly graph: BlockGraph,
    { repository, lock }: { repository: Repository; lock: RepositoryLock },
    private readonly settings: LiveBackupSettings,
    private readonly interruption: Interruption,
  ) {
    this.repository = repository;
    this.lock = lock;
  }

  async run(progress: Progress): Promise<string> {
    const { interruption } = this;
    const { socket } = this.settings;
    const { sockets } = await this.tool.platform();
    const monitor = await LiveMonitor.connect(sockets!, socket, {
      // Node has them
      jobEnded: (job, error) => {
        if (runOf(job) !== process.pid) return;
        interruption.raise(new BlockError('EIO', `${socket}: ${job}: ${error}`));
      },
      lost: () => interruption.raise(new BlockError('EIO', `${socket}: the monitor is gone`)),
    });
    try {
      return await this.backUp(monitor, progress);
    } finally {
      monitor.close();
    }
  }

  private async backUp(monitor: LiveMonitor, progress: Progress): Promise<string> {
    const { repository, settings } = this;
    const { machine, server } = settings;
    await clearLeftovers(monitor, server === undefined);
    const disks = await findDisks(monitor, settings.disks);
    const generations = new Map(disks.map((disk) => [disk.name, generationsOf(disk, repository.id)]));
    const parents = await findParents(repository, machine, generations);
    const scratch = await Scratch.make(this.tool, this.graph, disks, settings.scratch);
    try {
      const shared = { disks, parents, repository: repository.id, scratch, server };
      const instant = new Instant(monitor, shared);
      const done = await this.during(monitor, instant, () => this.backUpInstant(instant, progress));
      await this.clearUp('old bitmaps', () => dropEarlier(monitor, repository.id, disks, instant));
      return done;
    } finally {
      scratch.remove();
    }
  }

  /** Whatever happens, the daemon is as it was afterwards, if it is still there. */
  private async during<T>(monitor: LiveMonitor, instant: Instant, act: () => Promise<T>): Promise<T> {
    let isKept = false;
    let acting: Promise<T> | undefined;
    try {
      this.interruption.check();
      acting = act();
      const done = await this.interruption.unless(acting);
      isKept = true;
      return done;
    } finally {
      await this.clearUp('what the backup has made', async () => {
        if (await monitor.comeBack()) await instant.end(isKept);
      });
      // Without its export it does not go on for long.
      await acting?.catch(() => {});
    }
  }

  private async clearUp(what: string, act: () => Promise<void>): Promise<void> {
    try {
      await act();
    } catch (error) {
      this.tool.warn(`${what} could not be taken away: ${asBlockError(error).message}`);
    }
  }

  private async backUpInstant(instant: Instant, progress: Progress): Promise<string> {
    const { repository, lock, interruption, settings } = this;
    const time = new Date().toISOString();
    const instantDisks = await instant.begin();
    const writer = await RepositoryWriter.start(repository, { check: () => lock.check() });
    const total = instantDisks.reduce((sum, { disk }) => sum + disk.bytes, 0);
    let done = 0;
    const note = (bytes: number): void => progress.set(((done += bytes) / total) * 100);
    const disks: BackedUpDisk[] = [];
    const lines: string[] = [];
    for (const one of instantDisks) {
      const { facts, readBytes } = await this.backUpDisk(writer, one, note);
      disks.push(facts);
      lines.push(readLine(facts, readBytes));
    }
    interruption.check();
    await instant.checkHeld();
    return lines.join('') + (await putSnapshot(repository, writer, settings.machine, disks, time));
  }

  private async backUpDisk(
    writer: RepositoryWriter,
    instant: InstantDisk,
    progress: (bytes: number) => void,
  ): ReturnType<typeof backUpDisk> {
    const { graph, lock, interruption } = this;
    const { disk, parent, bitmap } = instant;
    const check = (): void => {
      lock.check();
      interruption.check();
    };
    const image = await openInstantDisk(graph, instant);
    try {
      const written = parent && (await writtenChunks(graph, instant, parent, check));
      const since = parent && written && { parent, written };
      const known = { name: disk.name, format: disk.format, bitmap };
      return await backUpDisk(writer, image, known, since, { progress, check });
    } finally {
      await image.close();
    }
  }
}

/** Of bitmaps in which nothing is missing, as far as anybody knows. */
function generationsOf({ bitmaps }: LiveDisk, repository: string): Set<string> {
  const recording = bitmaps.filter(({ isRecording }) => isRecording);
  return new Set(recording.flatMap(({ name }) => generationOf(name, repository) ?? []));
}

/** Bitmaps that no later backup into this repository goes on from. */
async function dropEarlier(
  monitor: LiveMonitor,
  repository: string,
  disks: readonly LiveDisk[],
  instant: Instant,
): Promise<void> {
  const meant = disks.map(({ node }) => node);
  for (const node of await nodesOf(monitor))
    for (const { name } of bitmapsIn(node))
      if (meant.includes(node['node-name']) && isOfRepository(name, repository) && !instant.hasStarted(name))
        await dropBitmap(monitor, node['node-name'], name);
}
