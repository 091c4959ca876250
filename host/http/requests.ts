/**
 * Requests of one server: each with a timeout, tried again while that may help, and what is told of trouble meanwhile.
 *
 * The timeout is for a server that sends nothing; one that sends slowly has all the time it takes. All requests keep to the
 * time that the server has named to one of them.
 */
import { concatenated } from '../base/concatenated.ts';
import { BlockError } from '../base/errors.ts';
import type { TroubleReport } from '../block/open-context.ts';
import type { Clock, Fetch, FetchRequest, FetchResponse, Platform, Timer } from '../platform/platform.ts';
import { PassingFailure } from './responses.ts';
import { Retry } from './retry.ts';

/** What counts of an attempt without timeout, in seconds. */
export const usualSeconds = 5;

const nsPerSecond = 1e9;

export interface RequestOptions {
  /** Without any byte. 0: no limit. */
  timeoutSeconds: number;
  /** For which a failure that may pass is tried again. */
  retrySeconds: number;
  /** Sent with each request. */
  headers: Readonly<Record<string, string>>;
  /** Makes each attempt, where requests have to say who asks. */
  through?: Through;
}

/** Hands the body to `take`, as it comes, until it ends or `take` wants no more. */
export type EachPiece = (take: (piece: Uint8Array) => boolean) => Promise<void>;

/** Takes what is wanted of a response, whatever its status. Errors: PassingFailure: it is worth another try. */
export type Take<T> = (response: FetchResponse, eachPiece: EachPiece) => Promise<T>;

export interface Request extends Pick<FetchRequest, 'method' | 'headers' | 'body' | 'redirect'> {
  url: string;
  /** Instead of the timeout of the options. */
  timeoutSeconds?: number;
  /** The answer may have to wait so long for others on the line, or for the body: that is no silence of the server. */
  queueNs?: number;
  /** Of the body, 32 bytes, where it is known, for those who sign it. */
  sha256?: Uint8Array;
}

export type Send = <T>(request: Request, take: Take<T>) => Promise<T>;

/** One attempt, by what is sent in its place, as often as that takes. Errors: as those of `send`; what the answer refuses. */
export type Through = <T>(request: Request, take: Take<T>, send: Send) => Promise<T>;

export class Requests {
  private readonly fetch: Fetch;
  private readonly ending = new AbortController();
  private readonly unfinished = new Set<Promise<unknown>>();
  private trouble: TroubleReport | undefined;
  /** The server has asked for no request before. */
  private notBeforeNs = 0;

  constructor(
    private readonly platform: Platform,
    private readonly options: RequestOptions,
    /** Told when trouble begins, and, with undefined, when it is over. */
    readonly onTrouble: (trouble: TroubleReport | undefined) => void,
  ) {
    if (!platform.fetch) throw new BlockError('ENOTSUP', 'This host cannot make HTTP requests');
    this.fetch = platform.fetch;
  }

  /** Requests fail, and are tried again. */
  get isInTrouble(): boolean {
    return this.trouble !== undefined;
  }

  get isClosed(): boolean {
    return this.ending.signal.aborted;
  }

  /**
   * Until `attempt` gives something, which is told with `progressed` what of it need not be done again. `attempts`: at most
   * so many, unless the server says that it is busy. Errors: of the last attempt.
   */
  async persist<T>(
    attempt: (progressed: () => void) => Promise<T>,
    attempts: number = Number.POSITIVE_INFINITY,
  ): Promise<T> {
    const request = this.retried(attempt, attempts);
    this.unfinished.add(request);
    try {
      return await request;
    } finally {
      this.unfinished.delete(request);
    }
  }

  private async retried<T>(attempt: (progressed: () => void) => Promise<T>, attempts: number): Promise<T> {
    const { retrySeconds, timeoutSeconds } = this.options;
    const retry = new Retry(this.platform, {
      attempts,
      seconds: retrySeconds,
      attemptSeconds: timeoutSeconds || usualSeconds,
    });
    const progressed = (): void => {
      retry.progressed();
      this.setTrouble(undefined);
    };
    for (;;) {
      try {
        const result = await attempt(progressed);
        this.setTrouble(undefined);
        return result;
      } catch (error) {
        if (this.isClosed) throw error;
        if (!(error instanceof PassingFailure)) {
          // That is an answer, too.
          this.setTrouble(undefined);
          throw error;
        }
        const pauseNs = retry.pauseAfter(error);
        if (pauseNs === undefined) throw error;
        this.failed(error);
        await this.pause(pauseNs);
        retry.begin();
      }
    }
  }

  private failed({ reason = 'unreachable', message, retryAfter }: PassingFailure): void {
    this.setTrouble({ reason, message });
    const nowNs = this.platform.clock.nowNs();
    this.notBeforeNs = Math.max(this.notBeforeNs, nowNs + retryAfter * nsPerSecond);
  }

