/**
 * Where SeaBIOS is: emulators' packages do not bring it along, but whoever has QEMU has it. The folders are those of Debian, Fedora,
 * Arch, Alpine, openSUSE and the others, of Homebrew, MacPorts, the BSDs, NixOS, and of QEMU's installer for Windows.
 */
import { join } from 'node:path';
import { fileExists } from './file-exists.ts';
import { loadFile } from './load-file.ts';

export const biosName = 'bios.bin';
export const vgaBiosName = 'vgabios-stdvga.bin';

/** Those of SeaBIOS itself first: QEMU's may be older. */
const folders: readonly string[] = [
  '/usr/share/seabios',
  '/usr/share/seavgabios',
  '/usr/share/qemu',
  '/usr/share/qemu-kvm',
  '/opt/homebrew/share/qemu',
  '/home/linuxbrew/.linuxbrew/share/qemu',
  '/usr/local/share/seabios',
  '/usr/local/share/qemu',
  '/opt/local/share/qemu',
  '/usr/pkg/share/qemu',
  '/run/current-system/sw/share/qemu',
  ...['share', ''].map((folder) => join(process.env['ProgramFiles'] ?? 'C:/Program Files', 'qemu', folder)),
];

/** The first folder's file of this name; `first` is looked into before all others. */
export function findFirmwareFile(name: string, first: readonly string[] = []): string | undefined {
  return [...first, ...folders].map((folder) => join(folder, name)).find((path) => fileExists(path));
}

/** Undefined: there is none. Errors: it cannot be read. */
export async function findFirmware(): Promise<{ bios: ArrayBuffer; vgaBios?: ArrayBuffer } | undefined> {
  const bios = findFirmwareFile(biosName);
  if (bios === undefined) return undefined;
  const vgaBios = findFirmwareFile(vgaBiosName);
  return {
    bios: await loadFile(bios),
    ...(vgaBios === undefined ? {} : { vgaBios: await loadFile(vgaBios) }),
  };
}
