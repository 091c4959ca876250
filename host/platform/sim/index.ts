/**
 * A simulated platform: virtual clock, seeded chance, and storage that delays, fails, loses and tears.
 *
 * The whole block layer runs in it unchanged, and the same seed gives the same run. Time passes only when nothing else
 * can happen. `run` finds deadlocks; `crash` stops everything at once; `journal` remembers what happened to the disk,
 * so that crash-states.ts can enumerate what a crash at any moment would have left.
 *
 * Not simulated: directories, permissions of files, O_DIRECT, and the time that computing takes.
 */
import { BlockError } from '../../base/errors.ts';
import { codecs as nodeCodecs } from '../node/codecs.ts';
import { zstd } from '../node/zstd.ts';
import {
  type Clock,
  type Codec,
  type Codecs,
  type Console,
  type Fetch,
  type Platform,
  ProgramEnded,
} from '../platform.ts';
import { type FaultRule, Faults, type IoOperation } from './faults.ts';
import { Journal } from './journal.ts';
import type { SimNetwork } from './network.ts';
import { Prng } from './prng.ts';
import { Scheduler } from './scheduler.ts';
import { type FileWorld, never, SimFiles } from './simulated-files.ts';
import { SimStorage } from './storage.ts';

export { crashStates, storageAt } from './crash-states.ts';
export type { FaultRule, IoOperation } from './faults.ts';
export { SimNetwork } from './network.ts';
export { DeadlockError, SimulatedCrash } from './scheduler.ts';
export { SimStorage } from './storage.ts';

export interface SimulationOptions {
  /** How long an operation takes. `instant`: no virtual time, and no turn of the event loop. */
  latency?: 'instant' | { minNs: number; maxNs: number };
  /** The disk to start from; all of it is durable. It is used, not copied. */
  storage?: SimStorage;
  /** Of a hundred reads, how many would find their data in the host's cache (`readNow`); 0 by default. Those never fail. */
  cachedPercent?: number;
  /** Keep the journal and the list of operations: off makes long runs cheap. */
  record?: boolean;
  /** Writes and reservations that need more space fail with ENOSPC. */
  capacityBytes?: number;
  /** Whether the file system can zero, discard and reserve. */
  fallocate?: boolean;
  /** Whether it has open-file-description locks. */
  locks?: boolean;
  /** Another one, whose clock and events it has, too: machines side by side. Only that one is `run`. */
  beside?: Simulation;
  /** Where its sockets are. */
  network?: SimNetwork;
  /** Who answers HTTP requests. Every answer takes the latency of an operation. */
  fetch?: Fetch;
  /** Sees every operation as it is issued; may call `crash`. */
  onIo?(operation: IoOperation): void;
}

const defaultLatency = { minNs: 10_000, maxNs: 200_000 };
/** What `Clock.yield` takes, so that whoever polls the clock between yields gets ahead. */
const yieldNs = 1000;
/** 2024-01-01: when every simulation starts. */
const epochSeconds = 1_704_067_200;
/** Operations named in the message of a deadlock. */
const recentOperations = 8;

export function createSimulation(seed: number, options: SimulationOptions = {}): Simulation {
  return new Simulation(seed, options);
}

export class Simulation implements FileWorld {
  readonly platform: Platform;
  readonly storage: SimStorage;
  readonly journal: Journal | undefined;
  /** Everything issued so far, when recording. */
  readonly operations: IoOperation[] = [];
  /** What the console got. */
  readonly output = { stdout: [] as string[], stderr: [] as string[] };
  /** The size of the file system; it may change. */
  capacityBytes: number;
  readonly hasFallocate: boolean;
  readonly hasLocks: boolean;

  private readonly scheduler: Scheduler;
  private readonly faults = new Faults();
  private readonly files = new SimFiles(this);
  private readonly delays: Prng;
  private operationCount = 0;
  /** Others that are beside it go on. */
  private isDown = false;

  constructor(
    seed: number,
    private readonly options: SimulationOptions,
  ) {
    this.scheduler = options.beside?.scheduler ?? new Scheduler(() => this.describeRecent());
    this.storage = options.storage ?? new SimStorage();
    this.journal = options.record === false ? undefined : new Journal(this.storage.clone());
    this.capacityBytes = options.capacityBytes ?? Number.POSITIVE_INFINITY;
    this.hasFallocate = options.fallocate ?? true;
    this.hasLocks = options.locks ?? true;
    this.delays = new Prng(seed, 1);
    this.platform = {
      clock: this.makeClock(),
      random: new Prng(seed, 2),
      files: this.files,
      codecs: this.makeCodecs(),
      loadPart: (load) => this.scheduler.outside(load),
      console: this.makeConsole(),
      temporaryDirectory: '/tmp',
      ...(options.network && { sockets: options.network.socketsOf(this) }),
      ...(options.fetch && { fetch: this.makeFetch(options.fetch) }),
    };
  }

