/**
 * Internal errors: what a program says about a bug of its own, and how it ends then.
 *
 * It prints a line that names the program, one that asks for a report, and the stack only for those who want it
 * (`BLOCKYARD_DEBUG`); the exit status is 70 (EX_SOFTWARE of sysexits.h). What has to be closed first is closed within a
 * bound: what has gone wrong may keep it from coming to its end.
 */
import * as fs from 'node:fs';
import { inspect } from 'node:util';
import { bugs, version } from '../../../package.json';
import { BlockError } from '../../base/errors.ts';

export const internalErrorStatus = 70;
/** Milliseconds for each of the things that are done before a program ends by an internal error. */
const stepBoundMs = 5_000;

/** Closes what is open, within bounds. Gives what went wrong with that, if anything did. */
type GiveUp = () => Promise<unknown>;

/** Of the programs that run in this process and have something to close. */
const closing = new Set<GiveUp>();

/** More than Node's ten: what is asynchronous is deep. */
const debuggingFrames = 50;

/** Whether stacks are shown, with the lines of the source. */
function isDebugging(): boolean {
  return (process.env['BLOCKYARD_DEBUG'] ?? '') !== '';
}

/** The lines about a bug; each ends with LF. */
export function describeInternalError(programName: string, error: unknown): string {
  const what = isDebugging() ? '' : ' and what BLOCKYARD_DEBUG=1 shows';
  return [
    `${programName}: internal error: ${messageOf(error)}`,
    `This is a bug in blockyard ${version}. Please report it at ${bugs.url}, with what led to it${what}.`,
    ...(isDebugging() ? [inspect(error)] : []),
    '',
  ].join('\n');
}

/** The same about an error while everything is closed, which may be an operating error. */
export function describeFailedClose(programName: string, error: unknown): string {
  if (error instanceof BlockError) return `${programName}: ${error.message}\n`;
  return describeInternalError(programName, error);
}

function messageOf(error: unknown): string {
  const text = error instanceof Error ? `${error.name}: ${error.message}` : String(error);
  const [line = ''] = text.split('\n', 1);
  return line;
}

/** Names what is to be done before an error that nobody caught ends the process. Gives what takes that back. */
export function beforeInternalErrorEnds(giveUp: GiveUp): () => void {
  closing.add(giveUp);
  return () => void closing.delete(giveUp);
}

/** A program that serves others runs in this process: it does not end just because nobody reads its output. */
export function hasToClose(): boolean {
  return closing.size > 0;
}

/** Runs `act`, but waits for its end no longer than the bound. Gives what is wrong with it, if anything. */
export async function withinBound(act: () => Promise<void>): Promise<unknown> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<unknown>((resolve) => {
    timer = setTimeout(
      () => resolve(new BlockError('ETIMEDOUT', 'what was open could not be closed in time')),
      stepBoundMs,
    );
  });
  const done = act().then(
    () => undefined,
    (error: unknown) => error,
  );
  const outcome = await Promise.race([done, late]);
  clearTimeout(timer);
  return outcome;
}

/**
 * Runs a program to the end of the process. `name` is asked for when there is something to say about an internal error:
 * one that `run` rejects with or that nobody catches, or that nothing is left that could bring `run` to its end.
 */
export function runProcess(name: () => string, run: () => Promise<number>): void {
  // Only what is loaded from now on is shown as in the source.
  if (isDebugging()) {
    process.setSourceMapsEnabled(true);
    Error.stackTraceLimit = debuggingFrames;
  }
  let isEnding = false;
  const end = async (error: unknown): Promise<void> => {
    // What else goes wrong by then is a consequence, and may go wrong over and over.
    if (isEnding) return;
    isEnding = true;
    print(describeInternalError(name(), error));
    for (const giveUp of closing) {
      const failure = await giveUp();
      if (failure !== undefined && failure !== error) print(describeFailedClose(name(), failure));
    }
    process.exit(internalErrorStatus);
  };
  // Rejections that nobody handles come this way, too.
  process.on('uncaughtException', (error) => void end(error));
  const standstill = (): void => void end(new Error('nothing is left to wait for'));
  process.once('beforeExit', standstill);
  run().then((status) => {
    process.off('beforeExit', standstill);
    if (isEnding) return;
    // What went wrong may have left something behind that keeps the process alive.
    if (status === internalErrorStatus) process.exit(status);
    process.exitCode = status;
  }, end);
}

function print(text: string): void {
  try {
    fs.writeSync(2, text);
  } catch {
    // There is nobody left to tell.
  }
}
