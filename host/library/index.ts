/**
 * blockyard as a library, in web pages: `blockyard/browser`.
 *
 * `openBlockyard` starts the block layer in a worker of its own. What a page does with it is in the README of this folder.
 *
 * ```ts
 * const yard = await openBlockyard();
 * await yard.openOverlay({ node: 'hda', file: 'hda.qcow2', base: { driver: 'https', url: 'https://…/disk.img' } });
 * const emulator = await yard.start(V86, { …, hda: await yard.disk({ node: 'hda' }) });
 * const backup = await yard.backup({ disks: { hda: { target: 'backup.qcow2' } } });
 * await backup.done;
 * ```
 *
 * @module blockyard/browser
 */

import { loadFile } from '../platform/browser/load-file.ts';
import type { WorkerStart } from './worker-service.ts';
import { makeWorkerUrl, servePartsOver } from './worker-source.ts';
import { watchStart } from './worker-start.ts';
import { Blockyard, type TraceOptions } from './yard.ts';

export { BlockError } from '../base/errors.ts';
export type { DiskReference, GuestDisk } from '../emulator/guest-disk.ts';
export type { FlushPolicy } from '../emulator/local-disk.ts';
export { V86Disk, type V86DiskKind, type V86DiskState } from '../emulator/v86/disk.ts';
export type { V86Constructor, V86Emulator } from '../emulator/v86/emulator.ts';
export { keepFiles } from '../platform/browser/keep-files.ts';
export type { PrefetchList } from '../protocols/http/driver.ts';
export type { JsonObject, JsonValue } from '../qapi/json-value.ts';
export { type EventListener, QmpClient, QmpError, type QmpEvent } from '../qmp/client.ts';
export type { TraceRecord } from '../trace/event.ts';
export type { Backup, BackupPlan, DiskBackup } from './backup.ts';
export type { ExportSource } from './export.ts';
export { BaseChangedError, type OverlayOptions } from './overlay.ts';
export { type RemoteDiskOptions, RemoteGuestDisk } from './remote-disk.ts';
export type { EmulatorOptions, RemoteEmulator } from './remote-emulator.ts';
export type { Blockyard, DiskOptions, TraceOptions } from './yard.ts';

/** How the block layer of a page is started. */
export interface OpenOptions {
  /**
   * Of the package's `blockyard/browser/worker.js`, for pages whose Content-Security-Policy does not let workers and scripts be
   * made of texts (`blob:`). It must be of the page's own origin. Default: the worker is made of the text that is in the package.
   */
  readonly workerUrl?: string | URL;
  /**
   * What may be kept of web servers' files in the browser's own storage, in bytes, so that another page load need not fetch
   * them again; 0: nothing is. Default: 1 GiB, and never from the last quarter of what the browser grants.
   */
  readonly httpCacheBytes?: number;
  /** What is watched from the start: see `Blockyard.trace`. */
  readonly trace?: TraceOptions;
}

const defaultHttpCacheBytes = 1 << 30;

/**
 * Starts the block layer, from a page or from a dedicated worker, in a worker of its own. Whatever emulators have written is made
 * durable when the page is hidden; a worker that calls this is not told of that, and has `flush`.
 * Errors: the worker could not be loaded or started, with the reason; a `workerUrl` whose script says nothing for ten seconds
 * once it has been loaded is not that of this package.
 */
export async function openBlockyard({
  workerUrl,
  httpCacheBytes = defaultHttpCacheBytes,
  trace,
}: OpenOptions = {}): Promise<Blockyard> {
  if (typeof Worker === 'undefined')
    throw new Error('The block layer needs a worker, which only pages and dedicated workers can start');
  const madeUrl = workerUrl === undefined ? await makeWorkerUrl() : undefined;
  const worker = makeWorker(madeUrl ?? workerUrl!); // one of them there is
  const end = (): void => {
    worker.terminate();
    if (madeUrl !== undefined) URL.revokeObjectURL(madeUrl);
  };
  const start = watchStart(
    worker,
    workerUrl === undefined ? undefined : new URL(workerUrl, location.href).href,
  );
  const [control, parts] = [new MessageChannel(), new MessageChannel()];
  servePartsOver(parts.port1);
  const message: WorkerStart = { port: control.port2, parts: parts.port2, httpCacheBytes };
  worker.postMessage(message, [control.port2, parts.port2]);
  try {
    const connecting = Blockyard.connect(control.port1, { fileDriver: 'opfs', emulatorFiles: { loadFile } });
    const yard = await Promise.race([connecting, start.failed]);
    if (trace) await yard.trace(trace);
    const flushHidden = (): void => {
      if (document.visibilityState === 'hidden') void yard.flush();
    };
    globalThis.document?.addEventListener('visibilitychange', flushHidden);
    // A bug there, or no memory left: nothing would answer any more.
    worker.onerror = () => yard.abandon();
    yard.whenClosed(() => {
      globalThis.document?.removeEventListener('visibilitychange', flushHidden);
      end();
    });
    return yard;
  } catch (error) {
    end();
    throw error;
  } finally {
    start.end();
  }
}

function makeWorker(url: string | URL): Worker {
  try {
    return new Worker(url, { type: 'module' });
  } catch (error) {
    throw new Error(
      `The worker of the block layer must be of the page's own origin: ${(error as Error).message}`,
      { cause: error },
    );
  }
}
