/**
 * A guest over NBD, before and while its disk is backed up to a target of 20 MB/s: ours next to the real storage daemon,
 * each a process of its own. The guest is fio: 32 KiB at random, eight at a time, over the first half of the disk.
 *
 * Images are on tmpfs where there is one, so that no disk decides; the target is as slow as its throttle says. What is told
 * is what the guest keeps of what it had alone, on the same daemon just before.
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
}

const loads: readonly Load[] = [
  { name: '32 KiB, depth 8', fio: ['--rw=randwrite', '--bs=32k', '--iodepth=8'] },
  { name: '4 KiB, depth 1', fio: ['--rw=randwrite', '--bs=4k', '--iodepth=1'] },
];

interface Side {
  readonly name: string;
  readonly daemon: Command;
  /** Options of the backup. */
  readonly options: object;
}

const monitor = ['--chardev', 'stdio,id=c', '--monitor', 'chardev=c'];

function sides(): Side[] {
  const own = ours('storage-daemon', ...monitor);
  const real = theirs('qemu-storage-daemon', ...monitor);
  return [
    { name: 'spill', daemon: own, options: { 'x-cbw-spill': 'auto' } },
    { name: 'no spill', daemon: own, options: {} },
    ...(real ? [{ name: 'QEMU', daemon: real, options: {} }] : []),
  ];
}

/** `seconds`: how long each load is measured. */
export async function benchNbdGuest(report: Report, seconds: number): Promise<void> {
  if (!theirs('fio')) {
    report.heading('a guest over NBD: not measured, fio is not installed');
    return;
  }
  report.heading(`a guest over NBD while its disk is backed up at 20 MB/s, ${seconds} s each`);
  for (const load of loads) {
    const found = new Map<string, Kept>();
    for (const side of sides()) found.set(side.name, await measure(side, load, seconds));
    const real = found.get('QEMU');
    for (const [name, kept] of found) if (kept !== real) addRows(report, `${load.name}, ${name}`, kept, real);
  }
}

/** With the backup; and alone, just before. */
interface Kept {
  readonly share: number;
  readonly p99Ms: number;
  readonly p99AloneMs: number;
  readonly longestMs: number;
}

function addRows(report: Report, name: string, kept: Kept, real: Kept | undefined): void {
  const hasSpill = name.endsWith(', spill');
  report.add({
    name: `${name}: IOPS kept`,
    unit: '%',
    ours: kept.share * 100,
    theirs: real && real.share * 100,
    aim: hasSpill ? { text: '≥ 80 %', met: kept.share >= 0.8 } : undefined,
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
    aim: hasSpill ? { text: '≤ 50 ms', met: kept.longestMs <= 50 } : undefined,
  });
}

async function measure({ daemon, options }: Side, load: Load, seconds: number): Promise<Kept> {
  const folder = memoryFolder();
  try {
    const [disk, target, socket] = ['disk', 'target', 'socket'].map((name) => join(folder, name)) as [
      string,
      string,
      string,
    ];
    makeImage(disk, diskBytes);
    await run(ours('img', 'create', '-q', '-f', 'qcow2', target, String(diskBytes)));
    const qmp = await QmpChild.start(daemon);
    await qmp.run('blockdev-add', {
      driver: 'raw',
      'node-name': 'disk',
      file: { driver: 'file', filename: disk },
    });
    await qmp.run('object-add', {
      'qom-type': 'throttle-group',
      id: 'slow',
      limits: { 'bps-write': targetBytesPerSecond },
    });
    await qmp.run('blockdev-add', {
      driver: 'qcow2',
      'node-name': 'target',
      file: { driver: 'throttle', 'throttle-group': 'slow', file: { driver: 'file', filename: target } },
    });
    await qmp.run('nbd-server-start', { addr: { type: 'unix', data: { path: socket } } });
    await qmp.run('block-export-add', { type: 'nbd', id: 'e', 'node-name': 'disk', writable: true });
    const work = [...load.fio, `--size=${guestBytes}`];
    const uri = `nbd+unix:///disk?socket=${socket}`;
    const alone = await runFio(uri, work, seconds);
    await qmp.run('blockdev-backup', {
      'job-id': 'j',
      device: 'disk',
      target: 'target',
      sync: 'full',
      ...options,
    });
    const during = await runFio(uri, work, seconds);
    await qmp.run('block-job-cancel', { device: 'j', force: true });
    await qmp.quit();
    return {
      share: during.rate / alone.rate,
      p99Ms: during.p99Ms,
      p99AloneMs: alone.p99Ms,
      longestMs: during.longestMs,
    };
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}
