/**
 * The consistency check's walk (specification: qcow2, section 10): counts the references to every cluster of a file and
 * compares them with refcount blocks.
 *
 * The host streams tables through buffers in this memory and says what each one is; a step looks at one buffer. Counts
 * are one array over all clusters of the file, 1, 2 or 4 bytes each, no wider than the image's own refcounts need; a
 * count that would pass the largest refcount stays there and is a finding.
 *
 * A table that many others point to is looked at once, with a weight: first all L1 tables are counted, and then the
 * count of a cluster *is* the number of L1 entries that name it as an L2 table. So the work is bounded by the distinct
 * tables in the file, whatever a hostile L1 table repeats.
 *
 * What a step has to say goes to the findings buffer, 24 bytes each: u32 code, u32 how often, u64 a, u64 b (native byte
 * order). A step that runs out of room there stops and returns the index to go on from; the host empties it and
 * calls again. Texts, policies and everything that is not per entry are the host's.
 */
import {
  COMPRESSED,
  compressedEnd,
  compressedOffset,
  COPIED,
  L1_RESERVED,
  L2_RESERVED,
  OFFSET_MASK,
  ZERO,
} from './entry';
import { readRefcount, writeRefcount } from './refcount-block';

// Codes of findings, and what a and b mean. The host has the same list (host/formats/qcow2/check/findings.ts).
/** a = byte offset of the cluster */
const CHECK_OVERFLOW: u32 = 1;
/** a = offset, b = bytes */
const CHECK_BEYOND_END: u32 = 2;
/** a = L1 entry */
const CHECK_L1_RESERVED: u32 = 3;
/** a = L2 table offset */
const CHECK_L2_UNALIGNED: u32 = 4;
/** a = L2 entry */
const CHECK_L2_RESERVED: u32 = 5;
/** a = data offset */
const CHECK_DATA_UNALIGNED: u32 = 6;
/** a = data offset */
const CHECK_ZERO_UNALIGNED: u32 = 7;
/** as before, and the entry was made a plain zero cluster */
const CHECK_ZERO_UNALIGNED_FIXED: u32 = 8;
/** a = offset of the compressed data */
const CHECK_COMPRESSED_COPIED: u32 = 9;
/** a = cluster, b = refcount; the references are in the count array */
const CHECK_LEAK: u32 = 10;
const CHECK_LEAK_FIXED: u32 = 11;
const CHECK_TOO_LOW: u32 = 12;
const CHECK_TOO_LOW_FIXED: u32 = 13;
/** a = L2 entry, b = refcount */
const CHECK_COPIED_DATA: u32 = 14;
/** a = L1 entry, b = refcount in the low half, L1 index in the high half */
const CHECK_COPIED_L2: u32 = 15;
/** a = L2 entry with a host offset outside the file: the host has to look up its refcount; b = index */
const CHECK_COPIED_UNKNOWN: u32 = 16;
/** The same for an L1 entry; b as before, with refcount 0 */
const CHECK_COPIED_L2_UNKNOWN: u32 = 17;

const FINDING_BYTES: usize = 24;
/** Most findings that one entry of a table can give. */
const FINDINGS_PER_ENTRY: u32 = 4;

let counts: usize = 0;
let clusterCount: u32 = 0;
/** log2 of the bytes of one count */
let countShift: u32 = 0;
let maxCount: u32 = 0;
let findings: usize = 0;
let findingCapacity: u32 = 0;
let findingCount: u32 = 0;
let lostFindings: f64 = 0;
let clusterBits: u32 = 0;
let clusterSize: u64 = 0;
let fileLength: u64 = 0;
let version: u32 = 0;
/** The last step changed its buffer. */
let tableChanged: bool = false;
let acceptedCount: u32 = 0;
/** A table that should have been walked cannot be. */
let skippedTables: u32 = 0;
let highestUsed: f64 = -1;
let allocated: f64 = 0;
let compressed: f64 = 0;
let fragmented: f64 = 0;
/** Where the next data cluster would have to be; kept across calls for one L2 table. */
let contiguousOffset: u64 = 0;

/**
 * Starts a check with all counts 0. `clusters` counts of `1 << shift` bytes lie at `countArray`, which is zeroed; the
 * findings buffer holds `capacity` records. `length` is the file's in bytes.
 */
export function check_begin(
  countArray: usize,
  clusters: u32,
  shift: u32,
  largestCount: u32,
  findingArray: usize,
  capacity: u32,
  bits: u32,
  length: f64,
  imageVersion: u32,
): void {
  counts = countArray;
  clusterCount = clusters;
  countShift = shift;
  maxCount = largestCount;
  findings = findingArray;
  findingCapacity = capacity;
  findingCount = 0;
  lostFindings = 0;
  clusterBits = bits;
  clusterSize = 1 << (<u64>bits);
  fileLength = <u64>length;
  version = imageVersion;
  skippedTables = 0;
  highestUsed = -1;
  allocated = 0;
  compressed = 0;
  fragmented = 0;
  memory.fill(countArray, 0, (<usize>clusters) << shift);
}

