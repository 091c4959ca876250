/** What the disks of a daemon have been, after each write, and are; and somebody who writes to them at random. */
import { createHash } from 'node:crypto';
import type { LiveDaemon } from './live-daemon.ts';
import type { Seeded } from './seeded.ts';
import { kib } from './units.ts';

/** Discards of these are as good as zeros. */
const clusterBytes = 64 * kib;

export class LiveModel {
  private readonly content: Map<string, Buffer>;
  readonly states: string[];

  constructor(
    private readonly names: readonly string[],
    diskBytes: number,
  ) {
    this.content = new Map(names.map((name) => [name, Buffer.alloc(diskBytes)]));
    this.states = [stateOf(this.content)];
  }

  apply(disk: string, pattern: number, offset: number, bytes: number): void {
    this.content.get(disk)!.fill(pattern, offset, offset + bytes); // it is there
    this.states.push(stateOf(this.content));
  }

  async resize(daemon: LiveDaemon, disk: string, bytes: number): Promise<void> {
    await daemon.resize(disk, bytes);
    const old = this.content.get(disk)!; // it is there
    const rest = Buffer.alloc(Math.max(0, bytes - old.length));
    this.content.set(disk, Buffer.concat([old.subarray(0, bytes), rest]));
    this.states.push(stateOf(this.content));
  }

  /** Each is durable before the next. */
  async writeRandomly(daemon: LiveDaemon, seeded: Seeded, writes: number): Promise<void> {
    for (let i = 0; i < writes; i++) {
      const disk = seeded.pick(this.names);
      const { length } = this.content.get(disk)!; // it is there
      if (seeded.oneIn(5)) {
        const cluster = seeded.below(Math.floor(length / clusterBytes));
        const bytes =
          clusterBytes * (1 + seeded.below(Math.min(8, Math.floor(length / clusterBytes) - cluster)));
        await daemon.discard(disk, cluster * clusterBytes, bytes);
        this.apply(disk, 0, cluster * clusterBytes, bytes);
        continue;
      }
      const offset = 4096 * seeded.below(length / 4096);
      const bytes = Math.min(512 * (1 + seeded.below(600)), length - offset);
      const pattern = seeded.below(5);
      await daemon.write(disk, pattern, offset, bytes);
      this.apply(disk, pattern, offset, bytes);
    }
  }

  /** Some become shorter, others longer. */
  async resizeRandomly(daemon: LiveDaemon, seeded: Seeded): Promise<void> {
    for (const disk of this.names)
      if (seeded.oneIn(2)) await this.resize(daemon, disk, clusterBytes * (20 + seeded.below(80)));
  }
}

/** By their lengths and content. */
export function stateOf(content: ReadonlyMap<string, Buffer>): string {
  const hash = (bytes: Buffer): string =>
    `${bytes.length}:${createHash('sha256').update(bytes).digest('hex')}`;
  return [...content].map(([name, bytes]) => `${name}=${hash(bytes)}`).join(' ');
}
