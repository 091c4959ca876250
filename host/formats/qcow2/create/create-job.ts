/**
 * What blockdev-create and x-blockdev-amend take for qcow2 (specification: jobs, section 11).
 *
 * An image is made from the same values as by `img create`; what only a command line can say is said here by QAPI
 * types. Encryption and external data files are refused by name.
 */
import { BlockError, invalid } from '../../../base/errors.ts';
import { sectorBytes } from '../../../base/sectors.ts';
import type { ChildSpec, CreateValues } from '../../../block/driver.ts';
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

const cipherAlgorithms = [
  ...['aes-128', 'aes-192', 'aes-256', 'des', '3des', 'cast5-128'],
  ...['serpent-128', 'serpent-192', 'serpent-256', 'twofish-128', 'twofish-192', 'twofish-256', 'sm4'],
];
const hashAlgorithm = enumeration('QCryptoHashAlgorithm', [
  ...['md5', 'sha1', 'sha224', 'sha256', 'sha384', 'sha512', 'ripemd160', 'sm3'],
]);
const encryptionFormat = enumeration('QCryptoBlockFormat', ['qcow', 'luks']);
const keySecret = struct('QCryptoBlockOptionsQCow', { 'key-secret': optional(str) });
const luksCreation = struct('QCryptoBlockCreateOptionsLUKS', {
  'key-secret': optional(str),
  'cipher-alg': optional(enumeration('QCryptoCipherAlgorithm', cipherAlgorithms)),
  'cipher-mode': optional(enumeration('QCryptoCipherMode', ['ecb', 'cbc', 'xts', 'ctr'])),
  'ivgen-alg': optional(enumeration('QCryptoIVGenAlgorithm', ['plain', 'plain64', 'essiv'])),
  'ivgen-hash-alg': optional(hashAlgorithm),
  'hash-alg': optional(hashAlgorithm),
  'iter-time': optional(int),
});
const encryption: UnionType<object> = {
  kind: 'union',
  name: 'QCryptoBlockCreateOptions',
  base: struct('QCryptoBlockOptionsBase', { format: encryptionFormat }),
  discriminator: 'format',
  branches: () => ({ qcow: keySecret, luks: luksCreation }),
};
const luksChange = struct('QCryptoBlockAmendOptionsLUKS', {
  state: enumeration('QCryptoBlockLUKSKeyslotState', ['active', 'inactive']),
  'new-secret': optional(str),
  'old-secret': optional(str),
  keyslot: optional(int),
  'iter-time': optional(int),
  secret: optional(str),
});
const encryptionChange: UnionType<object> = {
  kind: 'union',
  name: 'QCryptoBlockAmendOptions',
  base: struct('QCryptoBlockOptionsBase', { format: encryptionFormat }),
  discriminator: 'format',
  branches: () => ({ qcow: empty, luks: luksChange }),
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
  if (given.encrypt) throw new BlockError('ENOTSUP', "Parameter 'encrypt' is not supported");
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
  };
}

export const amendJobOptions = struct('BlockdevAmendOptionsQcow2', { encrypt: optional(encryptionChange) });

/** Nothing but the keys of an encrypted image can be changed by a job, and no image here is encrypted. */
export function checkAmendJob({ encrypt }: TypeOf<typeof amendJobOptions>): void {
  if (encrypt) throw invalid("image is not encrypted, can't amend");
}
