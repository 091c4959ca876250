/**
 * The one compiled core: its bytes travel in the bundle, and it is compiled once, when first needed.
 */
import bytes from '../../build/core.wasm';
import { compileNow } from './compile.ts';

let compiled: WebAssembly.Module | undefined;

/** Errors: ENOTSUP: the host does not compile it. */
export function coreModule(): WebAssembly.Module {
  compiled ??= compileNow(bytes);
  return compiled;
}
