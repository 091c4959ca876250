/**
 * The one compiled core: its bytes travel in the bundle, and it is compiled once, when first needed.
 */
import bytes from '../../build/core.wasm';

let compiled: WebAssembly.Module | undefined;

export function coreModule(): WebAssembly.Module {
  compiled ??= new WebAssembly.Module(bytes);
  return compiled;
}
