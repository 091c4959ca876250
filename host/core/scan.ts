/**
 * Finding zeros and differences in buffers.
 *
 * Buffers in an instance's memory are scanned there by SIMD steps (`ScanArena`). Buffers anywhere else are looked at
 * where they are: bringing them into WebAssembly memory would cost more than the scan.
 */
import { CoreInstance } from './instance.ts';

const wordBytes = 4;

/** Whether every byte is zero. Stops at the first that is not, which in data is nearly always the first word. */
export function isZero(buffer: Uint8Array): boolean {
  return firstNonZero(buffer) === buffer.length;
}

/** Index of the first byte that is not zero, or the length. */
export function firstNonZero(buffer: Uint8Array): number {
  const head = Math.min(-buffer.byteOffset & (wordBytes - 1), buffer.length);
  for (let at = 0; at < head; at++) if (buffer[at] !== 0) return at;
  const words = new Int32Array(buffer.buffer, buffer.byteOffset + head, (buffer.length - head) >>> 2);
  let word = 0;
  while (word < words.length && words[word] === 0) word++;
  let at = head + word * wordBytes;
  while (at < buffer.length && buffer[at] === 0) at++;
  return at;
}

interface ScanExports {
  scan_is_zero(address: number, bytes: number): number;
  scan_first_nonzero(address: number, bytes: number): number;
  scan_run(address: number, bytes: number, granule: number): number;
  scan_first_difference(a: number, b: number, bytes: number): number;
}

export interface ScanBuffer {
  readonly address: number;
  readonly bytes: Uint8Array;
}

/** Buffers for copy loops: read into them, scan them, write out of them, all without a copy. */
export class ScanArena {
  private readonly core: CoreInstance<ScanExports>;

  constructor(totalBytes: number) {
    this.core = new CoreInstance<ScanExports>(totalBytes);
  }

  allocate(bytes: number): ScanBuffer {
    return this.core.allocate(bytes, 64);
  }

  isZero({ address }: ScanBuffer, offset: number, bytes: number): boolean {
    return this.core.exports.scan_is_zero(address + offset, bytes) !== 0;
  }

  /** Bytes from `offset` on that are all zero or all not, judged in whole granules. */
  run({ address }: ScanBuffer, offset: number, bytes: number, granule: number): { zero: boolean; bytes: number } {
    const run = this.core.exports.scan_run(address + offset, bytes, granule);
    return { zero: run < 0, bytes: Math.abs(run) };
  }

  /** Index of the first byte in which two buffers differ, or `bytes`. */
  firstDifference(a: ScanBuffer, b: ScanBuffer, bytes: number): number {
    return this.core.exports.scan_first_difference(a.address, b.address, bytes);
  }
}
