/**
 * The caches of an image's metadata: how large they are when nobody says (specification: qcow2, section 12). What options say of
 * them is in live/cache-options.ts.
 */
import { roundUp } from '../../base/sectors.ts';
import type { OpenContext } from '../../block/open-context.ts';
import type { Qcow2Core } from '../../core/qcow2.ts';
import type { Timer } from '../../platform/platform.ts';
import { l2Entries, type Qcow2Header } from './disk/header.ts';

/** Default upper limit of the L2 cache in bytes; it never takes more than the whole disk needs. */
export const defaultMaxL2CacheBytes = 32 * 1024 * 1024;
const minL2CacheEntries = 2;
const minRefcountCacheEntries = 4;
const defaultL2EntryBytes = 4096;

/** Entries are what is loaded and evicted at once. */
export interface Caches {
  l2EntryBytes: number;
  l2EntryCount: number;
  /** Refcount blocks, each of one cluster. */
  refcountEntryCount: number;
  /** From now on has tables leave the caches that nobody uses. Absent: they stay. */
  keepClean?(image: CachedImage): Pick<Timer, 'cancel'>;
}

/** An open image, as far as its caches know it. */
interface CachedImage {
  readonly context: OpenContext;
  /** Another one after the image was reopened. */
  readonly engine: {
    readonly core: Pick<Qcow2Core, 'cleanCache'>;
    readonly corruption: { readonly isFatal: boolean };
  };
}

/** Of an L2 cache with room for the whole disk. */
export function fullL2Bytes(header: Qcow2Header): number {
  const { clusterSize, size } = header;
  return roundUp(Math.ceil(size / clusterSize) * (clusterSize / l2Entries(header)), clusterSize);
}

/** What is there however little was asked for. */
export function minRefcountBytes({ clusterSize }: Qcow2Header): number {
  return minRefcountCacheEntries * clusterSize;
}

/** An L2 cache that does not have room for the whole disk is of small entries. */
export function l2EntryBytesFor(header: Qcow2Header, l2Bytes: number): number {
  const { clusterSize } = header;
  return l2Bytes < fullL2Bytes(header) ? Math.min(clusterSize, defaultL2EntryBytes) : clusterSize;
}

export function l2EntryCountOf(l2Bytes: number, entryBytes: number): number {
  return Math.max(minL2CacheEntries, Math.floor(l2Bytes / entryBytes));
}

/** What they are when nobody says anything. */
export function defaultCaches(header: Qcow2Header): Caches {
  const l2Bytes = Math.min(defaultMaxL2CacheBytes, fullL2Bytes(header));
  const l2EntryBytes = l2EntryBytesFor(header, l2Bytes);
  return {
    l2EntryBytes,
    l2EntryCount: l2EntryCountOf(l2Bytes, l2EntryBytes),
    refcountEntryCount: minRefcountCacheEntries,
  };
}
