/**
 * Streams and intermediate commits at random: whatever the guest writes meanwhile, wherever an image fails, and however
 * often the job is paused, drained and slowed down, no disk ever reads as anything but what was written to it, and in the
 * end the chain is either as it was or as it was asked for.
 */
import { describe, expect, test } from 'vitest';
import { BlockError } from '../../host/base/errors.ts';
import type { BlockBackend } from '../../host/block/backend.ts';
import type { OnError } from '../../host/block/error-policy.ts';
import type { BlockNode } from '../../host/block/node.ts';
import { checkImage } from '../../host/formats/qcow2/check/check.ts';
import { startCommit } from '../../host/jobs/commit/commit.ts';
import type { Job } from '../../host/jobs/job.ts';
import { startStream } from '../../host/jobs/stream/stream.ts';
import type { ArrayDisk } from '../support/array-driver.ts';
import { firstDifference } from '../support/bytes.ts';
import { Seeded } from '../support/seeded.ts';
import { kib } from '../support/units.ts';
import { World } from './world.ts';

const sector = 512;

interface Layer {
  node: BlockNode;
  disk: ArrayDisk;
  /** What the disk reads as, through all layers below. */
  content: Uint8Array;
}

interface Scene {
  world: World;
  random: Seeded;
  /** Lowest first. */
  layers: Layer[];
  guest: BlockBackend;
  /** A request was made to fail. */
  hasFailed: boolean;
}

async function build(seed: number): Promise<Scene> {
  const random = new Seeded(seed);
  const world = new World();
  const layers: Layer[] = [];
  const count = 3 + random.below(3);
  for (let i = 0; i < count; i++) {
    const below = layers.at(-1);
    // Now and then a layer is larger than what is below it.
    const bytes = (below?.content.length ?? 1280 * kib) + (random.oneIn(3) ? 320 * kib + sector : 0);
    const node = await world.image(`n${i}`, bytes, below?.node);
    const disk = world.disks.at(-1)!; // of the image
    const content = new Uint8Array(bytes);
    content.set(below?.content ?? []);
    const layer = { node, disk, content };
    const user = await world.guest(node);
    for (let writes = random.below(6); writes > 0; writes--) await change(random, user, content);
    await user.close();
    layers.push(layer);
  }
  return { world, random, layers, guest: await world.guest(layers.at(-1)!.node), hasFailed: false };
}

async function change(random: Seeded, user: BlockBackend, content: Uint8Array): Promise<void> {
  const start = random.below(content.length / sector) * sector;
  const most = random.oneIn(3) ? 300 * kib : 8 * kib;
  const bytes = Math.min(content.length - start, sector * (1 + random.below(most / sector)));
  const value = random.oneIn(4) ? 0 : 1 + random.below(255);
  const mayUnmap = random.oneIn(2);
  await persistently(() =>
    value === 0
      ? user.writeZeroes(start, bytes, { mayUnmap })
      : user.write(start, new Uint8Array(bytes).fill(value)),
  );
  content.fill(value, start, start + bytes);
}

/** A failure that was meant for the job may meet the guest. */
async function persistently(request: () => Promise<void>): Promise<void> {
  for (;;) {
    try {
      return await request();
    } catch (error) {
      if (!(error instanceof BlockError)) throw error;
    }
  }
}

/** One request after another; each read must find what was written. */
class Guest {
  private isStopping = false;

  constructor(
    private readonly scene: Scene,
    private readonly content: Uint8Array,
  ) {}

  async loop(): Promise<void> {
    const { random, guest, world } = this.scene;
    const buffer = new Uint8Array(64 * kib);
    while (!this.isStopping) {
      if (random.oneIn(2)) await change(random, guest, this.content);
      else {
        const start = random.below((this.content.length - buffer.length) / sector) * sector;
        await persistently(() => guest.read(start, buffer));
        expectEqual(buffer, this.content.subarray(start, start + buffer.length), 'a read');
      }
      for (let turns = random.below(4); turns > 0; turns--) await world.platform.clock.yield();
    }
  }

  stop(): void {
    this.isStopping = true;
  }
}

function expectEqual(found: Uint8Array, expected: Uint8Array, what: string): void {
  const at = firstDifference(found, expected);
  if (at < 0) return;
  throw new Error(`${what} differs at ${at}: ${found[at]} for ${expected[at]}`);
}

async function expectContent(world: World, { node, content }: Layer): Promise<void> {
  expectEqual(await world.contentOf(node), content, node.name);
}

/** Closes all images, after which each must be in order by itself. */
async function close({ world, layers, guest, hasFailed }: Scene): Promise<void> {
  await guest.close();
  for (const { node } of [...layers].reverse()) await world.graph.unref(node);
  expect(world.graph.nodes()).toEqual([]);
  for (const { disk } of layers) {
    const result = await checkImage(
      {
        length: disk.bytes.length,
        read: (offset, buffer) => disk.read(offset, buffer),
        write: (offset, buffer) => disk.write(offset, buffer),
        flush: () => disk.flush(),
      },
      { fix: { leaks: false, errors: false }, report: () => {} },
    );
    expect(result).toMatchObject({ corruptions: 0, checkErrors: 0 });
    // Space may be lost when a write fails.
    if (!hasFailed) expect(result.leaks).toBe(0);
  }
}