  private setTrouble(trouble: TroubleReport | undefined): void {
    const isNews = (this.trouble === undefined) !== (trouble === undefined);
    this.trouble = trouble;
    if (isNews) this.onTrouble(trouble);
  }

  /** Cut short by `close`. */
  private pause(delayNs: number): Promise<void> {
    const { signal } = this.ending;
    return new Promise((resolve) => {
      const end = (): void => {
        timer.cancel();
        signal.removeEventListener('abort', end);
        resolve();
      };
      const timer = this.platform.clock.setTimer(delayNs, end);
      signal.addEventListener('abort', end);
    });
  }

  /** One attempt. Errors: PassingFailure, ECANCELED after `close`, what `take` throws. */
  attempt<T>(request: Request, take: Take<T>): Promise<T> {
    const { through } = this.options;
    return through ? through(request, take, this.send) : this.send(request, take);
  }

  private readonly send: Send = async (request, take) => {
    const { ending, platform, options, fetch } = this;
    const { url, timeoutSeconds = options.timeoutSeconds, queueNs = 0, sha256: _, ...asked } = request;
    const waitNs = this.notBeforeNs - platform.clock.nowNs();
    if (waitNs > 0 && !ending.signal.aborted) await this.pause(waitNs);
    const stop = new AbortController();
    const watch = new Watch(platform.clock, { timeoutSeconds, queueNs }, () => stop.abort());
    const end = (): void => stop.abort();
    ending.signal.addEventListener('abort', end);
    try {
      if (ending.signal.aborted) throw new BlockError('ECANCELED');
      // Not called as a method: browsers' own fetch refuses that.
      const response = await fetch(url, {
        ...asked,
        // A compressed body would be another than the file, and so are its ranges.
        headers: { ...options.headers, 'accept-encoding': 'identity', ...asked.headers },
        cache: 'no-store',
        signal: stop.signal,
      });
      watch.isAlive();
      return await take(response, (each) => readBody(response, stop.signal, watch, each));
    } catch (error) {
      if (watch.isLate) throw timedOut(timeoutSeconds);
      if (ending.signal.aborted) throw new BlockError('ECANCELED');
      if (error instanceof BlockError) throw error;
      throw new PassingFailure(
        (error instanceof Error ? error.message : String(error)).trim(),
        'unreachable',
      );
    } finally {
      watch.end();
      ending.signal.removeEventListener('abort', end);
      // Nothing of the body is wanted that has not been taken.
      stop.abort();
    }
  };

  /** Ends what is under way. */
  async close(): Promise<void> {
    this.ending.abort();
    await Promise.allSettled(this.unfinished);
  }
}

async function readBody(
  { body }: FetchResponse,
  signal: AbortSignal,
  watch: Watch,
  take: (piece: Uint8Array) => boolean,
): Promise<void> {
  const reader = body?.getReader();
  if (!reader) return;
  // Node leaves a read unanswered that is aborted between the last byte and the end.
  const aborted = new Promise<never>((_, reject) => {
    signal.addEventListener('abort', () => reject(new Error('aborted')));
  });
  aborted.catch(() => {});
  for (;;) {
    const { value } = await Promise.race([reader.read(), aborted]);
    if (!value) return;
    watch.isAlive();
    if (!take(value)) return;
  }
}

/** All of a body. Errors: EFBIG: it is longer than `limit`. */
export async function collected(eachPiece: EachPiece, limit: number): Promise<Uint8Array> {
  const pieces: Uint8Array[] = [];
  let bytes = 0;
  await eachPiece((piece) => {
    bytes += piece.length;
    if (bytes > limit) throw new BlockError('EFBIG', `it has more than ${limit} bytes`);
    pieces.push(piece);
    return true;
  });
  return concatenated(pieces);
}

/** Looks whether anything has come for a while. */
class Watch {
  isLate = false;
  private lastNs: number;
  private timer: Timer | undefined;

  constructor(
    private readonly clock: Clock,
    { timeoutSeconds, queueNs }: { timeoutSeconds: number; queueNs: number },
    private readonly late: () => void,
  ) {
    this.lastNs = clock.nowNs() + queueNs;
    const limitNs = timeoutSeconds * nsPerSecond;
    if (limitNs > 0) this.arm(limitNs, limitNs + queueNs);
  }

  isAlive(): void {
    this.lastNs = this.clock.nowNs();
  }

  end(): void {
    this.timer?.cancel();
  }

  /** One timer for all that comes: it looks again when something has. */
  private arm(limitNs: number, delayNs: number): void {
    const { clock } = this;
    this.timer = clock.setTimer(delayNs, () => {
      const leftNs = limitNs - (clock.nowNs() - this.lastNs);
      if (leftNs > 0) return this.arm(limitNs, leftNs);
      this.isLate = true;
      this.late();
    });
  }
}

function timedOut(seconds: number): PassingFailure {
  const message = `Operation timed out after ${seconds * 1000} milliseconds`;
  return new PassingFailure(message, 'unreachable', { errno: 'ETIMEDOUT' });
}