  /** Virtual time since the start. */
  get nowNs(): number {
    return this.scheduler.nowNs;
  }

  get crashed(): boolean {
    return this.isDown || this.scheduler.crashed;
  }

  /** Paths of the files that are open. */
  get openFiles(): string[] {
    return this.files.openPaths;
  }

  /** Timers that would still fire. */
  get pendingTimers(): number {
    return this.scheduler.pending;
  }

  /**
   * Runs `body` to its end. Rejects with DeadlockError when it is pending and nothing is left that could settle it,
   * with SimulatedCrash when `crash` is called, and with what a timer's callback throws.
   */
  run<T>(body: () => Promise<T>): Promise<T> {
    return this.scheduler.run(body);
  }

  /**
   * Power failure: no operation settles and no timer fires from now on. What is left: `crashStates`, `storageAt`. Of machines side by
   * side, only this one; what it keeps in memory may be asked for nothing more. `program`: its connections are closed by an operating
   * system that goes on.
   */
  crash(what: 'machine' | 'program' = 'machine'): void {
    this.isDown = true;
    if (!this.options.beside) this.scheduler.crash();
    this.options.network?.crashed(this, what);
  }

  /** Orders failures; the returned function cancels the order. */
  fail(rule: FaultRule): () => void {
    return this.faults.add(rule);
  }

  isCached(): boolean {
    const { cachedPercent = 0 } = this.options;
    return cachedPercent > 0 && !this.crashed && this.delays.below(100) < cachedPercent;
  }

  async perform(issued: Omit<IoOperation, 'number' | 'timeNs'>): Promise<void> {
    const { scheduler, options } = this;
    if (this.crashed) return never();
    const operation: IoOperation = { number: ++this.operationCount, timeNs: scheduler.nowNs, ...issued };
    if (options.record !== false) this.operations.push(operation);
    options.onIo?.(operation);
    const errno = this.faults.match(operation);
    const latency = options.latency ?? defaultLatency;
    // Without latency not even a turn of the promises is taken.
    if (latency !== 'instant') await this.delay(latency);
    // onIo may have ended it just now.
    if (this.crashed) return never();
    if (errno !== undefined) throw new BlockError(errno);
  }

  private async delay({ minNs, maxNs }: { minNs: number; maxNs: number }): Promise<void> {
    await this.scheduler.sleep(minNs + this.delays.below(maxNs - minNs + 1));
  }

  private makeFetch(answer: Fetch): Fetch {
    const latency = this.options.latency ?? defaultLatency;
    const delayed: Fetch = async (url, request) => {
      if (latency !== 'instant') await this.delay(latency);
      return answer(url, request);
    };
    return answer.setsCookies ? Object.assign(delayed, { setsCookies: true as const }) : delayed;
  }

  private makeClock(): Clock {
    const { scheduler } = this;
    const setTimer: Clock['setTimer'] = (delayNs, callback) => {
      const unlessDown = (): void => {
        if (!this.isDown) callback();
      };
      return scheduler.schedule(Math.max(0, Math.ceil(delayNs)), unlessDown);
    };
    return {
      nowNs: () => scheduler.nowNs,
      wallClock: () => ({
        seconds: epochSeconds + Math.floor(scheduler.nowNs / 1e9),
        microseconds: Math.floor((scheduler.nowNs % 1e9) / 1000),
      }),
      setTimer,
      yield: () => new Promise((resolve) => void setTimer(yieldNs, resolve)),
    };
  }

  private makeCodecs(): Codecs {
    const outside = (codec: Codec): Codec => ({
      decompress: (input, output) => this.scheduler.outside(() => codec.decompress(input, output)),
      compress: (input, limit) => this.scheduler.outside(() => codec.compress(input, limit)),
    });
    return {
      deflate: outside(nodeCodecs.deflate),
      zstd: {
        ...outside(zstd),
        decompressWhole: (input, limit) => this.scheduler.outside(() => zstd.decompressWhole(input, limit)),
      },
    };
  }

  private makeConsole(): Console {
    return {
      stdout: (line) => void this.output.stdout.push(line),
      stderr: (line) => void this.output.stderr.push(line),
      error: (message) => void this.output.stderr.push(message),
      warn: (message) => void this.output.stderr.push(`warning: ${message}`),
      fatal: (line) => {
        this.output.stderr.push(line);
        throw new ProgramEnded(line);
      },
    };
  }

  private describeRecent(): string {
    const recent = this.operations
      .slice(-recentOperations)
      .map(({ type, path, offset, bytes }) => `${type} ${path} ${offset}+${bytes}`);
    return recent.length === 0 ? 'There was no I/O.' : `Last I/O: ${recent.join(', ')}`;
  }
}
