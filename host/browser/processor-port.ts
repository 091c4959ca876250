/** An emulator in the page as the processor of the machine in the worker: the two ends of a port between them. */
import type { Processor } from '../machine/processor.ts';
import { Calls, serveCalls } from './rpc.ts';

type ProcessorFunctions = ReturnType<typeof functionsOf>;

function functionsOf(processor: Processor) {
  return {
    run: async (_: object): Promise<void> => processor.run(),
    halt: (wait: { forDisks: boolean }): Promise<void> => processor.halt(wait),
    reset: async (_: object): Promise<void> => {
      await processor.reset();
    },
  };
}

/** The page's end. */
export function serveProcessor(port: MessagePort, processor: Processor): void {
  serveCalls(port, functionsOf(processor));
}

/** The worker's end. A page that is gone runs no code. */
export class RemoteProcessor implements Processor {
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

  async reset(): Promise<void> {
    await this.calls.call('reset', {}).catch(() => {});
  }

  /** Nobody answers any more. */
  close(): void {
    this.calls.close();
  }
}
