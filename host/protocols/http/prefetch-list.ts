/**
 * Prefetch lists: which parts of a remote file will be wanted, in the order in which they will be.
 *
 * A list is recorded while somebody uses an image, say to start a system from it, and given with `x-prefetch` when the
 * image is opened the next time. As JSON it is `{"blockyard-prefetch": 1, "ranges": [[offset, bytes], …]}`. It is a hint:
 * what it says about a file that has changed is useless, but harms nobody.
 */
import { invalid } from '../../base/errors.ts';

/** Most ranges of a list, and most bytes of its text. */
const maxRanges = 65_536;
export const maxListBytes = 4 << 20;

const version = 1;

export interface PrefetchRange {
  offset: number;
  bytes: number;
}

/** A list as it stands in its file. The number is that of the version, 1. */
export interface PrefetchList {
  'blockyard-prefetch': number;
  ranges: readonly (readonly [offset: number, bytes: number])[];
}

/** Takes down which units of a file are read, each when it is for the first time. */
export class PrefetchRecorder {
  private readonly ranges: PrefetchRange[] = [];
  private readonly seen = new Set<number>();

  /** Ranges are given in multiples of `unit` bytes. */
  constructor(private readonly unit: number) {}

  read(offset: number, bytes: number): void {
    const end = Math.ceil((offset + bytes) / this.unit);
    for (let index = Math.floor(offset / this.unit); index < end; index++) {
      if (this.seen.has(index)) continue;
      this.seen.add(index);
      this.add(index * this.unit);
    }
  }

  private add(offset: number): void {
    const last = this.ranges.at(-1);
    if (last && last.offset + last.bytes === offset) last.bytes += this.unit;
    else if (this.ranges.length < maxRanges) this.ranges.push({ offset, bytes: this.unit });
  }

  list(): PrefetchList {
    return {
      'blockyard-prefetch': version,
      ranges: this.ranges.map(({ offset, bytes }) => [offset, bytes] as const),
    };
  }
}

/** Errors: EINVAL for what is not a list. */
export function parsePrefetchList(text: string): PrefetchRange[] {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    throw invalid('Not a prefetch list: not JSON');
  }
  const { 'blockyard-prefetch': found, ranges } = (value ?? {}) as Partial<
    Record<keyof PrefetchList, unknown>
  >;
  if (found !== version) throw invalid(`Not a prefetch list of version ${version}`);
  if (!Array.isArray(ranges) || ranges.length > maxRanges) throw invalid('Not a prefetch list: ranges');
  return ranges.map((range: unknown) => {
    const [offset, bytes] = Array.isArray(range) ? (range as unknown[]) : [];
    if (!isCount(offset) || !isCount(bytes)) throw invalid('Not a prefetch list: ranges');
    return { offset, bytes };
  });
}

function isCount(value: unknown): value is number {
  return typeof value === 'number' && Number.isSafeInteger(value) && value >= 0;
}
