/**
 * What `img amend -o` takes for qcow2, and what it comes to for one image (specification: qcow2, section 11.4). What
 * only a new image can have is refused where the list is read (cli/img/amend.ts).
 */
import { BlockError, invalid } from '../../../base/errors.ts';
import { sectorBytes } from '../../../base/sectors.ts';
import type { CreateOption, CreateValues } from '../../../block/driver.ts';
import { luksAmendOptions } from '../../../crypto/luks/options.ts';
import { createOptions } from '../create/create-options.ts';
import { compatible } from '../disk/feature-bits.ts';
import type { Qcow2Header } from '../disk/header.ts';

const alsoForNewImages = [
  ...['backing_file', 'backing_fmt', 'compat', 'data_file', 'data_file_raw'],
  ...['lazy_refcounts', 'refcount_bits', 'size'],
];

export const amendOptions: readonly CreateOption[] = [
  ...createOptions.filter(({ name }) => alsoForNewImages.includes(name)),
  ...luksAmendOptions('encrypt.'),
];

/** What the image is to be. */
export interface WantedImage {
  readonly version: 2 | 3;
  readonly refcountOrder: number;
  readonly lazyRefcounts: boolean;
  /** Bytes; as it is when absent. */
  readonly size: number | undefined;
}

/** Errors: EINVAL and ENOTSUP in QEMU's words; the image's content is not looked at. */
export function parseAmendValues(values: CreateValues, header: Qcow2Header): WantedImage {
  const version = parseVersion(values.compat, header);
  refuseBackingFile(values, header);
  const refcountOrder = parseWidth(values.refcount_bits, { version, header });
  if (values.data_file !== undefined) {
    throw invalid('data-file can only be set for images that use an external data file');
  }
  if (values.data_file_raw === true) throw invalid('data-file-raw cannot be set on existing images');
  const isLazy = (header.compatibleFeatures & compatible.lazyRefcounts) !== 0n;
  if (values.lazy_refcounts === true && !isLazy && version < 3) {
    throw invalid(
      'Lazy refcounts only supported with compatibility level 1.1 and above (use compat=1.1 or greater)',
    );
  }
  const size = Number(values.size ?? 0);
  if (size % sectorBytes !== 0) throw invalid('The new size must be a multiple of 512');
  if (version < 3 && refcountOrder !== 4)
    throw new BlockError('ENOTSUP', 'compat=0.10 requires refcount_bits=16');
  return {
    version,
    refcountOrder,
    lazyRefcounts: version === 3 && ((values.lazy_refcounts as boolean | undefined) ?? isLazy),
    // No size at all means that it stays, as in QEMU.
    size: size || undefined,
  };
}

function parseVersion(compat: CreateValues[string], header: Qcow2Header): 2 | 3 {
  switch (compat) {
    case undefined:
      return header.version;
    case '0.10':
    case 'v2':
      return 2;
    case '1.1':
    case 'v3':
      return 3;
    default:
      throw invalid(`Unknown compatibility level ${compat}`);
  }
}

/** It may be named when it is what it is already. */
function refuseBackingFile(values: CreateValues, { backingFile, backingFormat }: Qcow2Header): void {
  const { backing_file: file, backing_fmt: format } = values;
  if (file === undefined && format === undefined) return;
  if (file === backingFile && format === backingFormat) return;
  throw invalid('Cannot amend the backing file', "You can use 'qemu-img rebase' instead.");
}

function parseWidth(
  bits: CreateValues[string],
  { version, header }: { version: 2 | 3; header: Qcow2Header },
): number {
  if (bits === undefined) return header.refcountOrder;
  const order = Math.log2(Number(bits));
  if (!Number.isInteger(order) || order < 0 || order > 6) {
    throw invalid('Refcount width must be a power of two and may not exceed 64 bits');
  }
  if (version < 3 && order !== 4) {
    throw invalid(
      'Refcount widths other than 16 bits require compatibility level 1.1 or above (use compat=1.1 or greater)',
    );
  }
  return order;
}
