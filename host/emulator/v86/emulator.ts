/**
 * v86 as far as it is used here: the members that its npm package has kept over the years, and how one is made.
 *
 * The package is never imported: whoever has it hands it in.
 */

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
 * them: the machine decides when it runs.
 */
export function createV86<Emulator extends V86Emulator>(
  V86: V86Constructor<Emulator>,
  options: Readonly<Record<string, unknown>>,
): Promise<Emulator> {
  return new Promise((resolve) => {
    const emulator = new V86({ ...options, autostart: false } as never);
    const ready = (): void => {
      emulator.remove_listener('emulator-ready', ready);
      // What v86 does in the same turn, restoring a first state among it, is over then.
      void Promise.resolve().then(() => resolve(emulator));
    };
    emulator.add_listener('emulator-ready', ready);
  });
}
