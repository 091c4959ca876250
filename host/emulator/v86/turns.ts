/**
 * How a v86 in a browser comes to its next turn.
 *
 * It runs for a millisecond, or until its guest has nothing to do, and leaves its thread to others; a worker of its own sends it a
 * message when it is to go on. An answer of a disk for which a guest waits so takes two changes of threads longer than
 * it needs. Here a turn that is due at once comes by a message of the thread to itself: after whatever else is waiting by then.
 * A turn that is due later is left to that worker, for browsers hold up the timers of pages that nobody sees; or it is a timer, in a
 * worker, where they do not.
 */
import type { Clock } from '../../platform/platform.ts';

interface Loop {
  /** What sends the messages. Absent on Node, which has turns at once. */
  readonly worker?: Worker | null;
  yield(delayMs: number, tick: number): void;
  /** Takes the turn with this number, if it is still the next one. */
  yield_callback(tick: number): void;
  unregister_yield(): void;
  stop(): void;
  /** One that is to stop stands afterwards, and says so. */
  do_tick(): void;
}

const nsPerMs = 1_000_000;

/** Of an emulator in a worker. */
interface WorkerTurns {
  /** In place of v86's own worker. */
  readonly timers: Clock;
  /** There is no turn before. */
  readonly begun: Promise<void>;
  /** Hears what a turn throws, after which the emulator stands. */
  fail(error: unknown): void;
}

/** To be called before `emulator` runs. Does nothing for a v86 that takes its turns otherwise. */
export function takeTurns(emulator: object, inWorker?: WorkerTurns): void {
  const { v86: loop } = emulator as { v86?: Loop };
  if (!loop?.worker || !loop.yield_callback || !loop.unregister_yield) return;
  const later = loop.yield.bind(loop);
  const takeInWorker = (tick: number): void => {
    try {
      loop.yield_callback(tick);
    } catch (error) {
      loop.stop();
      loop.do_tick();
      inWorker?.fail(error);
    }
  };
  const take = inWorker ? takeInWorker : (tick: number) => loop.yield_callback(tick);
  const { port1, port2 } = new MessageChannel();
  const begin = (): void => {
    port1.onmessage = ({ data }: MessageEvent<number>) => take(data);
  };
  if (inWorker) void inWorker.begun.then(begin);
  else begin();
  loop.yield = (delayMs, tick) => {
    if (delayMs < 1) port2.postMessage(tick);
    else if (inWorker) inWorker.timers.setTimer(delayMs * nsPerMs, () => take(tick));
    else later(delayMs, tick);
  };
  if (inWorker) loop.unregister_yield();
}
