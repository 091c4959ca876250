/**
 * v86 as far as it is used here: the members that its npm package has kept over the years, and how one is made.
 *
 * The package is never imported: whoever has it hands it in.
 */

import { type FileSources, loadFiles, loadProgram, type V86Program } from './files.ts';
import { takeTurns } from './turns.ts';

/** The members of v86 that are used here, which `V86` of the package has. */
export interface V86Emulator {
  run(): Promise<void> | void;
  stop(): Promise<void> | void;
  restart(): void;
  is_running(): boolean;
  destroy(): Promise<void>;
  save_state(): Promise<ArrayBuffer>;
  restore_state(state: ArrayBuffer): Promise<void>;
  add_listener(event: 'emulator-ready', listener: () => void): void;
  add_listener(event: 'serial0-output-byte', listener: (byte: number) => void): void;
  remove_listener(event: 'emulator-ready', listener: () => void): void;
}

/** The class `V86` of the package, `V86Starter` in old ones. */
export type V86Constructor<Emulator extends V86Emulator = V86Emulator> = new (options: never) => Emulator;

/**
 * Makes an emulator that does not run yet, and settles when it could. `options` are v86's own; `autostart` is not among
 * them: the machine decides when it runs. With `sources`, its files are loaded first: see `loadFiles`. `prepare` gets the emulator
 * when it is complete, before its `initial_state` is restored.
 * Errors: with `sources`, what v86 needs cannot be had; without, v86 waits for it for ever. Its `initial_state` is no state of
 * this version of v86.
 */
export async function createV86<Emulator extends V86Emulator>(
  V86: V86Constructor<Emulator>,
  options: Readonly<Record<string, unknown>>,
  sources?: FileSources,
  prepare: (emulator: Emulator) => void = takeTurns,
): Promise<Emulator> {
  const loaded = sources ? await loadFiles(options, sources) : options;
  const program = sources && (await loadProgram(options, sources.loadFile));
  // v86 would restore it where a failure is nobody's, and go on with half a machine.
  const { initial_state: first, ...others } = loaded;
  const state = (first as { buffer?: unknown } | undefined)?.buffer;
  const isRestored = state instanceof ArrayBuffer;
  const emulator = await makeEmulator(V86, isRestored ? others : loaded, program);
  try {
    prepare(emulator);
    if (isRestored) await restore(emulator, state);
    return emulator;
  } catch (error) {
    await emulator.destroy();
    throw error;
  }
}

async function restore(emulator: V86Emulator, state: ArrayBuffer): Promise<void> {
  try {
    await emulator.restore_state(state);
  } catch (error) {
    throw new Error(
      `v86 cannot start from its 'initial_state', which is damaged or of another version: ${(error as Error).message}`,
      { cause: error },
    );
  }
}

function makeEmulator<Emulator extends V86Emulator>(
  V86: V86Constructor<Emulator>,
  options: Readonly<Record<string, unknown>>,
  program: V86Program | undefined,
): Promise<Emulator> {
  return new Promise((resolve, reject) => {
    const instantiate = (imports: unknown): Promise<unknown> =>
      program!.instantiate(imports).catch((error: unknown) => {
        // it is asked for where there is one
        reject(error);
        return new Promise(() => {});
      });
    const emulator = new V86({
      ...options,
      ...(program ? { wasm_fn: instantiate } : {}),
      autostart: false,
    } as never);
    // For the worker in which v86 unpacks what is compressed.
    if (program) Object.assign(emulator, { wasm_source: program.bytes });
    const ready = (): void => {
      emulator.remove_listener('emulator-ready', ready);
      // What v86 does in the same turn is over then.
      void Promise.resolve().then(() => resolve(emulator));
    };
    emulator.add_listener('emulator-ready', ready);
  });
}
