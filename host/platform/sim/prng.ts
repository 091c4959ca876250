/** Chance that replays: a small fast generator (sfc32), seeded by a number. Not for secrets. */
import type { Random } from '../platform.ts';

const warmUpRounds = 16;

export class Prng implements Random {
  private a: number;
  private b: number;
  private c = 0x9e3779b9;
  private counter = 1;

  /** Different `stream`s of one seed have nothing to do with each other. */
  constructor(seed: number, stream = 0) {
    this.a = seed >>> 0;
    this.b = (Math.floor(seed / 2 ** 32) ^ Math.imul(stream + 1, 0x85ebca6b)) >>> 0;
    for (let i = 0; i < warmUpRounds; i++) this.next();
  }

  /** 32 random bits. */
  next(): number {
    const sum = (this.a + this.b + this.counter++) | 0;
    this.a = this.b ^ (this.b >>> 9);
    this.b = (this.c + (this.c << 3)) | 0;
    this.c = ((this.c << 21) | (this.c >>> 11)) + sum;
    return sum >>> 0;
  }

  below(limit: number): number {
    return Math.floor((this.next() / 2 ** 32) * limit);
  }

  fill(buffer: Uint8Array): void {
    for (let i = 0; i < buffer.length; i++) buffer[i] = this.next();
  }

  /** Puts `items` in a random order, in place. */
  shuffle<T>(items: T[]): void {
    for (let i = items.length - 1; i > 0; i--) {
      const j = this.below(i + 1);
      [items[i], items[j]] = [items[j]!, items[i]!]; // both within the array
    }
  }
}
