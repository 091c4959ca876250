/**
 * What the line to a server can do, as its transfers show: how many bytes on their way keep it busy, and how long one
 * transfer should be.
 *
 * Both follow from two measures. The *rate* is the greatest of what arrived, of all transfers together, while one of the
 * latest was under way. The *latency* is the least time that one of the latest took to be answered. Their product is on its
 * way when the line is busy, and more would only queue up. A transfer that began on a line with room left shows less than
 * the line can do, and counts only when it was slower than it should have been.
 */
import type { Clock } from '../../platform/platform.ts';
import { webChunkBytes } from './chunk-size.ts';

/** Chunks of a transfer, least, most, and as long as nothing is known: 64 KiB, 2 MiB and 256 KiB. */
export const minRunChunks = 1;
export const maxRunChunks = 32;
export const firstRunChunks = 4;
/** A transfer is as long as what the line brings in one latency, or in this: below, requests would cost more than bytes. */
const leastRunNs = 100_000_000;
/** What keeps a line busy of which nothing is known. */
const firstFullBytes = 2 * webChunkBytes;
/** Bytes come in pieces: so much more has to be under way for the next request to be in time. */
const pieceBytes = 16_384;
/** A rate that is so much higher than all before is not yet the line's: three times as much is tried. */
const growth = 1.1;
const keptRates = 8;
const keptLatencies = 32;
/** So much slower than it should have been shows a transfer that the line has changed, and only these still count. */
const latestLatencies = 4;
const lateFactor = 2;
/** What no clock tells from nothing. */
const leastNs = 1000;

/** One request under way. */
interface Flight {
  /** For what was under way before, which may come first. */
  readonly queueNs: number;
  /** The first of the answer is there. */
  answered(): void;
  arrived(bytes: number): void;
  /** The answer came to its end. */
  landed(): void;
  /** Nothing more will come, whatever the reason. */
  end(): void;
}

export class Line {
  /** Bytes per nanosecond. */
  private rates: number[] = [];
  private readonly latenciesNs: number[] = [];
  private isGrowing = false;
  private arrivedBytes = 0;
  private underWay = 0;
  /** When the first request was made. */
  private firstNs = 0;

  constructor(private readonly clock: Clock) {}

  /** Bytes that were asked for and have not come. */
  get bytesUnderWay(): number {
    return this.underWay;
  }

  /** So many bytes under way keep it busy. */
  get fullBytes(): number {
    if (this.rates.length === 0) return firstFullBytes;
    return pieceBytes + this.rate * this.latencyNs * (this.isGrowing ? 3 : 1);
  }

  /** Chunks that one transfer should bring. */
  get runChunks(): number {
    if (this.rates.length === 0) return firstRunChunks;
    const bytes = this.rate * Math.max(this.latencyNs, leastRunNs);
    return Math.min(maxRunChunks, Math.max(minRunChunks, Math.round(bytes / webChunkBytes)));
  }

  /** 0: nothing has come yet. */
  private get rate(): number {
    if (this.rates.length > 0) return Math.max(...this.rates);
    return this.arrivedBytes / Math.max(leastNs, this.clock.nowNs() - this.firstNs);
  }

  private get latencyNs(): number {
    return this.latenciesNs.length === 0 ? 0 : Math.min(...this.latenciesNs);
  }

  /** Something of `bytes` is asked for. */
  begin(bytes: number): Flight {
    const startNs = this.clock.nowNs();
    this.firstNs ||= startNs;
    const arrivedBefore = this.arrivedBytes;
    const hadRoom = this.underWay <= this.fullBytes;
    const due = this.underWay + bytes;
    this.underWay = due;
    let left = bytes;
    let isAnswered = false;
    return {
      queueNs: this.arrivedBytes === 0 ? 0 : (due - bytes) / this.rate,
      answered: () => {
        if (isAnswered) return;
        isAnswered = true;
        // What had to queue behind others says nothing about the latency.
        if (hadRoom) push(this.latenciesNs, this.clock.nowNs() - startNs, keptLatencies);
      },
      arrived: (count) => {
        const expected = Math.min(count, left);
        left -= expected;
        this.underWay -= expected;
        this.arrivedBytes += count;
      },
      landed: () => {
        const elapsedNs = Math.max(leastNs, this.clock.nowNs() - startNs);
        this.took(elapsedNs, (this.arrivedBytes - arrivedBefore) / elapsedNs, due - left);
      },
      end: () => {
        this.underWay -= left;
        left = 0;
      },
    };
  }

  /** `due`: what had to come until its end, when it began. */
  private took(elapsedNs: number, rate: number, due: number): void {
    if (this.rates.length > 0 && rate < this.rate) {
      const isLate = elapsedNs > lateFactor * (this.latencyNs + due / this.rate);
      if (isLate) {
        this.rates = [];
        this.latenciesNs.splice(0, this.latenciesNs.length - latestLatencies);
      } else if (due < this.fullBytes) return;
    }
    this.isGrowing = this.rates.length === 0 || rate > growth * this.rate;
    push(this.rates, rate, keptRates);
  }
}

/** Keeps the last `most`. */
function push(values: number[], value: number, most: number): void {
  values.push(value);
  if (values.length > most) values.shift();
}
