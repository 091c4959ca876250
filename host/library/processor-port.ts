/** An emulator in the page as the processor of the machine in the worker: the two ends of a port between them. */
import type { Processor, ProcessorState } from '../machine/processor.ts';
import { Calls, serveCalls, Transferred } from './rpc.ts';

type ProcessorFunctions = ReturnType<typeof functionsOf>;

function functionsOf(processor: Processor, state: ProcessorState) {
  return {
    run: async (_: object): Promise<void> => processor.run(),
    halt: (wait: { forDisks: boolean }): Promise<void> => processor.halt(wait),
    pressPowerButton: async (_: object): Promise<void> => processor.pressPowerButton?.(),
    reset: async (_: object): Promise<void> => {
      await processor.reset();
    },
    saveState: async (_: object): Promise<Transferred<ArrayBuffer>> => {
      const saved = await state.saveState();
      return new Transferred(saved, [saved]);
    },
    restoreState: (saved: ArrayBuffer): Promise<void> => state.restoreState(saved),
    refer: (snapshot: string): Promise<void> => state.refer(snapshot),
  };
}

/** The page's end. */
export function serveProcessor(port: MessagePort, processor: Processor, state: ProcessorState): void {
  serveCalls(port, functionsOf(processor, state));
}

/** The worker's end. A page that is gone runs no code. */
export class RemoteProcessor implements Processor, ProcessorState {
  readonly state = this;
  private readonly calls: Calls<ProcessorFunctions>;

  constructor(port: MessagePort) {
    this.calls = new Calls<ProcessorFunctions>(port);
  }

  run(): void {
    this.calls.call('run', {}).catch(() => {});
  }

  async halt(wait: { forDisks: boolean }): Promise<void> {
    await this.calls.call('halt', wait).catch(() => {});
  }

  pressPowerButton(): void {
    this.calls.call('pressPowerButton', {}).catch(() => {});
  }

  async reset(): Promise<void> {
    await this.calls.call('reset', {}).catch(() => {});
  }

  saveState(): Promise<ArrayBuffer> {
    return this.calls.call('saveState', {});
  }

  async restoreState(state: ArrayBuffer): Promise<void> {
    await this.calls.call('restoreState', state, [state]);
  }

  async refer(snapshot: string): Promise<void> {
    await this.calls.call('refer', snapshot);
  }

  /** It stands, and nobody answers any more. */
  async close(): Promise<void> {
    await this.halt({ forDisks: false });
    this.calls.close();
  }
}
