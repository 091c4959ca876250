/**
 * Compiling WebAssembly, and why a host does not: browsers say in words of their own, or not at all, that a page has forbidden it.
 *
 * A module with nothing in it tells which: a host that does not take that one either takes none.
 */
import { BlockError } from '../base/errors.ts';

const emptyModule = Uint8Array.of(0, 0x61, 0x73, 0x6d, 1, 0, 0, 0);

/** At once. Errors: ENOTSUP, with the reason. */
export function compileNow(bytes: BufferSource): WebAssembly.Module {
  try {
    return new WebAssembly.Module(bytes);
  } catch (error) {
    throw refusal(error);
  }
}

/** What makes instances of a program, given its imports, and gives their exports. Errors: ENOTSUP, with the reason. */
export async function compile(bytes: BufferSource): Promise<(imports: unknown) => Promise<unknown>> {
  const module = await WebAssembly.compile(bytes).catch((error: unknown) => {
    throw refusal(error);
  });
  return async (imports) => (await WebAssembly.instantiate(module, imports as WebAssembly.Imports)).exports;
}

function refusal(cause: unknown): BlockError {
  return new BlockError('ENOTSUP', `${reason()} (${(cause as Error).message})`, { cause });
}

function reason(): string {
  if (typeof WebAssembly === 'undefined') return 'This browser has WebAssembly switched off';
  try {
    new WebAssembly.Module(emptyModule);
  } catch {
    return "The Content-Security-Policy of this page, or of its worker, forbids WebAssembly: script-src needs 'wasm-unsafe-eval'";
  }
  return 'This is no WebAssembly that this browser knows';
}
