/**
 * Mirrors and guests at random: whatever the guests write, zero and discard, wherever the target or the source fails,
 * and however often the job is paused and drained in between, in the end the target holds what the guests have written.
 */
import { describe, expect, it } from 'vitest';
import type { BlockBackend } from '../../host/block/backend.ts';
import type { BlockNode } from '../../host/block/node.ts';
import type { Job } from '../../host/jobs/job.ts';
import type { ArrayDisk } from '../support/array-driver.ts';
import { Seeded } from '../support/seeded.ts';
import { kib } from '../support/units.ts';
import { World } from './world.ts';

const diskBytes = 640 * kib + 512;
const sector = 512;

interface Range {
  start: number;
  end: number;
}

/** Guests whose requests overlap in time, but not in place. */
class Guests {
  readonly content = new Uint8Array(diskBytes);
  isStopping = false;
  /** From now on there is time between requests: nobody catches up with guests that never rest. */
  isCalm = false;
  private readonly inFlight = new Set<Range>();

  constructor(
    private readonly world: World,
    private readonly random: Seeded,
    readonly backend: BlockBackend,
  ) {}

  async loop(): Promise<void> {
    while (!this.isStopping) {
      await this.request();
      const { clock } = this.world.platform;
      const pause = this.random.below(4);
      if (this.isCalm)
        await new Promise<void>((resolve) => void clock.setTimer(pause * 1_000_000 + 1, resolve));
      else for (let turns = pause; turns > 0; turns--) await clock.yield();
    }
  }

  async request(): Promise<void> {
    const { random, content } = this;
    const start = random.below(diskBytes / sector) * sector;
    const most = random.below(4) === 0 ? 200 * kib : 6 * kib;
    const end = Math.min(diskBytes, start + sector * (1 + random.below(most / sector)));
    const range = { start, end };
    for (const other of this.inFlight) if (start < other.end && other.start < end) return;
    this.inFlight.add(range);
    const value = random.below(5) === 0 ? 0 : 1 + random.below(255);
    if (value === 0) await this.backend.writeZeroes(start, end - start, { mayUnmap: random.below(2) === 0 });
    else await this.backend.write(start, new Uint8Array(end - start).fill(value));
    content.fill(value, start, end);
    this.inFlight.delete(range);
  }

  get isIdle(): boolean {
    return this.inFlight.size === 0;
  }
}

interface Plan {
  seed: number;
  source: 'array' | 'qcow2' | 'overlay';
  target: 'array' | 'qcow2' | 'overlay';
  writeBlocking: boolean;
  granularity: number;
  bufferBytes: number;
  end: 'complete' | 'soft' | 'force';
  policy: 'ignore' | 'stop';
}

function planOf(seed: number): Plan {
  const random = new Seeded(seed);
  const source = random.pick(['array', 'qcow2', 'overlay'] as const);
  return {
    seed,
    source,
    target: random.pick(
      source === 'overlay' ? (['array', 'qcow2', 'overlay'] as const) : (['array', 'qcow2'] as const),
    ),
    writeBlocking: random.below(2) === 0,
    granularity: random.pick([512, 4096, 64 * kib, 256 * kib]),
    bufferBytes: random.pick([64 * kib, 256 * kib, 16 << 20]),
    end: random.pick(['complete', 'soft', 'complete', 'soft', 'force'] as const),
    policy: random.pick(['ignore', 'stop'] as const),
  };
}

async function open(world: World, kind: Plan['source'], name: string): Promise<BlockNode> {
  if (kind === 'array') return (await world.disk(name, diskBytes)).node;
  return world.image(name, diskBytes, kind === 'overlay' ? world.graph.getNode('base') : undefined);
}

