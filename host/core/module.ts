/**
 * The modules of the core: their bytes travel in the bundle, and each is compiled once, when first needed.
 */
import coreBytes from '../../build/core.wasm';
import qcow2Bytes from '../../build/qcow2.wasm';
import { compileNow } from './compile.ts';

export class CoreModule {
  private module: WebAssembly.Module | undefined;

  constructor(private readonly bytes: BufferSource) {}

  /** Errors: ENOTSUP: the host does not compile it. */
  compiled(): WebAssembly.Module {
    this.module ??= compileNow(this.bytes);
    return this.module;
  }
}

/** Scans, bitmaps and copy-before-write. */
export const coreModule = new CoreModule(coreBytes);
/** Open images. Its check has a module of its own (host/formats/qcow2/check/check-core.ts). */
export const qcow2Module = new CoreModule(qcow2Bytes);
