/**
 * What a guest in v86 gets of its first disk: the embedded guest makes one request after the other, by DMA, as Linux does, and
 * waits for the interrupt of each. The same on Node and in pages.
 */

/** v86 as far as it is used here. */
export interface LoadedEmulator {
  add_listener(event: string, listener: (value?: never) => void): void;
  serial_send_bytes(serial: number, bytes: Uint8Array): void;
}

interface Load {
  readonly name: string;
  readonly kind: 'r' | 'R' | 'w' | 'W';
  readonly sectors: number;
  readonly count: number;
}

/**
 * Of disks of `loadedBytes`, which hold nothing yet. The first reads come before all writes: of an overlay they are the only
 * ones that its base answers, since the writes after them reach everywhere. The few at random come first of all: on a disk
 * that has everything at hand they show little but a guest that warms up.
 */
const loads: readonly Load[] = [
  { name: 'first read, 4 KiB at random', kind: 'R', sectors: 8, count: 500 },
  { name: 'first read, 64 KiB in order', kind: 'r', sectors: 128, count: 1024 },
  { name: 'write 64 KiB in order', kind: 'w', sectors: 128, count: 1024 },
  { name: 'read 64 KiB in order', kind: 'r', sectors: 128, count: 1024 },
  { name: 'write 4 KiB at random', kind: 'W', sectors: 8, count: 4000 },
  { name: 'read 4 KiB at random', kind: 'R', sectors: 8, count: 4000 },
];

export const loadedBytes = 64 << 20;

export interface LoadResult {
  readonly name: string;
  readonly bytes: number;
  readonly requestsPerSecond: number;
}

/** The embedded guest's serial console. */
class Console {
  private output = '';
  private wake: () => void = () => {};

  constructor(private readonly emulator: LoadedEmulator) {
    emulator.add_listener('serial0-output-byte', (byte?: number) => {
      this.output += String.fromCharCode(byte!); // it comes with the event
      this.wake();
    });
  }

  async until(pattern: RegExp): Promise<void> {
    for (;;) {
      const found = pattern.exec(this.output);
      if (found) {
        this.output = this.output.slice(found.index + found[0].length);
        return;
      }
      await new Promise<void>((resolve) => {
        this.wake = resolve;
      });
    }
  }

  async run(line: string, answer: RegExp): Promise<void> {
    this.emulator.serial_send_bytes(0, new TextEncoder().encode(`${line}\r`));
    await this.until(answer);
    await this.until(/> /);
  }
}

/** `start` has the guest run. It writes to the first disk, and takes what records it has from both. */
export async function measureLoads(emulator: LoadedEmulator, start: () => unknown): Promise<LoadResult[]> {
  const console = new Console(emulator);
  const begun = console.until(/found[^\n]*\n(.*\n)?> /);
  await start();
  await begun;
  await console.run('stop', /stopped/);
  await console.run('clear', /cleared/);
  const results: LoadResult[] = [];
  for (const { name, kind, sectors, count } of loads) {
    const line = `load ${kind} ${sectors} ${count}`;
    const startMs = performance.now();
    await console.run(line, /done/);
    const seconds = (performance.now() - startMs) / 1000;
    results.push({ name, bytes: sectors * 512, requestsPerSecond: count / seconds });
  }
  return results;
}
