/**
 * The files that v86 needs before it can start: firmware, kernels, saved states, and its own WebAssembly.
 *
 * v86 fetches them itself, but waits for ever for one that does not come. So they are loaded here, and v86 gets what was in them.
 * What it takes in parts (disks by URL) or unpacks by their names (`.zst`) is left to it.
 */
import { compile } from '../../core/compile.ts';

export interface FileSources {
  /** A whole file. Errors: an Error that names it and says why it cannot be had. */
  loadFile(url: string): Promise<ArrayBuffer>;
  /** What there is where no firmware is named; undefined: none. */
  findFirmware?(): Promise<{ bios: ArrayBuffer; vgaBios?: ArrayBuffer } | undefined>;
}

/** v86's own program: as it was loaded, and what makes it run. */
export interface V86Program {
  readonly bytes: ArrayBuffer;
  instantiate(imports: unknown): Promise<unknown>;
}

type LoadFile = FileSources['loadFile'];

type Options = Readonly<Record<string, unknown>>;

/** Options of v86 that name one file each, which is loaded as a whole. */
const fileOptions = [
  'bios',
  'vga_bios',
  'initial_state',
  'multiboot',
  'bzimage',
  'initrd',
  'fda',
  'fdb',
] as const;

/** Where v86 looks for its WebAssembly when it is not told. */
const defaultWasmPath = 'build/v86.wasm';

/**
 * v86's options with nothing left to load. A file may be given as v86 has it (`{ url }`, `{ buffer }`), as an address (string or
 * URL), a Blob, or its bytes. Errors: a file cannot be had; there is no firmware, and nothing that does without.
 */
export async function loadFiles(options: Options, sources: FileSources): Promise<Options> {
  const loaded: Record<string, unknown> = { ...options };
  for (const name of fileOptions) {
    if (options[name] !== undefined) loaded[name] = await contentOf(name, options[name], sources.loadFile);
  }
  if (!['bios', 'multiboot', 'initial_state'].some((name) => loaded[name])) {
    const found = await sources.findFirmware?.();
    if (!found) throw noFirmware();
    loaded['bios'] = { buffer: found.bios };
    if (found.vgaBios) loaded['vga_bios'] ??= { buffer: found.vgaBios };
  }
  return loaded;
}

/** For v86's option `wasm_fn`. Undefined: the options have one. */
export async function loadProgram(
  { wasm_fn: given, wasm_path: path = defaultWasmPath }: Options,
  loadFile: LoadFile,
): Promise<V86Program | undefined> {
  if (given) return undefined;
  return loading('wasm_path', async () => {
    const bytes = await loadFile(String(path));
    const instantiate = await compile(bytes);
    return {
      bytes,
      instantiate: (imports) =>
        loading('wasm_path', async () => {
          const exports = await instantiate(imports);
          // v86 calls it in a place where a failure is nobody's, and then waits for ever.
          if ('rust_init' in (exports as object)) return exports;
          throw new Error(`${path} is another program`);
        }),
    };
  });
}

async function contentOf(name: string, given: unknown, loadFile: LoadFile): Promise<unknown> {
  const { url, buffer } = given as { url?: unknown; buffer?: unknown };
  if (typeof given === 'string' || given instanceof URL) return contentOf(name, { url: given }, loadFile);
  if (given instanceof Blob) return { buffer: await loading(name, () => given.arrayBuffer()) };
  if (given instanceof ArrayBuffer) return { buffer: given };
  if (ArrayBuffer.isView(given)) {
    const { byteOffset, byteLength } = given;
    return { buffer: given.buffer.slice(byteOffset, byteOffset + byteLength) };
  }
  if (buffer instanceof Blob) return contentOf(name, buffer, loadFile);
  if (url === undefined || (name !== 'initial_state' && String(url).endsWith('.zst'))) return given;
  return { buffer: await loading(name, () => loadFile(String(url))) };
}

async function loading<T>(name: string, load: () => Promise<T>): Promise<T> {
  try {
    return await load();
  } catch (error) {
    throw new Error(`v86 cannot start without its '${name}': ${(error as Error).message}`, { cause: error });
  }
}

function noFirmware(): Error {
  return new Error(
    "v86 needs firmware, and its package has none: name SeaBIOS as 'bios' and 'vga_bios' (an address or a File; where QEMU is installed these are bios.bin and vgabios-stdvga.bin), or a kernel as 'multiboot'",
  );
}
