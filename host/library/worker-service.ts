/** The block layer over the storage of the browser. */
import { withoutUndefined } from '../base/without-undefined.ts';
import { coreModule } from '../core/module.ts';
import { browserDrivers } from '../drivers-browser.ts';
import { makeBrowserPlatform } from '../platform/browser/index.ts';
import { loadFile } from '../platform/browser/load-file.ts';
import { plain } from './rpc.ts';
import { startService } from './service.ts';
import { tellPage } from './worker-inbox.ts';

/** The page's first message. */
export interface WorkerStart {
  port: MessagePort;
  /** Gives the parts that are loaded on demand. */
  parts: MessagePort;
  /** What may be kept of web servers' files; 0: nothing is. */
  httpCacheBytes: number;
}

/** A page whose block layer cannot be started is told why. */
export async function start({ port, httpCacheBytes }: WorkerStart): Promise<void> {
  try {
    // What a page may have forbidden is found out now, and not by its first image.
    coreModule.compiled();
    const platform = makeBrowserPlatform({ chunkStoreBytes: httpCacheBytes });
    const { chunkStore } = platform;
    await startService(port, {
      platform,
      drivers: browserDrivers,
      emulatorFiles: { loadFile },
      ...withoutUndefined({ httpCache: chunkStore }),
    });
  } catch (error) {
    tellPage({ type: 'failed', error: plain(error) });
  }
}
