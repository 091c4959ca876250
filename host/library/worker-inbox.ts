/**
 * Where the page's first message waits for the worker. The core that the service is made of takes a moment to unpack while
 * modules load, and a message that comes when nobody listens is lost: so this module is loaded first. It says at once that
 * it is here, by which a page knows this worker from any other script.
 */
import type { PlainError } from './rpc.ts';
import type { WorkerStart } from './worker-service.ts';

/** What a worker tells its page by itself: that it listens, and then perhaps that there is no block layer in it, and why. */
export type WorkerMessage = { type: 'listening' } | { type: 'failed'; error: PlainError };

/** To the page that has started this worker. */
export function tellPage(message: WorkerMessage): void {
  self.postMessage(message);
}

export const firstMessage = new Promise<WorkerStart>((resolve) => {
  self.onmessage = ({ data }: MessageEvent<WorkerStart>) => resolve(data);
});

tellPage({ type: 'listening' });
