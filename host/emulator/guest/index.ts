/**
 * The embedded guest, assembled from guest.s by the build: a multiboot kernel, which v86 enters without any firmware.
 *
 * It needs 4 MiB of memory, two IDE disks (v86's `hda` and `hdb`) and the first serial port, which is its console.
 */
import kernel from '../../../build/guest.bin';

/** For v86's option `multiboot`; a copy each time. */
export function guestKernel(): { buffer: ArrayBuffer } {
  return { buffer: kernel.slice().buffer };
}
