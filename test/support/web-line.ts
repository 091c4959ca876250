/** A line to a web server in virtual time, as the platform's `fetch`: what it brings per second, and what it takes to begin. */
import type { BodyReader, Clock, Fetch, FetchRequest, FetchResponse } from '../../host/platform/platform.ts';
import { type BehavingFile, corsHeaders, type WebAnswer } from './web-behaviour.ts';

export interface LineOptions {
  bytesPerSecond: number;
  /** From a request to the first byte of its answer. */
  latencySeconds: number;
  /** Answers share the line, piece by piece, or follow one another. */
  shares: boolean;
}

/** Most bytes that arrive together, and the longest that they take. */
const mostPieceBytes = 65_536;
const pieceSeconds = 0.01;

export class WebLine {
  /** Requests that were aborted before their end. */
  aborted = 0;
  /** Bytes that were taken from the line of answers that are not of a range. */
  unaskedBytes = 0;
  private freeAtNs = 0;
  private clock: Clock | undefined;

  constructor(
    private readonly file: BehavingFile,
    public options: LineOptions = { bytesPerSecond: 1e9, latencySeconds: 0.001, shares: true },
  ) {}

  /** The clock whose time the line takes. */
  use(clock: Clock): void {
    this.clock = clock;
  }

  readonly fetch: Fetch = async (_url, request) => {
    const { signal, method, headers } = request;
    await this.wait(this.options.latencySeconds * 1e9, signal);
    const answer = this.file.answer({ method, range: headers['range'] });
    if (answer.fate === 'reset') throw new TypeError('connection reset');
    if (answer.fate === 'silent') await this.wait(Number.POSITIVE_INFINITY, signal);
    const { hides } = this.file.behaviour;
    return {
      status: answer.status,
      headers: {
        get: (name) => (hides && !corsHeaders.includes(name) ? null : (answer.headers[name] ?? null)),
      },
      body: method === 'HEAD' ? null : { getReader: () => this.reader(answer, request) },
    } satisfies FetchResponse;
  };

  private reader({ status, body, stopsAt }: WebAnswer, { signal }: FetchRequest): BodyReader {
    let at = 0;
    const { bytesPerSecond, shares } = this.options;
    const pieceBytes = Math.max(1460, Math.min(mostPieceBytes, Math.floor(bytesPerSecond * pieceSeconds)));
    const size = shares ? pieceBytes : Math.max(1, body.length);
    let dueNs = 0;
    return {
      read: async () => {
        if (stopsAt && at >= stopsAt.bytes) {
          if (stopsAt.how === 'reset') throw new TypeError('connection reset');
          await this.wait(Number.POSITIVE_INFINITY, signal);
        }
        const end = Math.min(body.length, at + pieceBytes, stopsAt?.bytes ?? body.length);
        if (end === at) return {};
        // A line that does not share has taken the whole answer when its first piece comes.
        if (at % size === 0) dueNs = Math.max(this.freeAtNs, this.nowNs);
        dueNs += ((end - at) / bytesPerSecond) * 1e9;
        this.freeAtNs =
          at % size === 0 && !shares
            ? dueNs + ((body.length - end) / bytesPerSecond) * 1e9
            : Math.max(this.freeAtNs, dueNs);
        await this.wait(dueNs - this.nowNs, signal);
        const value = body.slice(at, end);
        at = end;
        if (status === 200) this.unaskedBytes += value.length;
        return { value };
      },
    };
  }

  private get nowNs(): number {
    return this.clock!.nowNs(); // given before the first request
  }

  private wait(delayNs: number, signal: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      const stop = (): void => {
        this.aborted++;
        timer?.cancel();
        reject(new Error('aborted'));
      };
      const end = (): void => {
        signal.removeEventListener('abort', stop);
        resolve();
      };
      const timer =
        delayNs < Number.POSITIVE_INFINITY ? this.clock!.setTimer(Math.max(0, delayNs), end) : undefined; // as above
      signal.addEventListener('abort', stop);
      if (signal.aborted) stop();
    });
  }
}
