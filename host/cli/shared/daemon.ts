/**
 * What programs have in common that serve until a client or a signal ends them: they start, wait for their end, and close
 * what they have open, also when that end is an error of their own.
 */
import { BlockError } from '../../base/errors.ts';
import { fromDenial } from '../../platform/node/errors.ts';
import { ExitStatus } from './exit-status.ts';
import {
  beforeInternalErrorEnds,
  describeFailedClose,
  internalErrorStatus,
  withinBound,
} from './internal-error.ts';
import type { Tool } from './tool.ts';

export interface Daemon {
  /** Settles when the whole command line has taken effect and clients are answered. */
  start(): Promise<void>;
  /** Settles when somebody has ended it. */
  readonly whenEnded: Promise<void>;
  /** Ends it, in whatever state it is. */
  stop(): Promise<void>;
  close(): Promise<void>;
}

/** What users and systems end programs with. */
export const endingSignals = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;
/** Something must keep the process alive while nobody is connected. */
const keepAliveMs = 1 << 30;

/** Gives the exit status. Errors: BlockError and ExitStatus, when it has been closed. */
export async function runDaemon(tool: Tool, daemon: Daemon): Promise<number> {
  const keepAlive = setInterval(() => {}, keepAliveMs);
  const stop = (): void => void daemon.stop();
  for (const signal of endingSignals) process.on(signal, stop);
  let closed: Promise<void> | undefined;
  const close = (): Promise<void> => {
    closed ??= daemon.close();
    return closed;
  };
  const giveUp = async (): Promise<unknown> => {
    // Jobs hold on to images that are to be closed.
    await withinBound(() => daemon.stop());
    return withinBound(close);
  };
  const forget = beforeInternalErrorEnds(giveUp);
  try {
    await daemon.start();
    await daemon.whenEnded;
    await close();
    return 0;
  } catch (error) {
    if (error instanceof BlockError || error instanceof ExitStatus || fromDenial(error)) {
      await close();
      throw error;
    }
    tool.reportInternalError(error);
    const failure = await giveUp();
    if (failure !== undefined && failure !== error) tool.error(describeFailedClose(tool.name, failure));
    return internalErrorStatus;
  } finally {
    forget();
    for (const signal of endingSignals) process.off(signal, stop);
    clearInterval(keepAlive);
  }
}