/** Something happens to the job; at once it must be able to go on again. */
async function disturb(world: World, random: Seeded, job: Job, disks: readonly ArrayDisk[]): Promise<void> {
  const { clock } = world.platform;
  switch (random.below(6)) {
    case 0:
      if (!job.userPaused && ['running', 'ready'].includes(job.status)) job.pause();
      break;
    case 1:
      await world.drainAny(random);
      break;
    case 2:
      random.pick(disks).failNext = { op: 'write', errno: random.pick(['EIO', 'ENOSPC'] as const) };
      break;
    case 3:
      if (['running', 'ready', 'paused', 'standby'].includes(job.status)) job.setSpeed(random.below(3) << 22);
      break;
    default:
      await world.platform.advance(random.below(50) * 1_000_000);
  }
  await clock.yield();
  if (job.userPaused && ['running', 'ready', 'paused', 'standby'].includes(job.status)) job.resume();
}

async function until(world: World, job: Job, reached: () => boolean): Promise<void> {
  for (let turns = 0; !reached(); turns++) {
    if (turns > 100) throw new Error(`job hangs in ${job.status}: ${world.events.slice(-5).join(' · ')}`);
    if (job.userPaused && !['waiting', 'pending'].includes(job.status)) job.resume();
    await world.platform.advance(10_000_000);
  }
}

async function simulate(plan: Plan): Promise<void> {
  const world = new World();
  const random = new Seeded(plan.seed + 1);
  const { clock } = world.platform;
  if (plan.source === 'overlay') {
    await world.image('base', diskBytes, undefined, { offset: 100 * kib, bytes: 300 * kib, value: 200 });
  }
  const source = await open(world, plan.source, 'source');
  const before = world.disks.length;
  const target = await open(world, plan.target, 'target');
  const targetDisks = world.disks.slice(before);
  const guests = new Guests(world, random, await world.guest(source));
  await guests.backend.read(0, guests.content);
  for (let i = 0; i < 10; i++) await guests.request();
  for (const disk of world.disks) world.slow(disk, random, 6);
  const loops = [guests.loop(), guests.loop(), guests.loop()];
  const job = await world.mirror(source, target, {
    sync: plan.target === 'overlay' ? 'top' : 'full',
    'copy-mode': plan.writeBlocking ? 'write-blocking' : 'background',
    granularity: plan.granularity,
    'buf-size': plan.bufferBytes,
    'on-target-error': plan.policy,
    'on-source-error': plan.policy,
    'auto-finalize': false,
  });
  for (let i = random.below(12); i > 0; i--) await disturb(world, random, job, targetDisks);
  if (plan.end === 'force') {
    await job.cancel(true);
    await until(world, job, () => job.status === 'null');
  } else {
    guests.isCalm = true;
    job.setSpeed(0);
    await until(world, job, () => job.isReady);
    for (let i = random.below(6); i > 0; i--) await disturb(world, random, job, targetDisks);
    await until(world, job, () => job.status === 'ready');
    if (plan.end === 'complete') await job.complete();
    else await job.cancel(false);
    for (let i = 0; i < 200 && job.status !== 'pending'; i++) await clock.yield();
    guests.isStopping = true;
    await until(world, job, () => job.status === 'pending');
  }
  const atEnd = guests.content.slice();
  if (plan.end !== 'force') {
    await job.finalize();
    expect(job.status).toBe('null');
  }
  guests.isStopping = true;
  await until(world, job, () => guests.isIdle);
  // Those that rest between two requests wait for the clock.
  await world.platform.advance(10_000_000);
  await Promise.all(loops);
  const replaced = plan.end === 'complete';
  expect(guests.backend.node).toBe(replaced ? target : source);
  await guests.backend.close();
  expect(Buffer.compare(await world.contentOf(replaced ? target : source), guests.content)).toBe(0);
  if (plan.end !== 'force') {
    const idle = replaced ? source : target;
    expect(Buffer.compare(await world.contentOf(idle), atEnd)).toBe(0);
  }
  expect([source.references, target.references]).toEqual([1, 1]);
}

describe('a mirror under load', () => {
  for (let seed = 1; seed <= 60; seed++) {
    const plan = planOf(seed);
    const { source, target, end, writeBlocking } = plan;
    it(`${source} to ${target}, ${writeBlocking ? 'write-blocking' : 'background'}, ${end} (seed ${seed})`, async () => {
      await simulate(plan);
    });
  }
});
