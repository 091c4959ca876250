/**
 * What holds for every disk, whatever its drivers and wherever it runs: bodies of tests without a test runner, so that
 * Node and browsers run the same. Each returns when it holds, and throws with what it saw otherwise.
 */
import { BlockError, type Errno } from '../../host/base/errors.ts';
import type { BlockBackend } from '../../host/block/backend.ts';
import { blockStatus } from '../../host/block/status.ts';
import type { Prng } from '../../host/platform/sim/prng.ts';

/** Length of every disk that is checked. */
export const diskBytes = 1 << 20;

/** What a disk can do. */
export interface DiskTraits {
  /** Reads give back what was written. */
  stores: boolean;
  /** Absent: any number of times. */
  writable?: 'once' | 'never';
}

export function must(holds: boolean, what: string): void {
  if (!holds) throw new Error(what);
}

function mustEqual(seen: Uint8Array, expected: Uint8Array, what: string): void {
  must(seen.length === expected.length, `${what}: ${seen.length} bytes, not ${expected.length}`);
  // Ten times as fast as a call for each byte, of which there are a million.
  let at = 0;
  while (at < seen.length && seen[at] === expected[at]) at++;
  must(at === seen.length, `${what}: byte ${at} is ${seen[at]}, not ${expected[at]}`);
}

async function mustFail(request: Promise<unknown>, errno: Errno): Promise<void> {
  const outcome = await request.then(
    () => 'no error',
    (error: unknown) => (error instanceof BlockError ? error.errno : error),
  );
  must(outcome === errno, `${errno} expected, and there was ${String(outcome)}`);
}

/** It is as long as it says, and refuses what lies beyond. */
export async function checkBounds(disk: BlockBackend): Promise<void> {
  must(disk.length === diskBytes, `it is ${disk.length} bytes long`);
  await disk.read(diskBytes - 512, new Uint8Array(512));
  for (const offset of [diskBytes - 511, diskBytes, -1, Number.NaN]) {
    await mustFail(disk.read(offset, new Uint8Array(512)), 'EIO');
    await mustFail(disk.write(offset, new Uint8Array(512)), 'EIO');
  }
}

/** It reads zeros after write-zeroes and keeps what is beside. */
export async function checkZeroes(disk: BlockBackend, { stores }: DiskTraits): Promise<void> {
  await disk.write(0, new Uint8Array(diskBytes).fill(7));
  await disk.writeZeroes(1000, 300_000);
  await disk.writeZeroes(500_000, 200_000, { mayUnmap: true });
  const all = new Uint8Array(diskBytes);
  await disk.read(0, all);
  const expected = new Uint8Array(diskBytes).fill(stores ? 7 : 0);
  expected.fill(0, 1000, 301_000).fill(0, 500_000, 700_000);
  mustEqual(all, expected, 'the disk after write-zeroes');
}

/** It describes all of itself in extents that fit together. */
export async function checkExtents(disk: BlockBackend, { stores, writable }: DiskTraits): Promise<void> {
  if (writable !== 'never') await disk.write(123_456, new Uint8Array(77_777).fill(1));
  let offset = 0;
  while (offset < diskBytes) {
    const status = await blockStatus(disk.node, offset, diskBytes - offset);
    must(status.bytes > 0, `an extent of ${status.bytes} bytes at ${offset}`);
    must(offset + status.bytes <= diskBytes, `an extent from ${offset} past the end`);
    if (status.zero && stores) {
      const part = new Uint8Array(status.bytes);
      await disk.read(offset, part);
      mustEqual(part, new Uint8Array(status.bytes), `an extent of zeros at ${offset}`);
    }
    offset += status.bytes;
  }
}

/** It holds what was flushed when it is opened again. */
export async function checkReopening(open: () => Promise<BlockBackend>): Promise<void> {
  const first = await open();
  await first.write(65_000, new Uint8Array(2000).fill(9));
  await first.flush();
  await first.close();
  const second = await open();
  const read = new Uint8Array(2000);
  await second.read(65_000, read);
  mustEqual(read, new Uint8Array(2000).fill(9), 'what was flushed');
  await second.close();
}

/** It gives back what was written: rounds of disjoint requests, all at once, against an array of bytes. */
export async function checkAgainstModel(disk: BlockBackend, random: Prng): Promise<void> {
  const model = new Uint8Array(diskBytes);
  for (let round = 0; round < 4; round++) {
    const requests: Promise<unknown>[] = [];
    for (let offset = random.below(5000); offset < diskBytes; ) {
      const bytes = Math.min(diskBytes - offset, 1 + random.below(90_000));
      const start = offset;
      const kind = random.below(4);
      if (kind === 0) {
        model.fill(0, start, start + bytes);
        requests.push(disk.writeZeroes(start, bytes, { mayUnmap: random.below(2) === 0 }));
      } else if (kind === 1) {
        const expected = model.slice(start, start + bytes);
        const read = new Uint8Array(bytes).fill(0xee);
        requests.push(disk.read(start, read).then(() => mustEqual(read, expected, `bytes from ${start}`)));
      } else {
        const value = 1 + random.below(255);
        model.fill(value, start, start + bytes);
        requests.push(disk.write(start, new Uint8Array(bytes).fill(value)));
      }
      offset += bytes + random.below(30_000);
    }
    await Promise.all(requests);
    if (random.below(2) === 0) await disk.flush();
    const all = new Uint8Array(diskBytes);
    await disk.read(0, all);
    mustEqual(all, model, 'the disk after a round');
  }
}

/**
 * Requests fail with an error, and none hangs; the disk works again when the fault is gone. `fail` brings that about, until what it
 * returns is called.
 */
export async function checkFailing(
  disk: BlockBackend,
  { stores }: DiskTraits,
  random: Prng,
  fail: () => () => void,
): Promise<void> {
  const heal = fail();
  for (const outcome of await Promise.allSettled(randomRequests(disk, random))) {
    if (outcome.status === 'rejected' && !(outcome.reason instanceof BlockError)) throw outcome.reason;
  }
  heal();
  const data = new Uint8Array(4096).fill(3);
  await disk.write(8192, data);
  await disk.flush();
  const read = new Uint8Array(4096);
  await disk.read(8192, read);
  if (stores) mustEqual(read, data, 'what was written after the fault');
}

function* randomRequests(disk: BlockBackend, random: Prng): Generator<Promise<void>> {
  for (let i = 0; i < 24; i++) {
    const offset = random.below(diskBytes / 512) * 512;
    const bytes = Math.min(diskBytes - offset, 512 * (1 + random.below(200)));
    const kind = random.below(5);
    if (kind === 0) yield disk.read(offset, new Uint8Array(bytes));
    else if (kind === 1) yield disk.writeZeroes(offset, bytes, { mayUnmap: random.below(2) === 0 });
    else if (kind === 2) yield disk.flush();
    else yield disk.write(offset, new Uint8Array(bytes).fill(1 + random.below(255)));
  }
}
