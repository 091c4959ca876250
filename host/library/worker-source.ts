/**
 * The worker and its parts as texts, and a worker made of them.
 *
 * The texts are made by the build (host/build/browser.mjs), a module for each, and are loaded by `import()` alone: that is
 * what each bundler, development server and browser finds without being told anything, and a page loads no more than it needs.
 * A worker's address by `new URL(…, import.meta.url)` is found by some bundlers only, and by none in all of their modes.
 */
import { serveCalls } from './rpc.ts';

const texts: Readonly<Record<string, () => Promise<{ default: string }>>> = {
  worker: () => import('blockyard:worker'),
  'on-demand': () => import('blockyard:on-demand'),
  'on-server': () => import('blockyard:on-server'),
  'remote-file': () => import('blockyard:remote-file'),
  'saved-machines': () => import('blockyard:saved-machines'),
  'copying-jobs': () => import('blockyard:copying-jobs'),
  introspect: () => import('blockyard:introspect'),
  emulator: () => import('blockyard:emulator'),
  export: () => import('blockyard:export'),
  activity: () => import('blockyard:activity'),
  spiller: () => import('blockyard:spiller'),
  encryption: () => import('blockyard:encryption'),
  deflate: () => import('blockyard:deflate'),
  zstd: () => import('blockyard:zstd'),
};

async function getText(name: string): Promise<string> {
  const load = texts[name];
  if (!load) throw new Error(`The worker has no part '${name}'`);
  return (await load()).default;
}

const functions = { getPart: ({ name }: { name: string }): Promise<string> => getText(name) };

/** What the worker asks its page for. */
export type PartFunctions = typeof functions;

/** Gives the worker its parts over `port`. */
export function servePartsOver(port: MessagePort): void {
  serveCalls(port, functions);
}

/** The address of the worker's text, which whoever calls revokes once the worker has ended. */
export async function makeWorkerUrl(): Promise<string> {
  return URL.createObjectURL(new Blob([await getText('worker')], { type: 'text/javascript' }));
}
