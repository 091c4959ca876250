/**
 * A guest's disk and what it must contain: a model of sectors, each with the number of the write that filled it.
 *
 * A sector must read as its last completed write. Two things make that wider: a write that failed may have reached any
 * of its sectors, and a process that was killed may have lost what was written since the last flush. Both leave a set of
 * allowed numbers, which the next look at the disk narrows to one.
 */

import { BlockError } from '../../../host/base/errors.ts';
import type { BlockBackend } from '../../../host/block/backend.ts';
import type { Seeded } from '../../support/seeded.ts';

export const sectorBytes = 512;

export class GuestDisk {
  /** What each sector must read as. */
  private readonly last: Uint32Array;
  /** What it was at the last completed flush. */
  private readonly stable: Uint32Array;
  /** Written since then, or by requests that failed: what it may be instead. */
  private readonly others = new Map<number, Set<number>>();
  private readonly busy = new Set<number>();
  private failures = 0;

  constructor(
    readonly name: string,
    readonly sectors: number,
    private readonly random: Seeded,
    private readonly numbers: { next: number },
  ) {
    this.last = new Uint32Array(sectors);
    this.stable = new Uint32Array(sectors);
  }

  /** How many requests have failed so far. */
  get failureCount(): number {
    return this.failures;
  }

  /** The content as it must be; only exact while nothing is in flight and nothing has failed. */
  expected(): Uint8Array {
    const content = new Uint32Array((this.sectors * sectorBytes) / 4);
    for (let sector = 0; sector < this.sectors; sector++) {
      content.fill(this.last[sector]!, sector * (sectorBytes / 4), (sector + 1) * (sectorBytes / 4));
    }
    return new Uint8Array(content.buffer);
  }

  /** One request of the guest. Requests in flight never overlap. */
  async request(backend: BlockBackend): Promise<void> {
    const { random } = this;
    if (random.oneIn(12)) return this.flush(backend);
    const count = 1 + random.below(random.oneIn(3) ? 200 : 12);
    const first = random.below(this.sectors - count + 1);
    for (let sector = first; sector < first + count; sector++) if (this.busy.has(sector)) return;
    const range = Array.from({ length: count }, (_, i) => first + i);
    for (const sector of range) this.busy.add(sector);
    try {
      if (random.oneIn(4)) await this.read(backend, first, range);
      else await this.write(backend, first, range);
    } finally {
      for (const sector of range) this.busy.delete(sector);
    }
  }

  private async write(backend: BlockBackend, first: number, range: readonly number[]): Promise<void> {
    const isZero = this.random.oneIn(6);
    const number = isZero ? 0 : ++this.numbers.next;
    for (const sector of range) this.allow(sector, number);
    try {
      if (isZero) {
        await backend.writeZeroes(first * sectorBytes, range.length * sectorBytes, {
          mayUnmap: this.random.oneIn(2),
        });
      } else {
        const words = new Uint32Array((range.length * sectorBytes) / 4).fill(number);
        await backend.write(first * sectorBytes, new Uint8Array(words.buffer));
      }
      for (const sector of range) this.last[sector] = number;
    } catch (error) {
      if (!(error instanceof BlockError)) throw error;
      this.failures++;
    }
  }

  private async read(backend: BlockBackend, first: number, range: readonly number[]): Promise<void> {
    const buffer = new Uint8Array(range.length * sectorBytes);
    try {
      await backend.read(first * sectorBytes, buffer);
    } catch (error) {
      if (!(error instanceof BlockError)) throw error;
      this.failures++;
      return;
    }
    const wrong = this.compare(buffer, first, false);
    if (wrong) throw new Error(wrong);
  }

  private async flush(backend: BlockBackend): Promise<void> {
    const completed = this.last.slice();
    try {
      await backend.flush();
    } catch (error) {
      if (!(error instanceof BlockError)) throw error;
      this.failures++;
      return;
    }
    for (let sector = 0; sector < this.sectors; sector++) {
      if (this.busy.has(sector) || this.last[sector] !== completed[sector]) continue;
      this.stable[sector] = completed[sector]!;
      if (this.failures === 0) this.others.delete(sector);
    }
  }

  private allow(sector: number, number: number): void {
    let set = this.others.get(sector);
    if (!set) this.others.set(sector, (set = new Set([this.last[sector]!])));
    set.add(number);
  }

  /** Reads all of it, says what is wrong, and takes over what was found where more than one thing is allowed. */
  async verify(read: (buffer: Uint8Array) => Promise<void>, afterKill: boolean): Promise<string | undefined> {
    const buffer = new Uint8Array(this.sectors * sectorBytes);
    await read(buffer);
    return this.compare(buffer, 0, afterKill);
  }

  /** Once everything in flight is over and failures have stopped: what is there counts. */
  settle(content: Uint8Array): void {
    const words = new Uint32Array(content.buffer, content.byteOffset, content.length / 4);
    for (let sector = 0; sector < this.sectors; sector++) {
      const found = words[sector * (sectorBytes / 4)]!;
      this.last[sector] = found;
    }
    this.failures = 0;
  }

  private compare(buffer: Uint8Array, first: number, afterKill: boolean): string | undefined {
    const words = new Uint32Array(buffer.buffer, buffer.byteOffset, buffer.length / 4);
    for (let i = 0; i < buffer.length / sectorBytes; i++) {
      const sector = first + i;
      const found = words[i * (sectorBytes / 4)]!;
      for (let word = 1; word < sectorBytes / 4; word++) {
        if (words[i * (sectorBytes / 4) + word] !== found) return `${this.name}: sector ${sector} is torn`;
      }
      if (found === this.last[sector]) continue;
      const isLoose = afterKill || this.failures > 0 || this.busy.has(sector);
      if (isLoose && (this.others.get(sector)?.has(found) || found === this.stable[sector])) continue;
      return `${this.name}: sector ${sector} reads ${found} and not ${this.last[sector]}`;
    }
    return undefined;
  }
}
