/**
 * The parts of the worker that are loaded when they are first needed, as texts: a worker that was made of a text, as this one is
 * (worker-source.ts), has no address that a file could lie beside.
 */
import { BlockError } from '../base/errors.ts';
import { Calls } from './rpc.ts';
import type { PartFunctions } from './worker-source.ts';

/** In the texts, the address of the worker that they are parts of. */
const workerMark = 'blockyard:worker';

/**
 * Has `importPart(name)`, which the build writes for `import()`, ask whoever is at the other end of `port`. A part that is not to be
 * had, for the page's server is gone, fails what needs it with EIO.
 */
export function loadPartsFrom(port: MessagePort): void {
  const page = new Calls<PartFunctions>(port);
  const loaded = new Map<string, Promise<unknown>>();
  const load = async (name: string): Promise<unknown> => {
    try {
      const text = await page.call('getPart', { name });
      return await importText(text.replaceAll(workerMark, import.meta.url));
    } catch (cause) {
      const { message } = cause as Error; // whatever fails here is the browser's or the page's
      throw new BlockError('EIO', `Could not load part '${name}' of the block layer: ${message}`, { cause });
    }
  };
  const importPart = (name: string): Promise<unknown> => {
    const part = loaded.get(name) ?? load(name);
    loaded.set(name, part);
    // What failed is tried again by whoever needs it next.
    part.catch(() => loaded.delete(name));
    return part;
  };
  Object.assign(globalThis, { importPart });
}

async function importText(text: string): Promise<unknown> {
  const url = URL.createObjectURL(new Blob([text], { type: 'text/javascript' }));
  try {
    return await import(url);
  } finally {
    URL.revokeObjectURL(url);
  }
}
