/**
 * Points in time under load: guests × backups and filters × sizes of buffer and spill file × slow, failing and full targets
 * × policies × readers. Contents of every copy are exactly those of its instant, whatever happens, and nothing hangs.
 * SAVING sets how many seeds, SAVING_SEED the first.
 */
import { expect, test } from 'vitest';
import type { InsertedFilter } from '../../../host/jobs/filter-insertion.ts';
import { createSimulation, SimulatedCrash } from '../../../host/platform/sim/index.ts';
import { Seeded } from '../../support/seeded.ts';
import { testSeeds } from '../../support/seeds.ts';
import { kib, mib } from '../../support/units.ts';
import { clusterBytes, diskBytes, longestNs, SavingWorld } from './world.ts';

const seeds = Number(process.env['SAVING'] ?? 60);
const firstSeed = Number(process.env['SAVING_SEED'] ?? 1);
/** What happens once in twenty seeds may not happen in fewer than so many. */
const enoughToJudge = 60;

const total: Record<string, number> = {};

function count(what: string, by = 1): void {
  total[what] = (total[what] ?? 0) + by;
}

interface Plan {
  disk: 'raw' | 'qcow2' | 'overlay';
  keeper: 'full' | 'none' | 'top' | 'bitmap' | 'filter';
  target: 'raw' | 'qcow2';
  bytesPerSecond: number;
  buffer: object;
  policy: 'wait' | 'break-snapshot' | 'cancel';
  onError: 'report' | 'stop' | 'ignore';
  isRead: boolean;
  isCut: boolean;
}

function planOf(random: Seeded): Plan {
  const keeper = random.pick(['full', 'full', 'none', 'top', 'bitmap', 'filter', 'filter'] as const);
  const policy = random.pick(['wait', 'wait', 'break-snapshot', 'cancel'] as const);
  return {
    disk: random.pick(['raw', 'qcow2', 'overlay'] as const),
    keeper,
    target: random.pick(['raw', 'qcow2'] as const),
    bytesPerSecond: random.pick([1 * mib, 10 * mib, 1000 * mib]),
    buffer: bufferOf(random),
    policy: keeper === 'filter' && policy === 'cancel' ? 'wait' : policy,
    onError: random.pick(['report', 'stop', 'ignore'] as const),
    isRead: random.oneIn(2),
    isCut: random.oneIn(3),
  };
}

function bufferOf(random: Seeded): object {
  const bytes = random.pick([1, 4 * kib, 20 * kib, 100 * kib, 400 * kib, 64 * mib]);
  if (random.oneIn(2)) return { 'x-cbw-buffer': bytes };
  const max = random.pick([0, 4 * kib, 60 * kib, 500 * kib, undefined]);
  return {
    'x-cbw-buffer': bytes,
    'x-cbw-spill': random.pick(['auto', '/spill']),
    ...(max !== undefined && { 'x-cbw-spill-max': max }),
  };
}

/** Begins to keep the point in time. Given back: what ends that for a filter. */
async function start(world: SavingWorld, plan: Plan): Promise<InsertedFilter | undefined> {
  const policy = plan.policy === 'wait' ? {} : { 'x-cbw-policy': plan.policy };
  if (plan.keeper === 'filter') return world.insertFilter({ ...plan.buffer, ...policy });
  await world.execute('blockdev-backup', {
    'job-id': 'job',
    device: 'disk',
    target: 'target',
    'filter-node-name': 'filter',
    sync: plan.keeper,
    ...(plan.keeper === 'bitmap' && { bitmap: 'bits', 'bitmap-mode': 'always' }),
    'on-target-error': plan.onError,
    'on-source-error': plan.onError,
    'auto-dismiss': false,
    'x-perf': { 'max-workers': world.random.pick([1, 4, 64]) },
    ...plan.buffer,
    ...policy,
  });
  return undefined;
}

