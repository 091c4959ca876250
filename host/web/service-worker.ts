/**
 * Keeps the page for when there is no network: after the first visit it starts, and its machines run, without the server.
 *
 * What is asked for comes from the server whenever that answers, whatever it says: a page is never older than its server. What was kept
 * is one build as a whole, and goes when another has been kept. Images are no part of the page and pass by.
 */

/** By the build: paths from the page, and what names this build. */
declare const pageFiles: readonly string[];
declare const buildName: string;

interface WaitingEvent extends Event {
  waitUntil(work: Promise<unknown>): void;
}

interface RequestEvent extends WaitingEvent {
  readonly request: Request;
  respondWith(answer: Promise<Response>): void;
}

/** As far as it is used here, of a scope that the types for pages do not know. */
interface ServiceWorkerScope {
  addEventListener(type: 'install' | 'activate', listener: (event: WaitingEvent) => void): void;
  addEventListener(type: 'fetch', listener: (event: RequestEvent) => void): void;
  readonly clients: { claim(): Promise<void> };
  skipWaiting(): Promise<void>;
}

const scope = self as unknown as ServiceWorkerScope;
const prefix = 'blockyard-page-';
const cacheName = `${prefix}${buildName}`;
const firmwareFiles = ['firmware/bios.bin', 'firmware/vgabios.bin'];
const kept = new Set([...pageFiles, ...firmwareFiles].map((path) => new URL(path, location.href).href));

scope.addEventListener('install', (event) => event.waitUntil(keep().then(() => scope.skipWaiting())));

scope.addEventListener('activate', (event) =>
  event.waitUntil(dropOthers().then(() => scope.clients.claim())),
);

scope.addEventListener('fetch', (event) => {
  const { request } = event;
  const [url] = request.url.split(/[?#]/, 1);
  if (request.method === 'GET' && kept.has(url!)) event.respondWith(answer(request)); // split gives one piece at least
});

/** All of it, or it rejects, and the browser tries again at the next visit. */
async function keep(): Promise<void> {
  const offer = (await (await fetch('offer.json')).json()) as { firmware: boolean };
  const cache = await caches.open(cacheName);
  await cache.addAll([...pageFiles, ...(offer.firmware ? firmwareFiles : [])]);
}

async function dropOthers(): Promise<void> {
  const names = await caches.keys();
  const others = names.filter((name) => name.startsWith(prefix) && name !== cacheName);
  await Promise.all(others.map((name) => caches.delete(name)));
}

async function answer(request: Request): Promise<Response> {
  try {
    return await fetch(request);
  } catch (error) {
    const found = await caches.match(request, { ignoreSearch: true });
    if (found) return found;
    throw error;
  }
}