/** How many findings are in the buffer; empties it. */
export function check_take_findings(): u32 {
  const result = findingCount;
  findingCount = 0;
  return result;
}

export function check_lost_findings(): f64 {
  return lostFindings;
}

export function check_table_changed(): bool {
  return tableChanged;
}

export function check_skipped_tables(): u32 {
  return skippedTables;
}

/** The last cluster with a refcount or a reference, or −1. */
export function check_highest_used(): f64 {
  return highestUsed;
}

export function check_allocated_clusters(): f64 {
  return allocated;
}

export function check_compressed_clusters(): f64 {
  return compressed;
}

export function check_fragmented_clusters(): f64 {
  return fragmented;
}

export function check_get_count(cluster: u32): u32 {
  return cluster < clusterCount ? getCount(cluster) : 0;
}

/** Leaves only the first `clusters` counts: the others are not refcounts of this file. */
export function check_limit(clusters: u32): void {
  clusterCount = clusters;
}

/** One reference for each of these clusters, which had none: new structures, possibly behind the end of the file. */
export function check_mark_used(first: u32, clusters: u32): void {
  for (let cluster = first; cluster < first + clusters; cluster++) setCount(cluster, 1);
}

/** Takes one reference away, unless the count is at its limit and therefore not known. */
export function check_drop_reference(cluster: u32): void {
  if (cluster >= clusterCount) return;
  const count = getCount(cluster);
  if (count > 0 && count < maxCount) setCount(cluster, count - 1);
  // A refcount of one bit is at its limit from the first reference on.
  else if (count == 1) setCount(cluster, 0);
}

/** The first cluster at or after `from` that has references, or −1. */
export function check_next_counted(from: u32): f64 {
  if (from >= clusterCount) return -1;
  const next = nextCounted(from, clusterCount);
  return next == clusterCount ? -1 : <f64>next;
}

/** The first cluster in [from, end) that has references, or `end`. */
function nextCounted(from: u32, end: u32): u32 {
  let cluster = from;
  const perWord: u32 = 8 >> countShift;
  while (cluster < end && cluster % perWord != 0) {
    if (getCount(cluster) != 0) return cluster;
    cluster++;
  }
  while (cluster + perWord <= end && load<u64>(counts + ((<usize>cluster) << countShift)) == 0)
    cluster += perWord;
  while (cluster < end && getCount(cluster) == 0) cluster++;
  return cluster;
}

/** Adds `weight` references to every cluster that the range touches. */
export function check_reference(offset: f64, bytes: f64, weight: u32): void {
  reference(<u64>offset, <u64>bytes, weight);
}

/**
 * Counts the L2 tables that an L1 table names. The cluster numbers of those inside the file replace the table from its
 * start, as native u32; `check_accepted_tables` tells how many. Returns the index to go on from: `entries` when done.
 */
export function check_l1(table: usize, start: u32, entries: u32, weight: u32): u32 {
  if (start == 0) acceptedCount = 0;
  for (let index = start; index < entries; index++) {
    if (findingCount + FINDINGS_PER_ENTRY > findingCapacity) return index;
    const entry = bswap(load<u64>(table + ((<usize>index) << 3)));
    if (entry == 0) continue;
    if ((entry & L1_RESERVED) != 0) addFinding(CHECK_L1_RESERVED, weight, entry, 0);
    const offset = entry & OFFSET_MASK;
    if (offset == 0) continue;
    if ((offset & (clusterSize - 1)) != 0) {
      addFinding(CHECK_L2_UNALIGNED, weight, offset, 0);
      skippedTables++;
    } else if (reference(offset, clusterSize, weight)) {
      store<u32>(table + ((<usize>acceptedCount) << 2), <u32>(offset >> clusterBits));
      acceptedCount++;
    } else {
      skippedTables++;
    }
  }
  return entries;
}

export function check_accepted_tables(): u32 {
  return acceptedCount;
}

/** In version 2, which has no zero clusters, an unallocated one is zeros where there is no backing file. */
const FIX_AS_UNALLOCATED: u32 = 2;

/**
 * Counts what an L2 table names, `weight` times; `activeWeight` of these are in the active tree and enter the
 * statistics. With `fix`, unaligned preallocated clusters become plain zero clusters (1) or unallocated (2). Returns the
 * index to go on from.
 */
