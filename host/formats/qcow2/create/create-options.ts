/**
 * Creation options: their declaration, and what they come to (specification: qcow2, section 1.8).
 *
 * External data files and extended L2 entries are refused by name. What options of encryption come to, the part of it says
 * that is loaded for such images (live/encryption.ts).
 */
import { BlockError, invalid } from '../../../base/errors.ts';
import { wholeSectors } from '../../../base/sectors.ts';
import type { CreateDefinition, CreateValues, Preallocation } from '../../../block/driver.ts';
import { luksCreateOptions } from '../../../crypto/luks/options.ts';
import { type CompressionType, maxClusterBits, minClusterBits } from '../disk/header.ts';

const minExtendedL2ClusterBytes = 16 * 1024;

/** A creation request, checked. */
export interface CreateParameters {
  readonly version: 2 | 3;
  /** Bytes, a multiple of 512. */
  readonly size: number;
  /** Bytes. */
  readonly clusterSize: number;
  readonly refcountOrder: number;
  readonly lazyRefcounts: boolean;
  readonly compressionType: CompressionType;
  readonly preallocation: Preallocation;
  readonly backingFile: string | undefined;
  readonly backingFormat: string | undefined;
  /** The values, where they ask for encryption. */
  readonly encryption: CreateValues | undefined;
}

export const createOptions: CreateDefinition['options'] = [
  {
    name: 'encryption',
    type: 'bool',
    help: "Encrypt the image with format 'aes'. (Deprecated in favor of encrypt.format=aes)",
  },
  { name: 'encrypt.format', type: 'string', help: "Encrypt the image, format choices: 'aes', 'luks'" },
  ...luksCreateOptions('encrypt.', 'ID of secret providing qcow AES key or LUKS passphrase'),
  { name: 'cluster_size', type: 'size', help: 'qcow2 cluster size', default: '65536' },
  { name: 'extended_l2', type: 'bool', help: 'Extended L2 tables', default: 'off' },
  {
    name: 'preallocation',
    type: 'string',
    help: 'Preallocation mode (allowed values: off, metadata, falloc, full)',
  },
  {
    name: 'compression_type',
    type: 'string',
    help: 'Compression method used for image cluster compression',
    default: 'zlib',
  },
  { name: 'size', type: 'size', help: 'Virtual disk size' },
  { name: 'compat', type: 'string', help: 'Compatibility level (v2 [0.10] or v3 [1.1])' },
  { name: 'backing_file', type: 'string', help: 'File name of a base image' },
  { name: 'backing_fmt', type: 'string', help: 'Image format of the base image' },
  { name: 'data_file', type: 'string', help: 'File name of an external data file' },
  { name: 'data_file_raw', type: 'bool', help: 'The external data file must stay valid as a raw image' },
  { name: 'lazy_refcounts', type: 'bool', help: 'Postpone refcount updates', default: 'off' },
  {
    name: 'refcount_bits',
    type: 'number',
    help: 'Width of a reference count entry in bits',
    default: '16',
  },
];

/** Errors: EINVAL with QEMU's words for bad options; ENOTSUP for what is not done here. */
export function parseCreateValues(values: CreateValues): CreateParameters {
  refuseUnsupported(values);
  const version = parseVersion(values.compat);
  const preallocation = parsePreallocation(values.preallocation);
  const compressionType = parseCompression(values.compression_type);
  const clusterSize = Number(values.cluster_size ?? 65536);
  const clusterBits = Math.log2(clusterSize);
  if (!Number.isInteger(clusterBits) || clusterBits < minClusterBits || clusterBits > maxClusterBits) {
    throw invalid('Cluster size must be a power of two between 512 and 2048k');
  }
  const backingFile = nonEmpty(values.backing_file);
  const backingFormat = nonEmpty(values.backing_fmt);
  if (backingFile !== undefined && preallocation !== 'off') {
    throw invalid('Backing file and preallocation can only be used at the same time if extended_l2 is on');
  }
  if (backingFile === undefined && backingFormat !== undefined) {
    throw invalid('Backing format cannot be used without backing file');
  }
  const needsV3 = (what: string) =>
    invalid(`${what} with compatibility level 1.1 and above (use version=v3 or greater)`);
  const lazyRefcounts = values.lazy_refcounts === true;
  if (version === 2 && lazyRefcounts) throw needsV3('Lazy refcounts only supported');
  const refcountBits = Number(values.refcount_bits ?? 16);
  const refcountOrder = Math.log2(refcountBits);
  if (!Number.isInteger(refcountOrder) || refcountBits < 1 || refcountBits > 64) {
    throw invalid('Refcount width must be a power of two and may not exceed 64 bits');
  }
  if (version === 2 && refcountBits !== 16) {
    throw invalid(
      'Different refcount widths than 16 bits require compatibility level 1.1 or above (use version=v3 or greater)',
    );
  }
  if (version === 2 && compressionType !== 'zlib') {
    throw needsV3('Non-zlib compression type is only supported');
  }
  const isEncrypted =
    values.encryption === true ||
    Object.keys(values).some((name) => name.startsWith('encrypt.') && values[name] !== undefined);
  const size = wholeSectors(Number(values.size ?? 0));
  return {
    version,
    size,
    clusterSize,
    refcountOrder,
    lazyRefcounts,
    compressionType,
    preallocation,
    backingFile,
    backingFormat,
    encryption: isEncrypted ? values : undefined,
  };
}

function refuseUnsupported(values: CreateValues): void {
  const extendedL2 = values.extended_l2 === true;
  if (extendedL2 && Number(values.cluster_size ?? 65536) < minExtendedL2ClusterBytes) {
    throw invalid(
      `Extended L2 entries are only supported with cluster sizes of at least ${minExtendedL2ClusterBytes} bytes`,
    );
  }
  const refused = [
    extendedL2 ? 'extended_l2' : undefined,
    values.data_file === undefined ? undefined : 'data_file',
  ].find((name) => name !== undefined);
  if (refused !== undefined) throw new BlockError('ENOTSUP', `Parameter '${refused}' is not supported`);
  if (values.data_file_raw === true) throw invalid('data-file-raw requires data-file');
}

function parseVersion(compat: CreateValues[string]): 2 | 3 {
  if (compat === undefined || compat === '1.1' || compat === 'v3') return 3;
  if (compat === '0.10' || compat === 'v2') return 2;
  throw invalid(`Parameter 'version' does not accept value '${compat}'`);
}

function parsePreallocation(value: CreateValues[string]): Preallocation {
  const mode = value ?? 'off';
  if (mode === 'off' || mode === 'metadata' || mode === 'falloc' || mode === 'full') return mode;
  throw invalid(`Parameter 'preallocation' does not accept value '${mode}'`);
}

function parseCompression(value: CreateValues[string]): CompressionType {
  const type = value ?? 'zlib';
  if (type === 'zlib' || type === 'zstd') return type;
  throw invalid(`Parameter 'compression-type' does not accept value '${type}'`);
}

function nonEmpty(value: CreateValues[string]): string | undefined {
  return value === undefined || value === '' ? undefined : String(value);
}
