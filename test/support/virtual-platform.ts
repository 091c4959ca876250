/**
 * A platform without a world: time stands still until a test moves it, chance is a counter, there are no files. What
 * is printed is kept.
 */
import { BlockError } from '../../host/base/errors.ts';
import type { ChunkStore, Fetch, Platform, Timer } from '../../host/platform/platform.ts';
import { ProgramEnded } from '../../host/platform/platform.ts';

interface Alarm {
  dueNs: number;
  callback: () => void;
}

export class VirtualPlatform implements Platform {
  /** Those that have set a timer at some time, oldest first. */
  static readonly withTimers = new Set<VirtualPlatform>();
  private timeNs = 1e9;
  private alarms: Alarm[] = [];
  private counter = 0;
  readonly printed: string[] = [];
  /** Whom HTTP requests reach, and what is kept of the answers, when a test has them. */
  declare fetch?: Fetch;
  declare chunkStore?: ChunkStore;

  readonly clock = {
    nowNs: () => this.timeNs,
    wallClock: () => ({ seconds: Math.floor(this.timeNs / 1e9), microseconds: 0 }),
    setTimer: (delayNs: number, callback: () => void): Timer => {
      const alarm = { dueNs: this.timeNs + delayNs, callback };
      this.alarms.push(alarm);
      VirtualPlatform.withTimers.add(this);
      return {
        cancel: () => {
          this.alarms = this.alarms.filter((other) => other !== alarm);
        },
      };
    },
    yield: () => new Promise<void>((resolve) => void setImmediate(resolve)),
  };

  readonly random = {
    below: (limit: number) => this.counter++ % limit,
    fill: (buffer: Uint8Array) => void buffer.fill(7),
  };

  readonly files = {
    open: () => Promise.reject(new BlockError('ENOENT')),
    stat: () => Promise.reject(new BlockError('ENOENT')),
    unlink: () => Promise.reject(new BlockError('ENOENT')),
    identify: async (path: string) => path,
  };

  readonly codecs = { deflate: noCodec, zstd: noCodec };

  readonly console = {
    stdout: (line: string) => void this.printed.push(line),
    stderr: (line: string) => void this.printed.push(line),
    error: (message: string) => void this.printed.push(message),
    warn: (message: string) => void this.printed.push(`warning: ${message}`),
    fatal: (line: string): never => {
      this.printed.push(line);
      throw new ProgramEnded(line);
    },
  };

  private readonly loading = new Set<Promise<unknown>>();

  /** Whoever lets things happen waits for it. */
  readonly loadPart = <T>(load: () => Promise<T>): Promise<T> => {
    const part = load();
    this.loading.add(part);
    const over = (): void => void this.loading.delete(part);
    part.then(over, over);
    return part;
  };

  /** Timers that would still ring. */
  get pendingTimers(): number {
    return this.alarms.length;
  }

  /** Moves time forward, ringing alarms in their order, each after everything before it has settled. */
  async advance(ns: number): Promise<void> {
    const end = this.timeNs + ns;
    await this.settle();
    for (;;) {
      const due = this.alarms.filter((alarm) => alarm.dueNs <= end).sort((a, b) => a.dueNs - b.dueNs)[0];
      if (!due) break;
      this.alarms = this.alarms.filter((other) => other !== due);
      this.timeNs = Math.max(this.timeNs, due.dueNs);
      due.callback();
      await this.settle();
    }
    this.timeNs = end;
    await this.settle();
  }

  /** Lets everything happen that can happen without time passing. */
  async settle(): Promise<void> {
    for (let turn = 0; turn < 20; turn++) {
      await Promise.allSettled(this.loading);
      await this.clock.yield();
    }
  }
}

const noCodec = {
  decompress: () => Promise.reject(new BlockError('ENOTSUP')),
  compress: async () => undefined,
};
