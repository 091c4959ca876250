/**
 * A guest over NBD, before and while its disk is backed up to a target of 20 MB/s, or twice at once while another disk is
 * mirrored: ours next to the real storage daemon, each a process of its own. The guest is fio, at random over the first half
 * of the disk.
 *
 * Images are on tmpfs where there is one, so that no disk decides; each target is as slow as its throttle says. What is told
 * is what the guest keeps of what it had alone, on the same daemon just before; and of a buffer without a spill file, how
 * long guests waited before it was full.
 */
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { runFio } from './fio.ts';
import { makeImage, memoryFolder } from './images.ts';
import { QmpChild } from './qmp.ts';
import type { Report } from './report.ts';
import { type Command, ours, run, theirs } from './side.ts';

const diskBytes = 4 * 2 ** 30;
const guestBytes = diskBytes / 2;
const targetBytesPerSecond = 20e6;

interface Load {
  readonly name: string;
  readonly fio: readonly string[];
  readonly jobs: 'backup' | 'two backups and a mirror';
  /** Percent of its requests in a second that the guest is to keep. */
  readonly keptAim: number;
  /** Sides that are measured, QEMU beside. */
  readonly sides: readonly SideName[];
}

type SideName = 'spill' | 'no spill' | 'QEMU';

const manyLarge = ['--rw=randwrite', '--bs=32k', '--iodepth=8'];

const loads: readonly Load[] = [
  {
    name: '32 KiB, depth 8',
    fio: manyLarge,
    jobs: 'backup',
    keptAim: 80,
    sides: ['spill', 'no spill', 'QEMU'],
  },
  {
    name: '4 KiB, depth 1',
    fio: ['--rw=randwrite', '--bs=4k', '--iodepth=1'],
    jobs: 'backup',
    keptAim: 80,
    sides: ['spill', 'no spill', 'QEMU'],
  },
  {
    name: '32 KiB, depth 8, two backups and a mirror',
    fio: manyLarge,
    jobs: 'two backups and a mirror',
    keptAim: 60,
    sides: ['spill', 'QEMU'],
  },
];

interface Side {
  readonly name: SideName;
  readonly daemon: Command;
  /** Options of the backup. */
  readonly options: object;
}

const monitor = ['--chardev', 'stdio,id=c', '--monitor', 'chardev=c'];

function sidesOf(load: Load): Side[] {
  const own = ours('storage-daemon', ...monitor);
  const real = theirs('qemu-storage-daemon', ...monitor);
  const all: readonly Side[] = [
    { name: 'spill', daemon: own, options: { 'x-cbw-spill': 'auto' } },
    { name: 'no spill', daemon: own, options: {} },
    ...(real ? [{ name: 'QEMU', daemon: real, options: {} } as const] : []),
  ];
  return all.filter(({ name }) => load.sides.includes(name));
}

/** `seconds`: how long each load is measured. */
export async function benchNbdGuest(report: Report, seconds: number): Promise<void> {
  if (!theirs('fio')) {
    report.heading('a guest over NBD: not measured, fio is not installed');
    return;
  }
  report.heading(`a guest over NBD while its disk is backed up at 20 MB/s, ${seconds} s each`);
  for (const load of loads) {
    const found = new Map<SideName, Kept>();
    for (const side of sidesOf(load)) found.set(side.name, await measure(side, load, seconds));
    const real = found.get('QEMU');
    for (const [name, kept] of found) if (kept !== real) addRows(report, load, name, kept, real);
  }
}

/** With the jobs; and alone, just before. */
interface Kept {
  readonly share: number;
  readonly p99Ms: number;
  readonly p99AloneMs: number;
  readonly longestMs: number;
  /** Of our own waits for old data to be saved, until the buffer was four fifths full, if it ever was. */
  readonly longestBeforeFullMs: number | undefined;
}

function addRows(report: Report, load: Load, side: SideName, kept: Kept, real: Kept | undefined): void {
  const name = `${load.name}, ${side}`;
  const hasSpill = side === 'spill';
  report.add({
    name: `${name}: IOPS kept`,
    unit: '%',
    ours: kept.share * 100,
    theirs: real && real.share * 100,
    aim: hasSpill ? { text: `≥ ${load.keptAim} %`, met: kept.share * 100 >= load.keptAim } : undefined,
  });
  const added = kept.p99Ms - kept.p99AloneMs;
  const isSingle = name.startsWith('4 KiB');
  report.add({
    name: `${name}: 99 %${isSingle ? ', more than alone' : ''}`,
    unit: 'ms',
    ours: isSingle ? added : kept.p99Ms,
    theirs: real && (isSingle ? real.p99Ms - real.p99AloneMs : real.p99Ms),
    aim: !hasSpill
      ? undefined
      : isSingle
        ? { text: '< 1 ms', met: added < 1 }
        : { text: '< 5 ms', met: kept.p99Ms < 5 },
  });
  report.add({
    name: `${name}: longest`,
    unit: 'ms',
    ours: kept.longestMs,
    theirs: real?.longestMs,
    aim: hasSpill
      ? { text: '≤ 50 ms', met: kept.longestMs <= 50 }
      : real && { text: '≤ 3 × QEMU', met: kept.longestMs <= 3 * real.longestMs },
  });
  const { longestBeforeFullMs: early } = kept;
  if (hasSpill || early === undefined) return;
  report.add({
    name: `${name}: longest wait before the buffer is full`,
    unit: 'ms',
    ours: early,
    aim: { text: '≤ 50 ms', met: early <= 50 },
  });
}

