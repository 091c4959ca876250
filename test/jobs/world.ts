/** What tests of jobs need: a graph of array disks, a registry, and the events as one line each. */
import type { BlockBackend } from '../../host/block/backend.ts';
import type { GraphEvent } from '../../host/block/graph.ts';
import type { BlockNode } from '../../host/block/node.ts';
import { copyBeforeWrite } from '../../host/filters/copy-before-write/driver.ts';
import { copyOnRead } from '../../host/filters/copy-on-read.ts';
import { createImage } from '../../host/formats/qcow2/create/create.ts';
import { qcow2 } from '../../host/formats/qcow2/driver.ts';
import { createGraph } from '../../host/graph.ts';
import { createBackupJob } from '../../host/jobs/backup/backup.ts';
import type { BackupCommon } from '../../host/jobs/backup/options.ts';
import type { Job } from '../../host/jobs/job.ts';
import { JobRegistry } from '../../host/jobs/job-registry.ts';
import type { JobTransaction } from '../../host/jobs/job-transaction.ts';
import type { MirrorCommon } from '../../host/jobs/mirror/mirror-options.ts';
import { type MirrorRequest, mirror } from '../../host/jobs/mirror/mirror-request.ts';
import { type ArrayDisk, arrayProtocol, passFilter } from '../support/array-driver.ts';
import { attach, readWrite } from '../support/attach.ts';
import type { Seeded } from '../support/seeded.ts';
import { VirtualPlatform } from '../support/virtual-platform.ts';

const qcow2Defaults = Object.fromEntries(
  qcow2
    .create!.options.filter((option) => option.default !== undefined)
    .map(({ name, type, default: text }) => [
      name,
      type === 'bool' ? text === 'on' : type === 'string' ? text : Number(text),
    ]),
);

export interface WorldDisk {
  node: BlockNode;
  disk: ArrayDisk;
}

export class World {
  readonly platform = new VirtualPlatform();
  readonly disks: ArrayDisk[] = [];
  /** `S j0 running`, `BLOCK_JOB_COMPLETED {…}` */
  readonly events: string[] = [];
  readonly graph = createGraph({
    platform: this.platform,
    drivers: [arrayProtocol(this.disks), passFilter, copyBeforeWrite, copyOnRead, qcow2],
    emit: (event) => this.record(event),
  });
  readonly jobs = new JobRegistry({
    platform: this.platform,
    guests: this.graph.guestLatency,
    emit: (event) => this.record(event),
  });

  private record({ name, data }: GraphEvent): void {
    const fields = data as { id?: string; status?: string };
    this.events.push(
      name === 'JOB_STATUS_CHANGE' ? `S ${fields.id} ${fields.status}` : `${name} ${JSON.stringify(data)}`,
    );
  }

  /** What was emitted since the last call. */
  take(): string[] {
    return this.events.splice(0);
  }

  async disk(name: string, size: number, fill?: number): Promise<WorldDisk> {
    const node = await this.graph.open({ driver: 'array', 'node-name': name, size });
    const disk = this.disks.at(-1)!; // just opened
    if (fill !== undefined) disk.bytes.fill(fill);
    return { node, disk };
  }

  /** A qcow2 image on an array disk, over `backing` when there is one, with something in it when that is said. */
  async image(
    name: string,
    size: number,
    backing?: BlockNode,
    content?: { offset: number; bytes: number; value: number },
  ): Promise<BlockNode> {
    const { node: file } = await this.disk(`${name}-file`, 0);
    const root = await attach(file);
    root.allowWriteBeyondEnd = true;
    await createImage(root, { size, ...qcow2Defaults });
    await root.close();
    const more = backing === undefined ? {} : { backing: backing.name };
    const options = { driver: 'qcow2', 'node-name': name, file: file.name, discard: 'unmap', ...more };
    const node = await this.graph.open(options);
    await this.graph.unref(file);
    if (content) {
      const user = await this.guest(node);
      await user.write(content.offset, new Uint8Array(content.bytes).fill(content.value));
      await user.close();
    }
    return node;
  }

  /** All that the disk reads as. */
  async contentOf(node: BlockNode): Promise<Uint8Array> {
    const user = await this.guest(node);
    const content = new Uint8Array(node.length);
    await user.read(0, content);
    await user.close();
    return content;
  }

  /** From now on each request of the disk takes turns of the event loop, fewer than `limit`. */
  slow(disk: ArrayDisk, random: Seeded, limit: number): void {
    Object.defineProperty(disk, 'gate', {
      configurable: true,
      get: async () => {
        for (let turns = random.below(limit); turns > 0; turns--) await this.platform.clock.yield();
      },
    });
  }

  /** A drained section of some node. */
  async drainAny(random: Seeded): Promise<void> {
    const node = random.pick(this.graph.nodes());
    await node.drainBegin();
    await this.platform.clock.yield();
    node.drainEnd();
  }

  /** A disk `a` full of 1, and `t`, as long and empty, that it may be copied to. */
  async pair(bytes: number): Promise<{ a: WorldDisk; t: WorldDisk }> {
    return { a: await this.disk('a', bytes, 1), t: await this.disk('t', bytes) };
  }

  guest(node: BlockNode): Promise<BlockBackend> {
    return attach(node, readWrite);
  }

  /** As the backup actions do: within a drained section of the source. */
  async backup(
    source: BlockNode,
    target: BlockNode,
    options: Partial<BackupCommon> = {},
    transaction?: JobTransaction,
  ): Promise<Job> {
    await source.drainBegin();
    try {
      const job = await createBackupJob(this.graph, this.jobs, {
        source,
        target,
        options: { 'job-id': 'j0', device: source.name, sync: 'full', ...options },
        transaction,
      });
      job.start();
      return job;
    } finally {
      source.drainEnd();
    }
  }

  /** As blockdev-mirror does. */
  mirror(
    source: BlockNode,
    target: BlockNode,
    options: Partial<MirrorCommon> = {},
    more: Partial<MirrorRequest> = {},
  ): Promise<Job> {
    return mirror(this.graph, this.jobs, {
      source,
      target,
      options: { 'job-id': 'j0', device: source.name, target: target.name, sync: 'full', ...options },
      zeroTarget: true,
      unmap: true,
      targetBacking: 'leave',
      filterNodeName: undefined,
      ...more,
    });
  }
}

/** Lines of status changes. */
export function statuses(id: string, ...all: readonly string[]): string[] {
  return all.map((status) => `S ${id} ${status}`);
}

/** The line of an event that tells how far the job is: to its end, at no speed, unless `more` says otherwise. */
export function jobEvent(
  event: 'READY' | 'COMPLETED' | 'CANCELLED',
  { type, id, len }: { type: string; id: string; len: number },
  more: { offset?: number; speed?: number; error?: string } = {},
): string {
  const { offset = len, speed = 0, ...rest } = more;
  return `BLOCK_JOB_${event} ${JSON.stringify({ type, device: id, len, offset, speed, ...rest })}`;
}

/** The line of an error, and of what its policy makes of it. */
export function errorEvent(id: string, operation: string, action: string): string {
  return `BLOCK_JOB_ERROR ${JSON.stringify({ device: id, operation, action })}`;
}

/** A promise and the way to settle it. */
export function gate(): { open(): void; promise: Promise<void> } {
  let open = (): void => {};
  const promise = new Promise<void>((resolve) => {
    open = resolve;
  });
  return { open, promise };
}
