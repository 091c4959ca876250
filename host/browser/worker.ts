/**
 * The worker of `blockyard/browser`. It says at once what it does with the page's first message, which has the port to the
 * service, and loads the service only then: a message that comes before there is a listener would be lost.
 */

self.onmessage = ({ data: port }: MessageEvent<MessagePort>) => {
  import('./worker-service.ts').then(({ start }) => start(port)).catch((error) => self.reportError(error));
};
