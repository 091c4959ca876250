/**
 * What the machine starts with, as options of v86: a Linux kernel, a multiboot kernel, or the BIOS and whatever is on the
 * disks. When nothing is named and there is nothing on them to boot, it is the embedded guest.
 */
import { readFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { invalid, strerror } from '../../base/errors.ts';
import { withoutUndefined } from '../../base/without-undefined.ts';
import { guestKernel } from '../../emulator/guest/index.ts';
import type { V86Drives } from '../../emulator/v86/drives.ts';
import { fromSystemError } from '../../platform/node/errors.ts';
import { biosName, findFirmwareFile, vgaBiosName } from '../../platform/node/firmware.ts';
import type { CommandLine } from '../system/options.ts';

type V86Options = Readonly<Record<string, unknown>>;

/** The header of a multiboot kernel is in its first bytes, at a multiple of four. */
const multibootMagic = 0x1badb002;
const multibootBytes = 8192;

/** Errors: BlockError, a file cannot be read or options do not go together. */
export async function bootOptions(line: CommandLine, drives: V86Drives): Promise<V86Options> {
  const [kernel, initrd, append] = ['kernel', 'initrd', 'append'].map((name) => line.get(name));
  if (kernel === undefined) {
    if (initrd !== undefined) throw invalid('-initrd only allowed with -kernel option');
    if (append !== undefined) throw invalid('-append only allowed with -kernel option');
    const usesBios = line.has('bios') || drives.cdrom !== undefined || (await isBootable(drives));
    return usesBios ? biosOptions(line) : { multiboot: guestKernel() };
  }
  const image = read('kernel', kernel);
  if (isMultiboot(image)) {
    if (initrd !== undefined) throw invalid('-initrd: a multiboot kernel is given none');
    const cmdline = withoutUndefined({ cmdline: append });
    return { multiboot: { buffer: image }, ...cmdline, ...(line.has('bios') ? biosOptions(line) : {}) };
  }
  return {
    bzimage: { buffer: image },
    ...(initrd === undefined ? {} : { initrd: { buffer: read('initrd', initrd) } }),
    cmdline: append ?? '',
    ...biosOptions(line),
  };
}

/** Whether the first disk has a boot sector. */
async function isBootable({ hda }: V86Drives): Promise<boolean> {
  if (!hda) return false;
  const sector = await new Promise<Uint8Array>((resolve) => hda.get(0, 512, resolve));
  return sector[510] === 0x55 && sector[511] === 0xaa;
}

function biosOptions(line: CommandLine): V86Options {
  const path = line.get('bios') ?? findFirmwareFile(biosName);
  if (path === undefined) {
    throw invalid(
      'There is no SeaBIOS where it is usually installed: name one with -bios, or start a multiboot kernel with -kernel',
    );
  }
  const vgaBios = findFirmwareFile(vgaBiosName, [dirname(path)]);
  return {
    bios: { buffer: read('bios', path) },
    ...(vgaBios === undefined ? {} : { vga_bios: { buffer: read('bios', vgaBios) } }),
  };
}

/** What cannot be had, in QEMU's words. */
const failures = {
  kernel: (path: string, reason: string) =>
    reason === strerror('EISDIR')
      ? `could not load kernel '${path}': ${reason}`
      : `could not open kernel file '${path}': ${reason}`,
  initrd: (path: string, reason: string) => `error reading initrd ${path}: ${reason}`,
  bios: (path: string, reason: string) => `could not load PC BIOS '${path}': ${reason}`,
};

function read(what: keyof typeof failures, path: string): ArrayBuffer {
  try {
    const bytes = readFileSync(path);
    return bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.length) as ArrayBuffer;
  } catch (error) {
    throw invalid(failures[what](path, fromSystemError(error).message));
  }
}

function isMultiboot(image: ArrayBuffer): boolean {
  const head = new DataView(image, 0, Math.min(multibootBytes, image.byteLength));
  for (let at = 0; at + 4 <= head.byteLength; at += 4) {
    if (head.getUint32(at, true) === multibootMagic) return true;
  }
  return false;
}
