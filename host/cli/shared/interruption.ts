/**
 * What ends something before its time that must not leave anything behind: a signal, and what else is raised. Whoever waits hears of it at
 * once; a second signal ends the program as it would have anyway.
 */
import { BlockError } from '../../base/errors.ts';
import { endingSignals } from './daemon.ts';

export class Interruption {
  private reason: BlockError | undefined;
  private hear: (reason: BlockError) => void = () => {};
  private readonly happened = new Promise<never>((_, reject) => {
    this.hear = reject;
  });
  /** By which the program is to end. */
  signal: NodeJS.Signals | undefined;

  constructor() {
    this.happened.catch(() => {});
    for (const signal of endingSignals) process.on(signal, this.onSignal);
  }

  raise(reason: BlockError): void {
    this.reason ??= reason;
    this.hear(reason);
  }

  /** Errors: it has happened. */
  check(): void {
    if (this.reason) throw this.reason;
  }

  /** What `act` settles with, unless this happens before. `act` may go on then. */
  async unless<T>(act: Promise<T>): Promise<T> {
    return Promise.race([act, this.happened]);
  }

  /** Signals are what they were before. */
  end(): void {
    for (const signal of endingSignals) process.off(signal, this.onSignal);
  }

  private readonly onSignal = (signal: NodeJS.Signals): void => {
    this.signal = signal;
    this.end();
    this.raise(new BlockError('ECANCELED', `Interrupted by ${signal}`));
  };
}