export function check_l2(
  table: usize,
  start: u32,
  entries: u32,
  weight: u32,
  activeWeight: u32,
  fix: u32,
): u32 {
  if (start == 0) {
    contiguousOffset = 0;
    tableChanged = false;
  }
  for (let index = start; index < entries; index++) {
    const at = table + ((<usize>index) << 3);
    const raw = load<u64>(at);
    if (raw == 0) continue;
    if (findingCount + FINDINGS_PER_ENTRY > findingCapacity) return index;
    const entry = bswap(raw);
    if ((entry & COMPRESSED) != 0) {
      walkCompressed(entry, weight);
      allocated += <f64>activeWeight;
      compressed += <f64>activeWeight;
      fragmented += <f64>activeWeight;
      continue;
    }
    const offset = entry & OFFSET_MASK;
    const unaligned = (offset & (clusterSize - 1)) != 0;
    // As QEMU does, an unaligned offset is taken for a zero cluster's in version 2, too.
    const reserved = version < 3 && !unaligned ? L2_RESERVED | ZERO : L2_RESERVED;
    if ((entry & reserved) != 0) addFinding(CHECK_L2_RESERVED, weight, entry, 0);
    if (offset == 0) continue;
    if (unaligned) {
      if ((entry & ZERO) == 0) {
        addFinding(CHECK_DATA_UNALIGNED, weight, offset, 0);
      } else if (fix != 0) {
        addFinding(CHECK_ZERO_UNALIGNED_FIXED, weight, offset, 0);
        store<u64>(at, bswap(fix == FIX_AS_UNALLOCATED ? 0 : ZERO));
        tableChanged = true;
        continue;
      } else {
        addFinding(CHECK_ZERO_UNALIGNED, weight, offset, 0);
      }
    }
    allocated += <f64>activeWeight;
    if (contiguousOffset != 0 && offset != contiguousOffset) fragmented += <f64>activeWeight;
    contiguousOffset = offset + clusterSize;
    reference(offset, clusterSize, weight);
  }
  return entries;
}

/**
 * Compares `entries` refcounts from cluster `first` on with the references counted. `block` is 0 where there is no
 * refcount block. `fix`: bit 0 corrects refcounts that are too high, bit 1 those too low. Returns the index to go on from.
 */
export function check_compare(block: usize, first: u32, start: u32, entries: u32, order: u32, fix: u32): u32 {
  if (start == 0) tableChanged = false;
  for (let index = start; index < entries; index++) {
    const cluster = first + index;
    if (block == 0) {
      const next = nextCounted(cluster, first + entries);
      index = next - first;
      if (index == entries || findingCount == findingCapacity) return index;
      highestUsed = max(highestUsed, <f64>next);
      addFinding(CHECK_TOO_LOW, 1, <u64>next, 0);
      continue;
    }
    const references = <u64>getCount(cluster);
    const refcount = readRefcount(block, index, order);
    if ((references | refcount) == 0) continue;
    highestUsed = max(highestUsed, <f64>cluster);
    if (references == refcount) continue;
    if (findingCount == findingCapacity) return index;
    const leak = refcount > references;
    const fixed = (fix & (leak ? 1 : 2)) != 0;
    if (fixed) {
      writeRefcount(block, index, order, references);
      tableChanged = true;
    }
    addFinding((leak ? CHECK_LEAK : CHECK_TOO_LOW) + (fixed ? 1 : 0), 1, <u64>cluster, refcount);
  }
  return entries;
}

/** Replaces the counts from cluster `first` on by what the refcount block says; 0 where there is none (`block` 0). */
export function check_load(block: usize, first: u32, entries: u32, order: u32): void {
  for (let index: u32 = 0; index < entries; index++) {
    const refcount = block == 0 ? 0 : readRefcount(block, index, order);
    setCount(first + index, <u32>min(refcount, <u64>maxCount));
  }
}

/** Raises counts to what the refcount block says: for rebuilding when parts of the image could not be walked. */
export function check_raise(block: usize, first: u32, entries: u32, order: u32): void {
  for (let index: u32 = 0; index < entries; index++) {
    const refcount = <u32>min(readRefcount(block, index, order), <u64>maxCount);
    if (refcount > getCount(first + index)) setCount(first + index, refcount);
  }
}

/** Makes a refcount block from the counts: `entries` of them, zeros up to `blockEntries`. */
export function check_encode(block: usize, first: u32, entries: u32, blockEntries: u32, order: u32): void {
  memory.fill(block, 0, ((<usize>blockEntries) << order) >> 3);
  for (let index: u32 = 0; index < entries; index++) {
    const count = getCount(first + index);
    if (count != 0) writeRefcount(block, index, order, <u64>count);
  }
}

