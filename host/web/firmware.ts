/**
 * Firmware for machines that start from a disk: the server's, or, where it has none, what somebody has chosen for this page once. That is kept
 * among the page's files.
 */
import { loadFile } from '../platform/browser/load-file.ts';
import { rootDirectory } from '../platform/browser/paths.ts';
import { writeFile } from './own-files.ts';

/** By v86's options: where it is kept, where the server has it, and how people call it. */
const parts = {
  bios: { file: 'firmware-bios.bin', url: 'firmware/bios.bin', title: 'BIOS' },
  vga_bios: { file: 'firmware-vgabios.bin', url: 'firmware/vgabios.bin', title: 'VGA BIOS' },
} as const;

export type FirmwarePart = keyof typeof parts;
export const firmwareParts = Object.keys(parts) as FirmwarePart[];

/** Whether some was chosen. False, too, where the browser keeps no files. */
export async function hasKeptFirmware(): Promise<boolean> {
  return (await keptFirmware().catch(() => undefined)) !== undefined;
}

/** Keeps what was chosen: files, or addresses. Errors: it cannot be had, is none, or cannot be kept. */
export async function keepFirmware(chosen: Readonly<Record<FirmwarePart, File | string>>): Promise<void> {
  const contents = await Promise.all(firmwareParts.map((part) => contentOf(part, chosen[part])));
  for (const [i, part] of firmwareParts.entries()) await writeFile(parts[part].file, contents[i]!); // one for each
}

/** For v86. */
export async function firmwareOptions(): Promise<Readonly<Record<FirmwarePart, unknown>>> {
  return (await keptFirmware()) ?? { bios: parts.bios.url, vga_bios: parts.vga_bios.url };
}

/** Undefined: not all of it is there. */
async function keptFirmware(): Promise<Record<FirmwarePart, File> | undefined> {
  const directory = await rootDirectory();
  try {
    const [bios, vgaBios] = await Promise.all(
      firmwareParts.map(async (part) => (await directory.getFileHandle(parts[part].file)).getFile()),
    );
    // A browser that died while it kept them has left them empty.
    return bios!.size > 0 && vgaBios!.size > 0 ? { bios: bios!, vga_bios: vgaBios! } : undefined; // one for each
  } catch (error) {
    if (error instanceof DOMException && error.name === 'NotFoundError') return undefined;
    throw error;
  }
}

async function contentOf(part: FirmwarePart, chosen: File | string): Promise<ArrayBuffer> {
  const { title } = parts[part];
  const name = typeof chosen === 'string' ? chosen : chosen.name;
  if (name === '') throw new Error(`Choose a file for the ${title}.`);
  const content = typeof chosen === 'string' ? await loadFile(chosen) : await chosen.arrayBuffer();
  if (!looksLike(part, new Uint8Array(content))) throw new Error(`'${name}' is no ${title}.`);
  return content;
}

/** A BIOS ends in what the processor does first, a jump; that of a display begins as every extension of a BIOS. */
function looksLike(part: FirmwarePart, bytes: Uint8Array): boolean {
  if (part === 'bios') return bytes.length > 0 && bytes.length % 65536 === 0 && bytes.at(-16) === 0xea;
  return bytes[0] === 0x55 && bytes[1] === 0xaa;
}
