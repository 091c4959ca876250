/** The real v86, which is an optional package. Tests with it skip, visibly, where it is absent. */
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import type { V86Constructor, V86Emulator } from '../../host/emulator/v86/emulator.ts';
import { requireAll } from './tools.ts';

export interface InstalledV86 {
  readonly V86: V86Constructor<V86Emulator>;
  /** What every emulator of a test needs and does not need. */
  readonly options: Readonly<Record<string, unknown>>;
}

async function load(): Promise<InstalledV86 | undefined> {
  try {
    const main = createRequire(import.meta.url).resolve('v86');
    const { V86 } = (await import('v86')) as unknown as InstalledV86;
    const options = {
      wasm_path: join(dirname(main), 'v86.wasm'),
      memory_size: 16 << 20,
      disable_keyboard: true,
      disable_mouse: true,
      disable_speaker: true,
    };
    return { V86, options };
  } catch (error) {
    if (requireAll) throw error;
    return undefined;
  }
}

export const installedV86 = await load();
