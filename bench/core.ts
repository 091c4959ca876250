/**
 * What the core takes for its small operations, through the same wrappers that everybody uses.
 *
 * Each figure is the median over several rounds of a loop long enough for the clock. Results are added up and looked
 * at, so that no compiler may leave a call out. Warm: the first rounds are not counted.
 */
import { HierarchicalBitmap } from '../host/core/bitmap.ts';
import { isZero, ScanArena } from '../host/core/scan.ts';
import type { Report } from './report.ts';
import { median } from './side.ts';

const warmUpRounds = 5;
const rounds = 15;

/** Nanoseconds of one `act`, which `run` does `count` times. */
export function nanosecondsEach(count: number, run: (count: number) => number): number {
  const times: number[] = [];
  for (let round = -warmUpRounds; round < rounds; round++) {
    const start = process.hrtime.bigint();
    sink += run(count);
    const elapsed = Number(process.hrtime.bigint() - start);
    if (round >= 0) times.push(elapsed / count);
  }
  if (Number.isNaN(sink)) throw new Error('a measured function returned no number');
  return median(times);
}

let sink = 0;

const granularity = 65_536;
const bits = 2 ** 24;
const size = bits * granularity;

/** One bit per 64 on average, at places that no stride predicts. */
function sparse(): HierarchicalBitmap {
  const bitmap = HierarchicalBitmap.create(size, granularity);
  for (let i = 0; i < bits / 64; i++) bitmap.set(scattered(i) * granularity, granularity);
  return bitmap;
}

/** The i-th of a sequence that visits every bit once. */
function scattered(i: number): number {
  return Math.imul(i, 0x9e37_79b1) >>> 8;
}

function setOne(): number {
  const bitmap = HierarchicalBitmap.create(size, granularity);
  return nanosecondsEach(1_000_000, (count) => {
    bitmap.clear();
    for (let i = 0; i < count; i++) bitmap.set(scattered(i) * granularity, granularity);
    return bitmap.count;
  });
}

function nextArea(): number {
  const bitmap = sparse();
  let areas = 0;
  const walk = (): number => {
    let sum = 0;
    areas = 0;
    for (const dirty = bitmap.walk(); dirty.next(); areas++) sum += dirty.offset + dirty.bytes;
    return sum;
  };
  walk();
  return nanosecondsEach(areas, walk);
}

/** Asked one by one, as a walk does during which bits change. */
function nextAreaAlone(): number {
  const bitmap = sparse();
  let areas = 0;
  const walk = (): number => {
    let sum = 0;
    areas = 0;
    for (let offset = 0; ; areas++) {
      const area = bitmap.nextDirtyArea(offset, size, size);
      if (!area) return sum;
      offset = area.offset + area.bytes;
      sum += area.bytes;
    }
  };
  walk();
  return nanosecondsEach(areas, walk);
}

function setRun(): number {
  const bitmap = HierarchicalBitmap.create(size, granularity);
  const run = 4096;
  return nanosecondsEach(bits / run - 1, (count) => {
    bitmap.clear();
    // Off by half a word, so that both ends are partial words.
    for (let i = 0; i < count; i++) bitmap.set((i * run + 32) * granularity, run * granularity);
    return bitmap.count;
  });
}

function merge(): number {
  const source = sparse();
  const target = HierarchicalBitmap.create(size, granularity);
  return nanosecondsEach(1, () => {
    target.merge(source);
    return target.count;
  });
}

const scanBytes = 65_536;

function gigabytesPerSecond(nanoseconds: number): number {
  return scanBytes / nanoseconds;
}

function scanInside(): number {
  const arena = new ScanArena(scanBytes + 64);
  const buffer = arena.allocate(scanBytes);
  return nanosecondsEach(5_000, (count) => {
    let zero = 0;
    for (let i = 0; i < count; i++) zero += arena.isZero(buffer, 0, scanBytes) ? 1 : 0;
    return zero;
  });
}

function compareInside(): number {
  const arena = new ScanArena(2 * scanBytes + 128);
  const a = arena.allocate(scanBytes);
  const b = arena.allocate(scanBytes);
  a.bytes.fill(7);
  b.bytes.fill(7);
  return nanosecondsEach(5_000, (count) => {
    let same = 0;
    for (let i = 0; i < count; i++) same += arena.firstDifference(a, b, scanBytes);
    return same;
  });
}

function scanOutside(): number {
  const buffer = new Uint8Array(scanBytes);
  return nanosecondsEach(2_000, (count) => {
    let zero = 0;
    for (let i = 0; i < count; i++) zero += isZero(buffer) ? 1 : 0;
    return zero;
  });
}

/** Adds the rows about the core to `report`. */
export async function benchCore(report: Report): Promise<void> {
  report.heading('the core: a bitmap of 16 M bits, and scans of 64 KiB');
  const row = (name: string, unit: string, ours: number, limit: number): void => {
    report.add({ name, unit, ours, aim: { text: `≤ ${limit} ${unit}`, met: ours <= limit } });
  };
  row('bitmap: set 1', 'ns', setOne(), 25);
  row('bitmap: next dirty area, walking', 'ns', nextArea(), 10);
  report.add({ name: 'bitmap: next dirty area, asked alone', unit: 'ns', ours: nextAreaAlone() });
  row('bitmap: set a run of 4096', 'ns', setRun(), 300);
  row('bitmap: merge', 'ms', merge() / 1e6, 1);
  for (const [name, measure] of [
    ['zero scan in the instance', scanInside],
    ['compare in the instance', compareInside],
    ['zero scan of a buffer elsewhere', scanOutside],
  ] as const) {
    report.add({ name, unit: 'GB/s', ours: gigabytesPerSecond(measure()) });
  }
}
