/**
 * One open qcow2 image: its geometry, its L1 table and its refcount table (specification: qcow2, sections 1 to 3).
 *
 * L1 and refcount table are held whole, as they are on disk (big-endian), with one dirty flag per 512-byte sector, so
 * that a write-back writes only what changed. Offsets are u64 in here and f64 towards the host.
 */
import { allocate } from '../memory';
import { OFFSET_MASK, refcountBlockOffset, SECTOR_BITS } from './entry';

/** log2 of the entries of a table in a sector. */
const ENTRIES_PER_SECTOR_BITS = SECTOR_BITS - 3;

export let clusterBits: u32 = 16;
export let clusterBytes: u64 = 65536;
/** log2 of the entries in an L2 table. */
export let l2Bits: u32 = 13;
/** 0 for a count of 1 bit … 6 for 64 bits. */
export let refcountOrder: u32 = 4;
/** log2 of the clusters that one refcount block describes. */
export let blockBits: u32 = 15;
export let version: u32 = 3;
/** Clusters at and above this are never handed out: limits of the format, or of the file. */
export let clusterLimit: u64 = 0;

export let l1Table: usize = 0;
export let l1Entries: u32 = 0;
export let l1Offset: u64 = 0;
let l1Capacity: u32 = 0;
let l1Dirty: usize = 0;

export let refcountTable: usize = 0;
export let refcountTableEntries: u32 = 0;
export let refcountTableOffset: u64 = 0;
let refcountTableCapacity: u32 = 0;
let refcountTableDirty: usize = 0;

/** Lays out the image. The host then loads L1 and refcount table to the addresses below. */
export function qcow2_init(bits: u32, order: u32, formatVersion: u32, l1: u32, table: u32): void {
  clusterBits = bits;
  clusterBytes = 1 << (bits as u64);
  l2Bits = bits - 3;
  refcountOrder = order;
  blockBits = bits + 3 - order;
  version = formatVersion;
  clusterLimit = (1 as u64) << (56 - bits);
  l1Entries = l1;
  refcountTableEntries = table;
  qcow2_make_room(l1, table);
}

/**
 * Lets L1 and refcount table have so many entries: those that have less room move, and leave what they had behind. The memory
 * may grow.
 */
export function qcow2_make_room(l1: u32, table: u32): void {
  if (l1 > l1Capacity) {
    l1Table = moved(l1Table, l1Capacity << 3, l1 << 3);
    l1Dirty = moved(l1Dirty, sectorsOf(l1Capacity), sectorsOf(l1));
    l1Capacity = l1;
  }
  if (table > refcountTableCapacity) {
    refcountTable = moved(refcountTable, refcountTableCapacity << 3, table << 3);
    refcountTableDirty = moved(refcountTableDirty, sectorsOf(refcountTableCapacity), sectorsOf(table));
    refcountTableCapacity = table;
  }
}

function moved(from: usize, bytes: usize, room: usize): usize {
  const to = allocate(room, 512);
  memory.copy(to, from, bytes);
  return to;
}

export function qcow2_set_tables(l1: f64, table: f64): void {
  l1Offset = <u64>l1;
  refcountTableOffset = <u64>table;
}

export function qcow2_l1_address(): usize {
  return l1Table;
}

export function qcow2_refcount_table_address(): usize {
  return refcountTable;
}

// @ts-ignore: decorator
@inline
function sectorsOf(entries: u32): u32 {
  return ((entries << 3) + 511) >> SECTOR_BITS;
}

// @ts-ignore: decorator
@inline
export function l1Entry(index: u32): u64 {
  return bswap<u64>(load<u64>(l1Table + (index << 3)));
}

export function setL1Entry(index: u32, entry: u64): void {
  store<u64>(l1Table + (index << 3), bswap<u64>(entry));
  store<u8>(l1Dirty + (index >> ENTRIES_PER_SECTOR_BITS), 1);
}

// @ts-ignore: decorator
@inline
export function refcountTableEntry(index: u32): u64 {
  return bswap<u64>(load<u64>(refcountTable + (index << 3)));
}

export function setRefcountTableEntry(index: u32, entry: u64): void {
  store<u64>(refcountTable + (index << 3), bswap<u64>(entry));
  store<u8>(refcountTableDirty + (index >> ENTRIES_PER_SECTOR_BITS), 1);
}

/** The table was moved and grew: all of it is written by whoever moved it. */
export function switchRefcountTable(offset: u64, entries: u32): void {
  refcountTableOffset = offset;
  refcountTableEntries = entries;
  memory.fill(refcountTableDirty, 0, sectorsOf(refcountTableCapacity));
}

export function refcountTableRoom(): u32 {
  return refcountTableCapacity;
}

/** The host wrote the L1 table at `offset` and switched the header to it. Entries beyond the old ones are zero. */
export function qcow2_switch_l1(offset: f64, entries: u32): bool {
  if (entries > l1Capacity) return false;
  l1Offset = <u64>offset;
  l1Entries = entries;
  memory.fill(l1Dirty, 0, sectorsOf(l1Capacity));
  return true;
}

/** First dirty sector at or after `from`, or -1. */
function nextDirty(flags: usize, sectors: u32, from: u32): i32 {
  for (let i = from; i < sectors; i++) if (load<u8>(flags + i)) return <i32>i;
  return -1;
}

/** Takes the next run of dirty sectors of a table: packs first sector and count, or -1. */
export function takeDirtyRun(ofL1: bool): i64 {
  const flags = ofL1 ? l1Dirty : refcountTableDirty;
  const sectors = sectorsOf(ofL1 ? l1Entries : refcountTableEntries);
  const first = nextDirty(flags, sectors, 0);
  if (first < 0) return -1;
  let end = <u32>first;
  while (end < sectors && load<u8>(flags + end)) store<u8>(flags + end++, 0);
  return ((<i64>first) << 32) | (end - <u32>first);
}

/** Gives a run back that could not be written. */
export function giveBackDirtyRun(ofL1: bool, first: u32, count: u32): void {
  memory.fill((ofL1 ? l1Dirty : refcountTableDirty) + first, 1, count);
}

export function hasDirtyTables(): bool {
  return (
    nextDirty(l1Dirty, sectorsOf(l1Entries), 0) >= 0 ||
    nextDirty(refcountTableDirty, sectorsOf(refcountTableEntries), 0) >= 0
  );
}

/** Whether the L1 table names an L2 table in the cluster at `offset`. Linear in the L1 table. */
export function namesTable(offset: u64): bool {
  for (let i: u32 = 0; i < l1Entries; i++)
    if (startOfCluster(l1Entry(i) & OFFSET_MASK) == offset) return true;
  return false;
}

/** Whether the refcount table names a refcount block in the cluster at `offset`. Linear in the refcount table. */
export function namesBlock(offset: u64): bool {
  for (let i: u32 = 0; i < refcountTableEntries; i++)
    if (startOfCluster(refcountBlockOffset(refcountTableEntry(i))) == offset) return true;
  return false;
}

// @ts-ignore: decorator
@inline
function startOfCluster(offset: u64): u64 {
  return offset & ~(clusterBytes - 1);
}
