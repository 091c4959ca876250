/**
 * What the consistency check has to say, in the words of qemu-img check (specification: qcow2, section 10.3).
 *
 * The codes are those of assembly/qcow2/check.ts.
 */
import { unreachable } from '../../../base/assert.ts';

export const findingCodes = [
  'none',
  'overflow',
  'beyond-end',
  'l1-reserved',
  'l2-unaligned',
  'l2-reserved',
  'data-unaligned',
  'zero-unaligned',
  'zero-unaligned-fixed',
  'compressed-copied',
  'leak',
  'leak-fixed',
  'too-low',
  'too-low-fixed',
  'copied-data',
  'copied-l2',
  'copied-unknown',
  'copied-l2-unknown',
] as const;
type FindingCode = (typeof findingCodes)[number];

export interface Finding {
  readonly code: FindingCode;
  /** How many references have this defect: a table that is used n times is looked at once. */
  readonly times: number;
  readonly a: bigint;
  readonly b: bigint;
}

const widerRefcounts =
  'Use qemu-img amend to increase the refcount entry width or qemu-img convert to create a clean copy if the image cannot be opened for writing';

/** One or two lines. `references` is the count of a leaked or under-counted cluster; `fixing` words COPIED findings. */
export function describeFinding(finding: Finding, references: number, fixing: boolean): string {
  const { code, a, b } = finding;
  const hex = a.toString(16);
  const verb = fixing ? 'Repairing' : 'ERROR';
  switch (code) {
    case 'overflow':
      return `ERROR: overflow cluster offset=0x${hex}\n${widerRefcounts}`;
    case 'beyond-end':
      return describeBeyondEnd(a, b);
    case 'l1-reserved':
      return `ERROR found L1 entry with reserved bits set: ${hex}`;
    case 'l2-unaligned':
      return `ERROR l2_offset=${hex}: Table is not cluster aligned; L1 entry corrupted`;
    case 'l2-reserved':
      return `ERROR found l2 entry with reserved bits set: ${hex}`;
    case 'data-unaligned':
      return `ERROR offset=${hex}: Data cluster is not properly aligned; L2 entry corrupted.`;
    case 'zero-unaligned':
      return `ERROR offset=${hex}: Preallocated cluster is not properly aligned; L2 entry corrupted.`;
    case 'zero-unaligned-fixed':
      return `Repairing offset=${hex}: Preallocated cluster is not properly aligned; L2 entry corrupted.`;
    case 'compressed-copied':
      return `ERROR: coffset=0x${hex}: copied flag must never be set for compressed clusters`;
    case 'leak':
      return `Leaked cluster ${a} refcount=${b} reference=${references}`;
    case 'too-low':
      return `ERROR cluster ${a} refcount=${b} reference=${references}`;
    case 'leak-fixed':
    case 'too-low-fixed':
      return `Repairing cluster ${a} refcount=${b} reference=${references}`;
    case 'copied-data':
    case 'copied-unknown':
      return `${verb} OFLAG_COPIED data cluster: l2_entry=${hex} refcount=${b}`;
    case 'copied-l2':
    case 'copied-l2-unknown':
      return `${verb} OFLAG_COPIED L2 cluster: l1_index=${b >> 32n} l1_entry=${hex} refcount=${b & 0xffffffffn}`;
    case 'none':
      return '';
    default:
      return unreachable(code);
  }
}

export function describeBeyondEnd(offset: bigint | number, bytes: bigint | number): string {
  const where = `offset 0x${offset.toString(16)} size 0x${bytes.toString(16)}`;
  return `ERROR: counting reference for region exceeding the end of the file by one cluster or more: ${where}`;
}
