/**
 * The file under a qcow2 image, as the code that works on whole tables sees it. Both `Edge` and `BlockBackend` fit.
 *
 * What lies past the end reads as zeros, without an error (specification: qcow2, section 0.6).
 */
import { roundUp } from '../../../base/sectors.ts';
import type { Preallocation } from '../../../block/driver.ts';

export interface ReadableImageFile {
  /** Bytes, possibly rounded up to 512. */
  readonly length: number;
  read(offset: number, buffer: Uint8Array): Promise<void>;
}

export interface ImageFile extends ReadableImageFile {
  write(offset: number, buffer: Uint8Array): Promise<void>;
  flush(): Promise<void>;
}

/** The empty file in which an image is made. */
export interface NewImageFile {
  read(offset: number, buffer: Uint8Array): Promise<void>;
  write(offset: number, buffer: Uint8Array): Promise<void>;
  truncate(length: number, options?: { preallocation: Preallocation }): Promise<void>;
  flush(): Promise<void>;
}

/** `bytes` with zeros behind them, up to a multiple of `unit`. */
export function padded(bytes: Uint8Array, unit: number): Uint8Array {
  if (bytes.length % unit === 0) return bytes;
  const whole = new Uint8Array(roundUp(bytes.length, unit));
  whole.set(bytes);
  return whole;
}
