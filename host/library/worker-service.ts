/** The block layer over the storage of the browser. */
import { withoutUndefined } from '../base/without-undefined.ts';
import { browserDrivers } from '../drivers-browser.ts';
import { makeBrowserPlatform } from '../platform/browser/index.ts';
import { startService } from './service.ts';

/** The page's first message. */
export interface WorkerStart {
  port: MessagePort;
  /** Gives the parts that are loaded on demand. */
  parts: MessagePort;
  /** What may be kept of web servers' files; 0: nothing is. */
  httpCacheBytes: number;
}

export function start({ port, httpCacheBytes }: WorkerStart): Promise<void> {
  const platform = makeBrowserPlatform({ chunkStoreBytes: httpCacheBytes });
  const { chunkStore } = platform;
  return startService(port, {
    platform,
    drivers: browserDrivers,
    ...withoutUndefined({ httpCache: chunkStore }),
  });
}
