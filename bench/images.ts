/**
 * The images that are measured: 1 GiB of data that does not compress and holds no zeros, as raw and as qcow2.
 */
import { closeSync, existsSync, mkdtempSync, openSync, writeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { ours, run } from './side.ts';

export const imageBytes = 1 << 30;
const chunkBytes = 1 << 20;

export interface Images {
  readonly raw: string;
  readonly qcow2: string;
}

/** A folder, and what its file system is called in rows. */
export interface Place {
  readonly name: 'the disk' | 'tmpfs';
  readonly folder: string;
}

export async function makeImages(folder: string): Promise<Images> {
  const raw = join(folder, 'disk.raw');
  const qcow2 = join(folder, 'disk.qcow2');
  makeImage(raw, imageBytes);
  await run(ours('img', 'convert', '-f', 'raw', '-O', 'qcow2', raw, qcow2));
  return { raw, qcow2 };
}

/** Where tmpfs is; undefined where there is none. */
export const memoryRoot = existsSync('/dev/shm') ? '/dev/shm' : undefined;

/** A new one on tmpfs, where there is one: no disk decides what is measured there. */
export function memoryFolder(): string {
  return mkdtempSync(join(memoryRoot ?? tmpdir(), 'blockyard-bench-'));
}

/** A raw image of such data; `bytes` in whole MiB. */
export function makeImage(path: string, bytes: number): void {
  let state = 0x2545f491;
  fill(path, bytes, () => {
    state = (Math.imul(state, 1664525) + 1013904223) | 0;
    return state | 1;
  });
}

/** One that compresses to about a third, as programs and their data do; `bytes` in whole MiB. */
export function makeCompressibleImage(path: string, bytes: number): void {
  let state = 0x1234567;
  fill(path, bytes, () => {
    state = (Math.imul(state, 1664525) + 1013904223) | 0;
    // One word in eight is as good as random; the others are of a few hundred.
    return state >>> 29 === 0 ? state | 1 : Math.imul((state >>> 20) & 0x1ff, 0x01030507) | 1;
  });
}

function fill(path: string, bytes: number, nextWord: () => number): void {
  const file = openSync(path, 'w');
  const chunk = new Uint32Array(chunkBytes / 4);
  for (let offset = 0; offset < bytes; offset += chunkBytes) {
    for (let i = 0; i < chunk.length; i++) chunk[i] = nextWord();
    writeSync(file, chunk);
  }
  closeSync(file);
}
