/**
 * What options say of the caches of an image (specification: qcow2, section 12), with QEMU's words for what cannot be. Loaded when one
 * of them is given.
 */
import { BlockError, invalid } from '../../../base/errors.ts';
import type { Timer } from '../../../platform/platform.ts';
import {
  type Caches,
  defaultMaxL2CacheBytes,
  fullL2Bytes,
  l2EntryBytesFor,
  l2EntryCountOf,
  minRefcountBytes,
} from '../caches.ts';
import type { Qcow2Header } from '../disk/header.ts';
import type { Qcow2Options } from '../options.ts';

/** Largest cache of either kind: all of it must fit in one instance of the core. Whoever asks for more gets this much. */
const maxCacheBytes = 1024 ** 3;
/** Of both kinds, as what nobody has. */
const maxAskedBytes = 16 * 1024 ** 3;
const maxCacheEntries = 2 ** 31 - 1;
const minL2EntryBytes = 512;
const maxIntervalSeconds = 2 ** 32 - 1;

/** Errors: EINVAL; ENOMEM for more than anybody has. */
export function chooseCaches(options: Qcow2Options, header: Qcow2Header): Caches {
  const { clusterSize } = header;
  const { l2Bytes, refcountBytes } = shareOut(options, header);
  const l2EntryBytes = options['l2-cache-entry-size'] ?? l2EntryBytesFor(header, l2Bytes);
  const isPowerOfTwo = Number.isInteger(Math.log2(l2EntryBytes));
  if (l2EntryBytes < minL2EntryBytes || l2EntryBytes > clusterSize || !isPowerOfTwo) {
    throw invalid(
      `L2 cache entry size must be a power of two between ${minL2EntryBytes} and the cluster size (${clusterSize})`,
    );
  }
  if (Math.floor(l2Bytes / l2EntryBytes) > maxCacheEntries) throw invalid('L2 cache size too big');
  if (Math.floor(refcountBytes / clusterSize) > maxCacheEntries) throw invalid('Refcount cache size too big');
  if (l2Bytes + refcountBytes > maxAskedBytes) {
    throw new BlockError('ENOMEM', 'Could not allocate metadata caches');
  }
  const interval = options['cache-clean-interval'] ?? 0;
  if (interval > maxIntervalSeconds || interval < 0) throw invalid('Cache clean interval too big');
  const usefulL2Bytes = Math.min(l2Bytes, fullL2Bytes(header), maxCacheBytes);
  return {
    l2EntryBytes,
    l2EntryCount: l2EntryCountOf(usefulL2Bytes, l2EntryBytes),
    refcountEntryCount: Math.floor(Math.min(refcountBytes, maxCacheBytes) / clusterSize),
    ...(interval > 0 && { keepClean: cleaningEvery(interval) }),
  };
}

function cleaningEvery(seconds: number): NonNullable<Caches['keepClean']> {
  return (image) => {
    const { clock } = image.context.platform;
    const wait = (): Timer => clock.setTimer(seconds * 1e9, clean);
    const clean = (): void => {
      const { core, corruption } = image.engine;
      if (!corruption.isFatal) core.cleanCache();
      pending = wait();
    };
    let pending = wait();
    return { cancel: () => pending.cancel() };
  };
}

/** How many bytes each of them is to have. */
function shareOut(options: Qcow2Options, header: Qcow2Header): { l2Bytes: number; refcountBytes: number } {
  const full = fullL2Bytes(header);
  const least = minRefcountBytes(header);
  const total = options['cache-size'];
  const givenL2Bytes = options['l2-cache-size'];
  let refcountBytes = options['refcount-cache-size'];
  // What the other one leaves of cache-size is taken as it is.
  let l2Bytes = Math.min(givenL2Bytes ?? defaultMaxL2CacheBytes, full);
  if (total !== undefined) {
    if (givenL2Bytes !== undefined && refcountBytes !== undefined) {
      throw invalid('cache-size, l2-cache-size and refcount-cache-size may not be set at the same time');
    }
    if (givenL2Bytes !== undefined && givenL2Bytes > total) {
      throw invalid('l2-cache-size may not exceed cache-size');
    }
    if (refcountBytes !== undefined && refcountBytes > total) {
      throw invalid('refcount-cache-size may not exceed cache-size');
    }
    if (givenL2Bytes !== undefined) refcountBytes = total - givenL2Bytes;
    else if (refcountBytes !== undefined) l2Bytes = total - refcountBytes;
    else if (total >= full + least) {
      l2Bytes = full;
      refcountBytes = total - full;
    } else {
      refcountBytes = Math.min(total, least);
      l2Bytes = total - refcountBytes;
    }
  }
  return { l2Bytes, refcountBytes: Math.max(refcountBytes ?? 0, least) };
}