async function disturb(scene: Scene, job: Job): Promise<void> {
  const { world, random, layers } = scene;
  const { clock } = world.platform;
  const isOver = (): boolean => !['running', 'paused'].includes(job.status);
  switch (random.below(5)) {
    case 0:
      if (!isOver() && !job.userPaused) job.pause();
      break;
    case 1:
      await world.drainAny(random);
      break;
    case 2:
      if (!isOver()) job.setSpeed(random.below(3) << 20);
      break;
    case 3: {
      // The guest's own requests must not be the ones that fail.
      const { disk } = random.pick(layers.slice(0, -1));
      scene.hasFailed = true;
      disk.failNext = { op: random.pick(['read', 'write']), errno: random.pick(['EIO', 'ENOSPC']) };
      break;
    }
    default:
      await world.platform.advance(random.below(200) * 1_000_000);
  }
  await clock.yield();
  if (job.userPaused && !isOver()) job.resume();
}

/** To its end, on which it insists against all pauses. */
async function finish(world: World, job: Job): Promise<void> {
  for (let turns = 0; job.status !== 'null'; turns++) {
    if (turns > 3000) throw new Error(`job hangs in ${job.status}: ${world.events.slice(-5).join(' · ')}`);
    if (job.status === 'pending') await job.finalize();
    else if (job.userPaused && job.status === 'paused') job.resume();
    await world.platform.advance(10_000_000);
  }
}

function settleDisks({ layers }: Scene): void {
  for (const { disk } of layers) {
    Object.defineProperty(disk, 'gate', { configurable: true, value: undefined });
    disk.failNext = undefined;
  }
}

interface Outcome {
  scene: Scene;
  succeeded: boolean;
}

const common = {
  backingFile: undefined,
  autoFinalize: false,
  autoDismiss: undefined,
  filterNodeName: undefined,
};

async function simulate(
  seed: number,
  start: (scene: Scene, onError: OnError) => Promise<Job>,
): Promise<Outcome> {
  const scene = await build(seed);
  const { world, random, layers } = scene;
  for (const { disk } of layers) world.slow(disk, random, 4);
  const guest = new Guest(scene, layers.at(-1)!.content);
  const loop = guest.loop();
  const job = await start(scene, random.pick(['report', 'stop', 'enospc'] as const));
  for (let i = random.below(10); i > 0 && job.status !== 'null'; i--) await disturb(scene, job);
  if (random.oneIn(5) && !['aborting', 'concluded', 'null'].includes(job.status)) await job.cancel(true);
  await finish(world, job);
  guest.stop();
  await world.platform.advance(1e9);
  await loop;
  settleDisks(scene);
  expect(world.graph.nodes().filter(({ definition }) => definition.kind === 'filter')).toEqual([]);
  return { scene, succeeded: job.error === undefined };
}

const links = ({ layers }: Scene): (string | undefined)[] => layers.map(({ node }) => node.backing()?.name);

/** How often jobs came to which end, so that a test that only ever sees failures is noticed. */
const seen = { succeeded: 0, failed: 0 };

describe('jobs on random chains', () => {
  const seeds = Array.from({ length: 40 }, (_, i) => i + 1);

  test.each(seeds)('stream, seed %i', async (seed) => {
    let [from, base] = [0, -1];
    let before: (string | undefined)[] = [];
    const { scene, succeeded } = await simulate(seed, (scene, onError) => {
      const { layers, random, world } = scene;
      from = 1 + random.below(layers.length - 1);
      base = random.below(from + 1) - 1;
      before = links(scene);
      const byBottom = random.oneIn(2);
      return startStream(world.graph, world.jobs, {
        ...common,
        id: 'j',
        node: layers[from]!.node,
        base: byBottom || base < 0 ? undefined : layers[base]!.node,
        bottom: byBottom ? layers[base + 1]!.node : undefined,
        onError,
        speed: random.pick([0, 1 << 20]),
      });
    });
    seen[succeeded ? 'succeeded' : 'failed']++;
    const expected = [...before];
    if (succeeded) expected[from] = base < 0 ? undefined : `n${base}`;
    expect(links(scene)).toEqual(expected);
    for (const layer of scene.layers) await expectContent(scene.world, layer);
    await close(scene);
  });

  test.each(seeds)('commit, seed %i', async (seed) => {
    let [top, base] = [0, 0];
    let before: (string | undefined)[] = [];
    const { scene, succeeded } = await simulate(seed, (scene, onError) => {
      const { layers, random, world } = scene;
      top = 1 + random.below(layers.length - 2);
      base = random.below(top);
      before = links(scene);
      return startCommit(world.graph, world.jobs, {
        ...common,
        id: 'j',
        device: layers.at(-1)!.node,
        top: layers[top]!.node,
        base: layers[base]!.node,
        onError,
        speed: random.pick([0, 1 << 20]),
      });
    });
    seen[succeeded ? 'succeeded' : 'failed']++;
    const { layers, world } = scene;
    const expected = [...before];
    if (succeeded) expected[top + 1] = `n${base}`;
    expect(links(scene)).toEqual(expected);
    // What lies between shows the base through its holes, which has changed.
    for (const layer of [...layers.slice(0, base), ...layers.slice(top)]) await expectContent(world, layer);
    if (succeeded) await expectContent(world, { ...layers[base]!, content: layers[top]!.content });
    await close(scene);
  });

  test('some of them succeeded and some failed', () => {
    expect(seen.succeeded).toBeGreaterThan(20);
    expect(seen.failed).toBeGreaterThan(10);
  });
});
