/**
 * Calls of named functions over a MessagePort: the page asks, the worker answers.
 *
 * Calls overlap and are answered in any order. An error arrives as an error of the same class, with its message; a bug
 * arrives as one too. A port that closes fails the calls that wait.
 */
import { BlockError, type Errno, type ErrorClass, type FaultReason } from '../base/errors.ts';
import { withoutUndefined } from '../base/without-undefined.ts';

/** Functions that can be called from the other side: one argument and one result, both structured-cloneable. */
// biome-ignore lint/suspicious/noConfusingVoidType: a function without a result gives nothing back
type Functions = Record<string, (argument: never) => Promise<unknown | void>>;

/** A result whose parts move to the other side instead of being copied. */
export class Transferred<T> {
  constructor(
    readonly value: T,
    readonly parts: Transferable[],
  ) {}
}

interface Call {
  id: number;
  name: string;
  argument: unknown;
}

/** An error on its way to the other side. */
export interface PlainError {
  message: string;
  /** Absent: not a BlockError. */
  errno?: Errno;
  errorClass?: ErrorClass;
  hint?: string | undefined;
  reason?: FaultReason | undefined;
}

type Answer = { id: number; result: unknown } | { id: number; error: PlainError };

type Result<F> = F extends (argument: never) => Promise<infer R>
  ? R extends Transferred<infer T>
    ? T
    : R
  : never;
type Argument<F> = F extends (argument: infer A) => unknown ? A : never;

/** Answers what comes in on `port`. */
export function serveCalls(port: MessagePort, functions: Functions): void {
  port.onmessage = ({ data }: MessageEvent<Call>) => void answer(port, functions, data);
}

async function answer(port: MessagePort, functions: Functions, { id, name, argument }: Call): Promise<void> {
  try {
    const called = functions[name];
    if (!called) throw new BlockError('ENOTSUP', `There is no function '${name}'`);
    const result = await called(argument as never);
    if (result instanceof Transferred) port.postMessage({ id, result: result.value }, result.parts);
    else port.postMessage({ id, result });
  } catch (error) {
    port.postMessage({ id, error: plain(error) });
  }
}

export function plain(error: unknown): PlainError {
  if (!(error instanceof BlockError)) {
    return { message: error instanceof Error ? (error.stack ?? error.message) : String(error) };
  }
  const { message, errno, class: errorClass, hint, reason } = error;
  return { message, errno, errorClass, hint, reason };
}

export function revived({ message, errno, errorClass, hint, reason }: PlainError): Error {
  if (!errno) return new Error(message);
  return new BlockError(errno, message, {
    reason,
    ...(errorClass ? { class: errorClass } : {}),
    ...withoutUndefined({ hint }),
  });
}

/** The caller's end. */
export class Calls<F extends Functions> {
  private last = 0;
  private readonly pending = new Map<
    number,
    { resolve(result: unknown): void; reject(error: unknown): void }
  >();
  private isClosed = false;

  constructor(private readonly port: MessagePort) {
    port.onmessage = ({ data }: MessageEvent<Answer>) => this.settle(data);
    port.addEventListener('close', () => this.close());
  }

  /** Errors: those of the function; EPIPE once the port is closed. */
  call<N extends keyof F & string>(
    name: N,
    argument: Argument<F[N]>,
    transfer: Transferable[] = [],
  ): Promise<Result<F[N]>> {
    if (this.isClosed) return Promise.reject(closedError());
    const id = ++this.last;
    return new Promise((resolve, reject) => {
      this.pending.set(id, { resolve: resolve as (result: unknown) => void, reject });
      this.port.postMessage({ id, name, argument }, transfer);
    });
  }

  close(): void {
    if (this.isClosed) return;
    this.isClosed = true;
    this.port.close();
    for (const { reject } of this.pending.values()) reject(closedError());
    this.pending.clear();
  }

  private settle(answer: Answer): void {
    const waiting = this.pending.get(answer.id);
    if (!waiting) return;
    this.pending.delete(answer.id);
    if ('error' in answer) waiting.reject(revived(answer.error));
    else waiting.resolve(answer.result);
  }
}

function closedError(): BlockError {
  return new BlockError('EPIPE', 'The block layer is closed');
}
