/** Reserving the space of a file before it is used. */
import { asBlockError, BlockError } from '../../base/errors.ts';
import type { HostFile } from '../../platform/platform.ts';

const zeroBytes = 1 << 20;

/**
 * Extends `file` from `from` to `to` bytes. `falloc` reserves space where the host can and writes zeros where it
 * cannot; `full` always writes them, and makes them durable. Errors: `Could not preallocate new data: …`, or `Could not
 * write zeros for preallocation: …`.
 */
export async function preallocate(
  file: HostFile,
  mode: 'falloc' | 'full',
  from: number,
  to: number,
): Promise<void> {
  if (to <= from) return;
  try {
    if (to > Number.MAX_SAFE_INTEGER) throw new BlockError('EFBIG');
    if (mode === 'falloc' && (await file.allocate(from, to - from))) return;
    await writeZeros(file, from, to);
  } catch (error) {
    throw asBlockError(error).within(
      mode === 'falloc' ? 'Could not preallocate new data' : 'Could not write zeros for preallocation',
    );
  }
}

async function writeZeros(file: HostFile, from: number, to: number): Promise<void> {
  const zeros = new Uint8Array(Math.min(zeroBytes, to - from));
  for (let offset = from; offset < to; offset += zeros.length) {
    await file.write(offset, zeros.subarray(0, Math.min(zeros.length, to - offset)));
  }
  await file.flush();
}