/** Something happens that everything must survive. */
async function disturb(world: SavingWorld): Promise<void> {
  const { random, server } = world;
  const job = server.jobs.find('job');
  switch (random.below(7)) {
    case 0:
      world.fail({
        errno: random.pick(['EIO', 'ENOSPC']),
        type: 'write',
        path: '/target',
        times: 1 + random.below(3),
      });
      count('target faults');
      break;
    case 1: {
      const isSpill = ({ path }: { path: string }): boolean => path === '/spill' || path.startsWith('/tmp/');
      const type = random.pick(['write', 'write', 'read'] as const);
      world.fail({ errno: 'ENOSPC', type, when: isSpill, times: 1 + random.below(3) });
      count('spill faults');
      break;
    }
    case 2:
      world.fail({ errno: 'EIO', type: 'read', path: '/disk', after: random.below(20), times: 1 });
      count('source faults');
      break;
    case 3: {
      const node = random.pick(server.graph.nodes());
      await node.drainBegin();
      await world.wait(random.below(300_000));
      node.drainEnd();
      break;
    }
    case 4:
      if (job?.status === 'running' && !job.userPaused) job.pause();
      break;
    default:
  }
  await world.wait(random.below(3_000_000));
  if (job?.userPaused && ['running', 'paused'].includes(job.status)) job.resume();
}

interface Saving {
  job?: string;
  fill?: { buffered: number; spilled: number };
  'guest-waits': number;
}

async function saving(world: SavingWorld): Promise<Saving | undefined> {
  return (await world.execute<Saving[]>('x-query-cbw'))[0];
}

async function until(
  world: SavingWorld,
  what: string,
  reached: () => boolean | Promise<boolean>,
): Promise<void> {
  const endNs = world.simulation.nowNs + longestNs;
  while (!(await reached())) {
    if (world.simulation.nowNs > endNs) throw new Error(`${what} does not come`);
    const job = world.server.jobs.find('job');
    if (job?.userPaused && ['running', 'paused'].includes(job.status)) job.resume();
    await world.wait(1_000_000);
  }
}

/** Every cluster that `counts` is the point in time's. */
function compare(found: Uint8Array, instant: Uint8Array, counts: (cluster: number) => boolean): void {
  for (let at = 0; at < diskBytes; at += clusterBytes) {
    if (!counts(at / clusterBytes)) continue;
    const end = Math.min(diskBytes, at + clusterBytes);
    if (Buffer.compare(found.subarray(at, end), instant.subarray(at, end)) === 0) continue;
    const wrong = found.subarray(at, end).findIndex((byte, i) => byte !== instant[at + i]);
    throw new Error(`the copy has ${found[at + wrong]} at ${at + wrong} and not ${instant[at + wrong]}`);
  }
}

async function endJob(
  world: SavingWorld,
  plan: Plan,
  instant: Uint8Array,
  top: (cluster: number) => boolean,
): Promise<void> {
  const job = world.server.jobs.get('job');
  if (plan.keeper === 'none') {
    await world.stopGuests();
    const isDrained = async (): Promise<boolean> => {
      const fill = (await saving(world))?.fill;
      return job.status === 'concluded' || (fill?.buffered === 0 && fill.spilled === 0);
    };
    await until(world, 'an empty buffer', isDrained);
    if (job.status !== 'concluded') {
      const found = await world.contentOf('target');
      compare(found, instant, (cluster) => world.written.has(cluster));
      count('drained');
    }
    await job.cancelAnyway(true);
  } else if (plan.isCut) {
    await job.cancelAnyway(true);
  } else {
    await until(world, 'the end of the job', () => job.status === 'concluded');
  }
  await until(world, 'the end of the job', () => job.status === 'concluded');
  await world.stopGuests();
  await world.stopReaders();
  if (plan.keeper === 'bitmap') {
    const dirty = world.dirtyClusters('bits');
    compare(await world.contentOf('target'), instant, (cluster) => !dirty.has(cluster));
    count('bitmaps');
  }
  if (job.error) {
    count(`failed: ${job.error.message}`);
  } else {
    compare(await world.contentOf('target'), instant, top);
    count('complete');
  }
}

