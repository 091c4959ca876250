/**
 * What blockdev-create and x-blockdev-amend take for qcow2 (specification: jobs, section 11).
 *
 * An image is made from the same values as by `img create`; what only a command line can say is said here by QAPI
 * types. External data files are refused by name.
 */
import { BlockError, invalid } from '../../../base/errors.ts';
import { sectorBytes } from '../../../base/sectors.ts';
import type { ChildSpec, CreateValues } from '../../../block/driver.ts';
import { luksAmendType, luksCreateType, withPrefix } from '../../../crypto/luks/options.ts';
import { blockdevDriver, preallocationMode } from '../../../qapi/block-types.ts';
import {
  bool,
  empty,
  enumeration,
  int,
  optional,
  size,
  str,
  struct,
  type TypeOf,
  type UnionType,
} from '../../../qapi/types.ts';

const encryptionFormat = enumeration('QCryptoBlockFormat', ['qcow', 'luks']);
const keySecret = struct('QCryptoBlockOptionsQCow', { 'key-secret': optional(str) });
const encryption: UnionType<object> = {
  kind: 'union',
  name: 'QCryptoBlockCreateOptions',
  base: struct('QCryptoBlockOptionsBase', { format: encryptionFormat }),
  discriminator: 'format',
  branches: () => ({ qcow: keySecret, luks: luksCreateType }),
};
const encryptionChange: UnionType<object> = {
  kind: 'union',
  name: 'QCryptoBlockAmendOptions',
  base: struct('QCryptoBlockOptionsBase', { format: encryptionFormat }),
  discriminator: 'format',
  branches: () => ({ qcow: empty, luks: luksAmendType }),
};

export const createJobOptions = struct('BlockdevCreateOptionsQcow2', {
  'data-file-raw': optional(bool),
  'extended-l2': optional(bool),
  size,
  version: optional(enumeration('BlockdevQcow2Version', ['v2', 'v3'])),
  'backing-file': optional(str),
  'backing-fmt': optional(blockdevDriver),
  encrypt: optional(encryption),
  'cluster-size': optional(size),
  preallocation: optional(preallocationMode),
  'lazy-refcounts': optional(bool),
  'refcount-bits': optional(int),
  'compression-type': optional(enumeration('Qcow2CompressionType', ['zlib', 'zstd'])),
});

export type CreateJobOptions = TypeOf<typeof createJobOptions>;

/** The nodes that an image is made of. */
export const createJobChildren: readonly ChildSpec[] = [
  { name: 'file' },
  { name: 'data-file', optional: true },
];

/** The options as values of creation options. Errors: a size that no disk has; what is not done here. */
export function createJobValues(given: CreateJobOptions): CreateValues {
  // No disk is so large; what JavaScript made of the number is not what was said.
  if (given.size % sectorBytes !== 0 || given.size >= 2 ** 64) {
    throw invalid('Image size must be a multiple of 512 bytes');
  }
  if ('data-file' in given) throw new BlockError('ENOTSUP', "Parameter 'data-file' is not supported");
  return {
    size: given.size,
    compat: given.version,
    backing_file: given['backing-file'],
    backing_fmt: given['backing-fmt'],
    cluster_size: given['cluster-size'],
    preallocation: given.preallocation,
    lazy_refcounts: given['lazy-refcounts'],
    refcount_bits: given['refcount-bits'],
    compression_type: given['compression-type'],
    extended_l2: given['extended-l2'],
    data_file_raw: given['data-file-raw'],
    ...(given.encrypt && encryptionValues(given.encrypt)),
  };
}

export const amendJobOptions = struct('BlockdevAmendOptionsQcow2', { encrypt: optional(encryptionChange) });

/** As values of `img amend`. Undefined: nothing is to change, for nothing but the keys of an encrypted image can. */
export function amendJobValues({ encrypt }: TypeOf<typeof amendJobOptions>): CreateValues | undefined {
  return encrypt && encryptionValues(encrypt);
}

/** What is `aes` to a command line. */
const legacyFormat = 'qcow';

function encryptionValues(encrypt: object): CreateValues {
  const { format, ...others } = encrypt as { format: string };
  return withPrefix('encrypt.', { format: format === legacyFormat ? 'aes' : format, ...others });
}
