/**
 * Image formats that there are no drivers for, or none in pages, told by how their files begin (specification: graph, section 6).
 *
 * A container that is not read must not be taken for the disk inside it: an image probed to be one of these is refused
 * by the name of its format. The signatures are those by which QEMU chooses its drivers, so a file is refused exactly
 * where QEMU would not have taken it for raw. Naming the format raw makes the file's own bytes the disk, as anywhere.
 */
import { BlockError } from '../base/errors.ts';

/** Offset from the start of the file, and the bytes there, one a character. */
type Part = readonly [offset: number, bytes: string];

interface Signature {
  format: string;
  /** All of them are there. */
  parts: readonly Part[];
}

const signatures: readonly Signature[] = [
  { format: 'vmdk', parts: [[0, 'KDMV']] },
  { format: 'vmdk', parts: [[0, 'COWD']] },
  { format: 'vhdx', parts: [[0, 'vhdxfile']] },
  // An image of fixed size has this only at its end, and is its own content before.
  { format: 'vpc', parts: [[0, 'conectix']] },
  { format: 'vdi', parts: [[64, '\x7f\x10\xda\xbe']] },
  { format: 'parallels', parts: [[0, 'WithoutFreeSpace\x02\0\0\0']] },
  { format: 'parallels', parts: [[0, 'WithouFreSpacExt\x02\0\0\0']] },
  { format: 'qed', parts: [[0, 'QED\0']] },
  { format: 'qcow', parts: [[0, 'QFI\xfb\0\0\0\x01']] },
  { format: 'luks', parts: [[0, 'LUKS\xba\xbe\0\x01']] },
  ...['\0\0\x01\0', '\0\0\x02\0'].map((version) => ({
    format: 'bochs',
    parts: [
      [0, 'Bochs Virtual HD Image\0'],
      [32, 'Redolog\0'],
      [48, 'Growing\0'],
      [64, version],
    ] as const,
  })),
  {
    format: 'cloop',
    parts: [[0, '#!/bin/sh\n#V2.0 Format\nmodprobe cloop file=$0 && mount -r -t iso9660 /dev/cloop $1\n']],
  },
];

/** The text that describes a vmdk image in several files: comments and lines of spaces, then its version. */
const vmdkDescriptor = /^(?:(?:#[^\n]*| +\r?)\n)*version=[123]\r?\n/;

/** What QEMU looks at for that. */
const descriptorBytes = 512;

/** The format of a file that starts with `head`; undefined when it is none of these. dmg images are told by their name. */
export function foreignFormat(head: Uint8Array, filename?: string): string | undefined {
  for (const { format, parts } of signatures) {
    if (parts.every(([offset, bytes]) => holds(head, offset, bytes))) return format;
  }
  if (vmdkDescriptor.test(String.fromCharCode(...head.subarray(0, descriptorBytes)))) return 'vmdk';
  return filename?.endsWith('.dmg') ? 'dmg' : undefined;
}

function holds(head: Uint8Array, offset: number, bytes: string): boolean {
  for (let i = 0; i < bytes.length; i++) {
    if (head[offset + i] !== bytes.charCodeAt(i)) return false;
  }
  return true;
}

export function foreignFormatError(format: string): BlockError {
  return new BlockError('ENOTSUP', `Images in format '${format}' are not supported`, {
    hint: "Specify the 'raw' format explicitly to take the bytes of the file for those of the disk.",
  });
}