/** COPIED of every entry of an active L2 table against the counts, which must be refcounts by now. */
export function check_copied_l2(table: usize, start: u32, entries: u32, fix: bool): u32 {
  if (start == 0) tableChanged = false;
  for (let index = start; index < entries; index++) {
    const at = table + ((<usize>index) << 3);
    const entry = bswap(load<u64>(at));
    const offset = entry & OFFSET_MASK;
    if (offset == 0 || (entry & COMPRESSED) != 0) continue;
    const cluster = offset >> clusterBits;
    if (cluster >= <u64>clusterCount) {
      if (findingCount == findingCapacity) return index;
      addFinding(CHECK_COPIED_UNKNOWN, 1, entry, <u64>index);
      continue;
    }
    const refcount = getCount(<u32>cluster);
    if ((refcount == 1) == ((entry & COPIED) != 0)) continue;
    if (findingCount == findingCapacity) return index;
    addFinding(CHECK_COPIED_DATA, 1, entry, <u64>refcount);
    if (fix) {
      store<u64>(at, bswap(entry ^ COPIED));
      tableChanged = true;
    }
  }
  return entries;
}

/** COPIED of the active L1 entries from `first` on; the buffer holds `entries` of them. */
export function check_copied_l1(table: usize, start: u32, entries: u32, first: u32, fix: bool): u32 {
  if (start == 0) tableChanged = false;
  for (let index = start; index < entries; index++) {
    const at = table + ((<usize>index) << 3);
    const entry = bswap(load<u64>(at));
    const offset = entry & OFFSET_MASK;
    const cluster = offset >> clusterBits;
    if (offset == 0) continue;
    if (cluster >= <u64>clusterCount) {
      if (findingCount == findingCapacity) return index;
      addFinding(CHECK_COPIED_L2_UNKNOWN, 1, entry, (<u64>(first + index)) << 32);
      continue;
    }
    const refcount = getCount(<u32>cluster);
    if ((refcount == 1) == ((entry & COPIED) != 0)) continue;
    if (findingCount == findingCapacity) return index;
    addFinding(CHECK_COPIED_L2, 1, entry, ((<u64>(first + index)) << 32) | (<u64>refcount));
    if (fix) {
      store<u64>(at, bswap(entry ^ COPIED));
      tableChanged = true;
    }
  }
  return entries;
}

function walkCompressed(entry: u64, weight: u32): void {
  const offset = compressedOffset(entry, clusterBits);
  if ((entry & COPIED) != 0) addFinding(CHECK_COMPRESSED_COPIED, weight, offset, 0);
  reference(offset, compressedEnd(entry, clusterBits) - offset, weight);
}

/** False, and counts nothing, when the range ends a whole cluster or more beyond the file. */
function reference(offset: u64, bytes: u64, weight: u32): bool {
  if (bytes == 0) return true;
  const end = offset + bytes;
  if (end < offset || end >= fileLength + clusterSize) {
    addFinding(CHECK_BEYOND_END, weight, offset, bytes);
    return false;
  }
  const last = <u32>((end - 1) >> clusterBits);
  for (let cluster = <u32>(offset >> clusterBits); cluster <= last; cluster++) {
    const sum = <u64>getCount(cluster) + <u64>weight;
    if (sum > <u64>maxCount) {
      addFinding(
        CHECK_OVERFLOW,
        <u32>min(sum - <u64>maxCount, <u64>u32.MAX_VALUE),
        (<u64>cluster) << clusterBits,
        0,
      );
      setCount(cluster, maxCount);
    } else {
      setCount(cluster, <u32>sum);
    }
  }
  return true;
}

function addFinding(code: u32, times: u32, a: u64, b: u64): void {
  if (findingCount >= findingCapacity) {
    lostFindings += <f64>times;
    return;
  }
  const at = findings + <usize>findingCount * FINDING_BYTES;
  store<u32>(at, code);
  store<u32>(at, times, 4);
  store<u64>(at, a, 8);
  store<u64>(at, b, 16);
  findingCount++;
}

// @ts-ignore: decorator
@inline
function getCount(cluster: u32): u32 {
  if (countShift == 1) return load<u16>(counts + ((<usize>cluster) << 1));
  return countShift == 0 ? load<u8>(counts + <usize>cluster) : load<u32>(counts + ((<usize>cluster) << 2));
}

// @ts-ignore: decorator
@inline
function setCount(cluster: u32, value: u32): void {
  if (countShift == 1) store<u16>(counts + ((<usize>cluster) << 1), <u16>value);
  else if (countShift == 0) store<u8>(counts + <usize>cluster, <u8>value);
  else store<u32>(counts + ((<usize>cluster) << 2), value);
}
