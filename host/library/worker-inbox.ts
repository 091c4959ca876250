/**
 * Where the page's first message waits for the worker. The core that the service is made of takes a moment to unpack while
 * modules load, and a message that comes when nobody listens is lost: so this module is loaded first.
 */
import type { WorkerStart } from './worker-service.ts';

export const firstMessage = new Promise<WorkerStart>((resolve) => {
  self.onmessage = ({ data }: MessageEvent<WorkerStart>) => resolve(data);
});