async function endFilter(
  world: SavingWorld,
  plan: Plan,
  filter: InsertedFilter,
  instant: Uint8Array,
): Promise<void> {
  await world.stopGuests();
  await world.stopReaders();
  await filter.remove();
  // It says so when the target has not got everything.
  if (world.simulation.output.stderr.length > 0 || plan.policy !== 'wait') return count('lossy filters');
  compare(await world.contentOf('target'), instant, (cluster) => world.written.has(cluster));
  count('filters');
}

async function story(world: SavingWorld, plan: Plan): Promise<void> {
  const { random } = world;
  await world.openDisk(plan.disk);
  const before = world.content.slice();
  if (plan.keeper === 'bitmap') {
    await world.execute('block-dirty-bitmap-add', { node: 'disk', name: 'bits', granularity: 65536 });
    world.startGuests(2);
    await world.wait(random.below(1_000_000));
    await world.stopGuests();
  }
  await world.addTarget(
    'target',
    plan.target,
    plan.bytesPerSecond,
    plan.keeper === 'bitmap' ? before : undefined,
  );
  world.startGuests(2);
  await world.wait(random.below(500_000));
  await world.stopGuests();
  const instant = world.content.slice();
  const top = await world.allocatedClusters();
  world.written.clear();
  const filter = await start(world, plan);
  // Of the others the target has something else where nothing is to be copied.
  const isWhole = plan.keeper !== 'bitmap' && plan.keeper !== 'top';
  if (plan.isRead && isWhole) await world.startReader('filter', instant);
  world.startGuests(1 + random.below(5));
  let last: Saving | undefined;
  let spilledBytes = 0;
  for (let steps = 2 + random.below(6); steps > 0; steps--) {
    await disturb(world);
    last = (await saving(world)) ?? last;
    spilledBytes = Math.max(spilledBytes, last?.fill?.spilled ?? 0);
  }
  count('waits', last?.['guest-waits'] ?? 0);
  if (spilledBytes > 0) count('spilling');
  if (random.oneIn(2)) world.repair();
  if (filter) await endFilter(world, plan, filter, instant);
  else await endJob(world, plan, instant, (cluster) => plan.keeper !== 'top' || top.has(cluster));
  count('reads', world.reads);
  count('failed writes', world.failedWrites);
  if (world.events.includes('X_CBW_BUFFER_NEARLY_FULL')) count('alarms');
  await world.close();
}

async function simulate(seed: number): Promise<void> {
  const random = new Seeded(seed);
  const plan = planOf(random);
  const simulation = createSimulation(seed, {
    latency: { minNs: 1000, maxNs: 60_000 },
    cachedPercent: (seed % 3) * 45,
    record: false,
  });
  const killNs = random.oneIn(6) ? random.below(20_000_000) : undefined;
  try {
    await simulation.run(async () => {
      if (killNs !== undefined) simulation.platform.clock.setTimer(killNs, () => simulation.crash());
      await story(new SavingWorld(simulation, random), plan);
    });
    expect(simulation.openFiles).toEqual([]);
  } catch (error) {
    if (!(error instanceof SimulatedCrash)) throw new Error(JSON.stringify(plan), { cause: error });
    count('kills');
  }
  // Spill files have no names.
  expect(simulation.storage.paths().filter((path) => /spill/.test(path))).toEqual([]);
}

testSeeds({ first: firstSeed, count: seeds, batch: 20 }, simulate);

if (seeds >= enoughToJudge)
  test('everything happened often enough to mean something', () => {
    if (process.env['SAVING_SHOW']) console.log(total);
    for (const what of ['complete', 'drained', 'filters', 'bitmaps', 'spilling', 'kills', 'alarms']) {
      expect(total[what] ?? 0, what).toBeGreaterThan(0);
    }
    for (const what of ['waits', 'reads']) expect(total[what], what).toBeGreaterThan(3 * seeds);
  });
