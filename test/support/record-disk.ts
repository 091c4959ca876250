/** What a disk held at one instant, for the proof that linked records give. */
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import type { RecordDisk } from '../../host/emulator/guest/linked-records.ts';

/** `data` is what is on the disk, and stays as it is. */
export function recordDisk(data: Uint8Array): RecordDisk {
  return {
    length: data.length,
    async read(offset, buffer) {
      buffer.set(data.subarray(offset, offset + buffer.length));
    },
    async write() {
      throw new Error('a copy is not written');
    },
  };
}

/** The disk of an image, as `qemu-img` reads it. */
export function recordDiskOf(image: string): RecordDisk {
  execFileSync('qemu-img', ['convert', '-O', 'raw', image, `${image}.raw`]);
  return recordDisk(readFileSync(`${image}.raw`));
}
