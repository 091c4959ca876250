/**
 * The images that are measured: 1 GiB of data that does not compress and holds no zeros, as raw and as qcow2.
 */
import { closeSync, existsSync, mkdtempSync, openSync, writeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { ours, run } from './side.ts';

const imageBytes = 1 << 30;
const chunkBytes = 1 << 20;

export async function makeImages(folder: string): Promise<{ raw: string; qcow2: string; second: string }> {
  const raw = join(folder, 'disk.raw');
  const qcow2 = join(folder, 'disk.qcow2');
  const second = join(folder, 'second.qcow2');
  makeImage(raw, imageBytes);
  for (const target of [qcow2, second]) {
    await run(ours('img', 'convert', '-f', 'raw', '-O', 'qcow2', raw, target));
  }
  return { raw, qcow2, second };
}

/** A new one on tmpfs, where there is one: no disk decides what is measured there. */
export function memoryFolder(): string {
  return mkdtempSync(join(existsSync('/dev/shm') ? '/dev/shm' : tmpdir(), 'blockyard-bench-'));
}

/** A raw image of such data; `bytes` in whole MiB. */
export function makeImage(path: string, bytes: number): void {
  const file = openSync(path, 'w');
  const chunk = new Uint32Array(chunkBytes / 4);
  let state = 0x2545f491;
  for (let offset = 0; offset < bytes; offset += chunkBytes) {
    for (let i = 0; i < chunk.length; i++) {
      state = (Math.imul(state, 1664525) + 1013904223) | 0;
      chunk[i] = state | 1;
    }
    writeSync(file, chunk);
  }
  closeSync(file);
}
