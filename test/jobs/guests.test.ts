/** Guests that make requests all the time, and what jobs that copy do beside them. */
import { describe, expect, it } from 'vitest';
import type { BlockBackend } from '../../host/block/backend.ts';
import { startActiveCommit } from '../../host/jobs/commit/active-commit.ts';
import type { Job } from '../../host/jobs/job.ts';
import { startStream } from '../../host/jobs/stream/stream.ts';
import type { ArrayDisk } from '../support/array-driver.ts';
import { Seeded } from '../support/seeded.ts';
import { kib, mib } from '../support/units.ts';
import { World } from './world.ts';

const defaults = {
  id: 'j0',
  speed: undefined,
  onError: 'report',
  filterNodeName: undefined,
  autoFinalize: undefined,
  autoDismiss: undefined,
} as const;

/** Writes 4 KiB at random, one after the other, and never rests. */
class RestlessGuest {
  readonly content: Uint8Array;
  private isStopping = false;
  private readonly over: Promise<void>;

  private constructor(
    private readonly world: World,
    private readonly disk: BlockBackend,
    private readonly random: Seeded,
  ) {
    this.content = new Uint8Array(disk.length);
    this.over = this.run();
  }

  static async on(world: World, disk: BlockBackend, seed: number): Promise<RestlessGuest> {
    const before = await world.contentOf(disk.node);
    const guest = new RestlessGuest(world, disk, new Seeded(seed));
    guest.content.set(before);
    return guest;
  }

  private async run(): Promise<void> {
    await this.world.platform.clock.yield();
    while (!this.isStopping) {
      const offset = this.random.below(this.content.length / (4 * kib)) * 4 * kib;
      const data = new Uint8Array(4 * kib).fill(1 + this.random.below(255));
      await this.disk.write(offset, data);
      this.content.set(data, offset);
      await this.world.platform.clock.yield();
    }
  }

  async stop(): Promise<void> {
    this.isStopping = true;
    await this.over;
  }
}

/** Of what the disk was told to write after the first writes. */
function longestWrite({ log }: ArrayDisk, first: number): number {
  const writes = log.filter((line) => line.startsWith('write')).slice(first);
  return Math.max(0, ...writes.map((line) => Number(line.split('+')[1])));
}

async function until(world: World, job: Job, statuses: readonly string[]): Promise<void> {
  for (let turns = 0; !statuses.includes(job.status); turns++) {
    if (turns > 3000) throw new Error(`job hangs in ${job.status}`);
    await world.platform.advance(1_000_000);
  }
}

describe('a job beside a guest', () => {
  for (const copyMode of ['background', 'write-blocking'] as const) {
    it(`copies in small pieces, with copy-mode=${copyMode}, and in large ones when there is none`, async () => {
      for (const isAlone of [true, false]) {
        const world = new World();
        const { a, t } = await world.pair(8 * mib);
        const guest = isAlone ? undefined : await RestlessGuest.on(world, await world.guest(a.node), 1);
        world.slow(t.disk, new Seeded(1), 4);
        // One request of that size at a time.
        const job = await world.mirror(a.node, t.node, { 'copy-mode': copyMode, 'buf-size': mib });
        await until(world, job, ['ready']);
        await guest?.stop();
        // The first ones come before the guest has made a request.
        expect(longestWrite(t.disk, 2)).toBe(isAlone ? mib : 64 * kib);
      }
    });
  }

  it('is done with an active commit although the guest writes faster than it is copied', async () => {
    for (let seed = 1; seed <= 3; seed++) {
      const world = new World();
      const base = await world.image('base', 2 * mib, undefined, { offset: 0, bytes: mib, value: 1 });
      const [baseFile] = world.disks;
      const top = await world.image('top', 2 * mib, base, { offset: mib, bytes: mib / 2, value: 2 });
      const guest = await RestlessGuest.on(world, await world.guest(top), seed);
      world.slow(baseFile!, new Seeded(seed), 40); // the base's: it was made first
      const job = await startActiveCommit(world.graph, world.jobs, { ...defaults, top, base });
      await until(world, job, ['ready']);
      await job.complete();
      await until(world, job, ['null']);
      await guest.stop();
      expect(Buffer.compare(await world.contentOf(base), guest.content)).toBe(0);
    }
  });

  it('streams, and leaves the guest alone while it makes that durable', async () => {
    const world = new World();
    const base = await world.image('base', 2 * mib, undefined, { offset: 0, bytes: mib, value: 1 });
    const top = await world.image('top', 2 * mib, base);
    const topFile = world.disks[1]!; // it was made second
    const flush = topFile.flush.bind(topFile);
    const flushedDrained: boolean[] = [];
    topFile.flush = () => {
      flushedDrained.push(top.isDrained);
      return flush();
    };
    const guest = await RestlessGuest.on(world, await world.guest(top), 1);
    const job = await startStream(world.graph, world.jobs, {
      ...defaults,
      node: top,
      base: undefined,
      bottom: undefined,
      backingFile: undefined,
    });
    await until(world, job, ['null']);
    expect(new Set(flushedDrained)).toEqual(new Set([false]));
    await guest.stop();
    expect(top.backing()).toBeUndefined();
    expect(Buffer.compare(await world.contentOf(top), guest.content)).toBe(0);
  });
});
