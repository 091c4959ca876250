/**
 * The worker of `blockyard/browser`. It says at once what it does with the page's first message, which has the port to the
 * service, and loads the service only then: a message that comes before there is a listener would be lost.
 */
import type { WorkerStart } from './worker-service.ts';

self.onmessage = ({ data }: MessageEvent<WorkerStart>) => {
  import('./worker-service.ts').then(({ start }) => start(data)).catch((error) => self.reportError(error));
};
