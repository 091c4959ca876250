/**
 * What the disks of the embedded guest start from when there is no image: room for its records, which is zeros, and behind it
 * data, so that there is something to copy. A Blob that names one piece many times takes the room of that piece, so
 * they are there at once, and nothing is written.
 *
 * What one of them holds never changes: overlays are kept that were made on it.
 */
import { recordAreaBytes } from '../emulator/guest/linked-records.ts';

const pieceBytes = 1 << 20;
const dataBytes = 64 << 20;

/** `disk`: another one has other data. */
export function embeddedDisk(disk: string): File {
  const zeros = new Blob([new Uint8Array(pieceBytes)]);
  const data = new Blob([pattern(disk.charCodeAt(0))]);
  const parts = [
    ...Array<Blob>(recordAreaBytes / pieceBytes).fill(zeros),
    ...Array<Blob>(dataBytes / pieceBytes).fill(data),
  ];
  // Name and time are what an overlay's base is known by.
  return new File(parts, `embedded-${disk}`, { lastModified: 0 });
}

/** Bytes that look like any data (xorshift): neither zeros nor the begin of a record. */
function pattern(seed: number): Uint8Array<ArrayBuffer> {
  const words = new Uint32Array(pieceBytes / 4);
  let state = seed;
  for (let i = 0; i < words.length; i++) {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    words[i] = state;
  }
  return new Uint8Array(words.buffer);
}
