/**
 * Run-time options of the qcow2 driver: their declaration, and what they come to for one image (specification: qcow2,
 * section 12). The children `file` and `backing` are added by the block layer.
 *
 * Defaults that depend on the image are settled here, once, so the driver sees plain numbers (those of caches: caches.ts). What this
 * driver does not do (data files) is refused by name.
 */
import { invalid } from '../../base/errors.ts';
import { MetadataClass } from '../../core/qcow2-abi.ts';
import {
  type AlternateType,
  any,
  bool,
  byteCount,
  enumeration,
  int,
  optional,
  str,
  struct,
  type TypeOf,
  worded,
} from '../../qapi/types.ts';
import type { Caches } from './caches.ts';
import { compatible } from './disk/feature-bits.ts';
import { CryptMethod, type Qcow2Header } from './disk/header.ts';

/** Classes of metadata that writes are checked against (section 10.6), as the core numbers them. */
const overlapClasses = {
  'main-header': MetadataClass.mainHeader,
  'active-l1': MetadataClass.activeL1,
  'active-l2': MetadataClass.activeL2,
  'refcount-table': MetadataClass.refcountTable,
  'refcount-block': MetadataClass.refcountBlock,
  'snapshot-table': MetadataClass.snapshotTable,
  'inactive-l1': MetadataClass.inactiveL1,
  'inactive-l2': MetadataClass.inactiveL2,
  'bitmap-directory': MetadataClass.bitmapDirectory,
} as const;

const templates = ['none', 'constant', 'cached', 'all'] as const;
type OverlapTemplate = (typeof templates)[number];
const constantClasses =
  MetadataClass.mainHeader |
  MetadataClass.activeL1 |
  MetadataClass.refcountTable |
  MetadataClass.snapshotTable |
  MetadataClass.bitmapDirectory;
/** What is known without reading anything. */
const cachedClasses =
  constantClasses | MetadataClass.activeL2 | MetadataClass.refcountBlock | MetadataClass.inactiveL1;
const templateClasses: Record<OverlapTemplate, number> = {
  none: MetadataClass.none,
  constant: constantClasses,
  cached: cachedClasses,
  all: cachedClasses | MetadataClass.inactiveL2,
};

const overlapMode = worded(enumeration('Qcow2OverlapCheckMode', templates), {
  refused: (text) =>
    `Unsupported value '${text}' for qcow2 option 'overlap-check'. ` +
    `Allowed are any of the following: ${templates.join(', ')}`,
});
const overlapFlags = struct('Qcow2OverlapCheckFlags', {
  template: optional(overlapMode),
  'main-header': optional(bool),
  'active-l1': optional(bool),
  'active-l2': optional(bool),
  'refcount-table': optional(bool),
  'refcount-block': optional(bool),
  'snapshot-table': optional(bool),
  'inactive-l1': optional(bool),
  'inactive-l2': optional(bool),
  'bitmap-directory': optional(bool),
});
const overlapChecks: AlternateType<TypeOf<typeof overlapFlags> | OverlapTemplate> = {
  kind: 'alternate',
  name: 'Qcow2OverlapChecks',
  branches: () => [overlapFlags, overlapMode],
};

/** The image says which format it is. */
const encryption = struct('BlockdevQcow2Encryption', {
  format: optional(enumeration('BlockdevQcow2EncryptionFormat', ['aes', 'luks'])),
  'key-secret': optional(str),
});

export const qcow2Options = struct('BlockdevOptionsQcow2', {
  'lazy-refcounts': optional(bool),
  'pass-discard-request': optional(bool),
  'pass-discard-snapshot': optional(bool),
  'pass-discard-other': optional(bool),
  'discard-no-unref': optional(bool),
  'overlap-check': optional(overlapChecks),
  'cache-size': optional(byteCount),
  'l2-cache-size': optional(byteCount),
  'l2-cache-entry-size': optional(byteCount),
  'refcount-cache-size': optional(byteCount),
  'cache-clean-interval': optional(int),
  encrypt: optional(encryption),
  'data-file': optional(any),
});
export type Qcow2Options = TypeOf<typeof qcow2Options>;

export interface ResolvedOptions {
  lazyRefcounts: boolean;
  /** Whether freed clusters are discarded in the file, by what freed them (section 4.4). */
  passDiscard: { request: boolean; snapshot: boolean; other: boolean };
  /** A discarded cluster keeps its place in the file, so that what is written later does not scatter. */
  discardNoUnref: boolean;
  /** The `MetadataClass`es that writes are checked against. */
  overlapMask: number;
  caches: Caches;
}

/** Settles the options for one image. EINVAL with QEMU's words; ENOTSUP for what is not done here. */
export function resolveOptions(
  options: Qcow2Options,
  header: Qcow2Header,
  { discard, caches }: { discard: boolean; caches: Caches },
): ResolvedOptions {
  if (options['data-file'] !== undefined) {
    throw invalid("'data-file' can only be set for images with an external data file");
  }
  const lazyRefcounts =
    options['lazy-refcounts'] ?? (header.compatibleFeatures & compatible.lazyRefcounts) !== 0n;
  if (lazyRefcounts && header.version < 3) {
    throw invalid('Lazy refcounts require a qcow2 image with at least qemu 1.1 compatibility level');
  }
  const discardNoUnref = options['discard-no-unref'] ?? false;
  if (discardNoUnref && header.version < 3) {
    throw invalid('discard-no-unref is only supported since qcow2 version 3');
  }
  // Of images that are encrypted, their part says it (live/encryption.ts).
  if (options.encrypt && header.cryptMethod === CryptMethod.none) {
    const { format = '' } = options.encrypt;
    throw invalid(`No encryption in image header, but options specified format '${format}'`);
  }
  return {
    lazyRefcounts,
    passDiscard: {
      request: options['pass-discard-request'] ?? discard,
      snapshot: options['pass-discard-snapshot'] ?? true,
      other: options['pass-discard-other'] ?? false,
    },
    discardNoUnref,
    overlapMask: resolveOverlapMask(options['overlap-check']),
    caches,
  };
}

function resolveOverlapMask(option: Qcow2Options['overlap-check']): number {
  const flags = typeof option === 'object' ? option : {};
  const template = (typeof option === 'string' ? option : flags.template) ?? 'cached';
  let mask = templateClasses[template];
  for (const [name, bit] of Object.entries(overlapClasses)) {
    const wanted = flags[name as keyof typeof overlapClasses];
    if (wanted !== undefined) mask = wanted ? mask | bit : mask & ~bit;
  }
  return mask;
}
