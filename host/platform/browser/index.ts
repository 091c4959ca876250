/**
 * The browser as a platform. In a dedicated worker all of it is there; a page has everything but files, which it cannot
 * open without waiting. Nothing here needs cross-origin isolation.
 */
import { withoutUndefined } from '../../base/without-undefined.ts';
import { Blobs } from '../blobs.ts';
import { type Console, type Fetch, type Platform, ProgramEnded } from '../platform.ts';
import { OpfsChunkStore } from './chunk-store.ts';
import { clock } from './clock.ts';
import { codecs } from './codecs.ts';
import { explainedFetch } from './fetch.ts';
import { OpfsFiles } from './opfs-files.ts';
import { random } from './random.ts';
import { webSockets } from './websockets.ts';

const log: Console = {
  stdout: (line) => console.log(line),
  stderr: (line) => console.warn(line),
  error: (message) => console.error(message),
  warn: (message) => console.warn(`warning: ${message}`),
  fatal(line) {
    console.error(line);
    throw new ProgramEnded(line);
  },
};

const browserFetch: Fetch = (url, request) => explainedFetch(url, request as RequestInit);

interface BrowserPlatform extends Platform {
  readonly blobs: Blobs;
  readonly chunkStore?: OpfsChunkStore;
}

/** `chunkStoreBytes`: what may be kept of remote files; 0: nothing is. It is nothing, too, where pages have no files. */
export function makeBrowserPlatform({ chunkStoreBytes = 0 } = {}): BrowserPlatform {
  const hasFiles = navigator.storage?.getDirectory !== undefined;
  const chunkStore = hasFiles && chunkStoreBytes > 0 ? new OpfsChunkStore(chunkStoreBytes) : undefined;
  return {
    clock,
    random,
    files: new OpfsFiles(chunkStore && (() => chunkStore.giveWay())),
    codecs,
    console: log,
    fetch: browserFetch,
    webSockets,
    blobs: new Blobs(),
    ...withoutUndefined({ chunkStore }),
  };
}