/** A daemon with the guest's disk, and what belongs to it. */
class World {
  private constructor(
    private readonly qmp: QmpChild,
    private readonly folder: string,
  ) {}

  static async start(daemon: Command, folder: string): Promise<World> {
    const world = new World(await QmpChild.start(daemon), folder);
    const { qmp } = world;
    await world.addDisk('disk', diskBytes);
    const path = join(folder, 'socket');
    await qmp.run('nbd-server-start', { addr: { type: 'unix', data: { path } } });
    await qmp.run('block-export-add', { type: 'nbd', id: 'e', 'node-name': 'disk', writable: true });
    return world;
  }

  guest({ fio }: Load, seconds: number): ReturnType<typeof runFio> {
    const uri = `nbd+unix:///disk?socket=${join(this.folder, 'socket')}`;
    return runFio(uri, [...fio, `--size=${guestBytes}`], seconds);
  }

  private async addDisk(name: string, bytes: number): Promise<void> {
    const filename = join(this.folder, name);
    makeImage(filename, bytes);
    await this.qmp.run('blockdev-add', {
      driver: 'raw',
      'node-name': name,
      file: { driver: 'file', filename },
    });
  }

  private async addTarget(name: string, bytes: number): Promise<void> {
    const filename = join(this.folder, name);
    await run(ours('img', 'create', '-q', '-f', 'qcow2', filename, String(bytes)));
    await this.qmp.run('object-add', {
      'qom-type': 'throttle-group',
      id: `limit-of-${name}`,
      limits: { 'bps-write': targetBytesPerSecond },
    });
    const file = { driver: 'file', filename };
    await this.qmp.run('blockdev-add', {
      driver: 'qcow2',
      'node-name': name,
      file: { driver: 'throttle', 'throttle-group': `limit-of-${name}`, file },
    });
  }

  /** Given back: the jobs, in the order in which they can be ended. */
  async startJobs(jobs: Load['jobs'], options: object): Promise<string[]> {
    if (jobs === 'backup') return [await this.startBackup('target', options)];
    await this.addDisk('other', guestBytes);
    await this.addTarget('copy', guestBytes);
    const backups = [await this.startBackup('target', options), await this.startBackup('second', options)];
    await this.qmp.run('blockdev-mirror', {
      'job-id': 'copy',
      device: 'other',
      target: 'copy',
      sync: 'full',
    });
    return ['copy', ...backups.toReversed()];
  }

  private async startBackup(target: string, options: object): Promise<string> {
    await this.addTarget(target, diskBytes);
    await this.qmp.run('blockdev-backup', {
      'job-id': target,
      device: 'disk',
      target,
      sync: 'full',
      ...options,
    });
    return target;
  }

  /** How long guests have waited at most when the buffer is four fifths full. Never settles when it never is, as in QEMU. */
  async longestBeforeFullMs(): Promise<number> {
    await this.qmp.event('X_CBW_BUFFER_NEARLY_FULL');
    const [saving] = (await this.qmp.run('x-query-cbw', {})) as { 'wait-max-ns': number }[];
    return (saving?.['wait-max-ns'] ?? Number.NaN) / 1e6;
  }

  async end(jobs: readonly string[]): Promise<void> {
    for (const device of jobs) await this.qmp.run('block-job-cancel', { device, force: true });
    await this.qmp.quit();
  }
}

async function measure({ daemon, options }: Side, load: Load, seconds: number): Promise<Kept> {
  const folder = memoryFolder();
  try {
    const world = await World.start(daemon, folder);
    const alone = await world.guest(load, seconds);
    let longestBeforeFullMs: number | undefined;
    void world.longestBeforeFullMs().then((ms) => {
      longestBeforeFullMs = ms;
    });
    const jobs = await world.startJobs(load.jobs, options);
    const during = await world.guest(load, seconds);
    await world.end(jobs);
    return {
      share: during.rate / alone.rate,
      p99Ms: during.p99Ms,
      p99AloneMs: alone.p99Ms,
      longestMs: during.longestMs,
      longestBeforeFullMs,
    };
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}
