/**
 * Allocations in flight: between the step that reserved host clusters and the one that publishes or drops them, while
 * the host moves data.
 *
 * A token stands for a range of guest clusters. No two tokens overlap; whoever needs a range that is taken waits for its
 * token. A data token pins the L2 slice it will change, so publishing needs no table that could be missing.
 *
 * | at | token field                                                              |
 * |----|--------------------------------------------------------------------------|
 * | 0  | u64 first guest cluster; for a table token the first one it maps         |
 * | 8  | u64 first host cluster                                                   |
 * | 16 | u64 clusters covered                                                     |
 * | 24 | u64 compressed entry, or the old L2 table                                |
 * | 32 | i32 slot pinned, or -1                                                   |
 * | 36 | u32 kind: below, 0 when unused                                           |
 */
import { BUSY, setResult } from '../abi';
import { allocate } from '../memory';
import { reserveFrees, unreserveFrees } from './pending-free';
import { pin, pinLimit, unpin } from './table-cache';

export const DATA: u32 = 1;
/** Data into clusters that were already reserved for this place. */
export const REUSE: u32 = 2;
export const TABLE: u32 = 3;
export const COMPRESSED_DATA: u32 = 4;

const GUEST: usize = 0;
const HOST: usize = 8;
const CLUSTERS: usize = 16;
const EXTRA: usize = 24;
const SLOT: usize = 32;
const KIND: usize = 36;
const TOKEN_BYTES: u32 = 40;
const MAX_TOKENS: u32 = 128;

let tokens: usize = 0;
let inUse: u32 = 0;
let pinned: u32 = 0;

export function qcow2_init_tokens(): void {
  tokens = allocate(TOKEN_BYTES * MAX_TOKENS, 8);
}

// @ts-ignore: decorator
@inline
function at(token: u32): usize {
  return tokens + token * TOKEN_BYTES;
}

export function tokenKind(token: u32): u32 {
  return load<u32>(at(token), KIND);
}
export function tokenGuest(token: u32): u64 {
  return load<u64>(at(token), GUEST);
}
export function tokenHost(token: u32): u64 {
  return load<u64>(at(token), HOST);
}
export function tokenClusters(token: u32): u64 {
  return load<u64>(at(token), CLUSTERS);
}
export function tokenExtra(token: u32): u64 {
  return load<u64>(at(token), EXTRA);
}
export function tokenSlot(token: u32): i32 {
  return load<i32>(at(token), SLOT);
}

/** The token whose range overlaps, or -1. */
export function overlapping(guest: u64, clusters: u64): i32 {
  if (!inUse) return -1;
  for (let token: u32 = 0; token < MAX_TOKENS; token++) {
    if (!tokenKind(token)) continue;
    if (tokenGuest(token) < guest + clusters && guest < tokenGuest(token) + tokenClusters(token))
      return <i32>token;
  }
  return -1;
}

/** Any token in use, for whoever waits for one to be given back. */
function anyToken(): i32 {
  for (let token: u32 = 0; token < MAX_TOKENS; token++) if (tokenKind(token)) return <i32>token;
  return -1;
}

/** Whether a token can be taken; otherwise BUSY with one to wait for in record 0. */
export function tokenAvailable(withSlot: bool): i32 {
  if (inUse < MAX_TOKENS && (!withSlot || pinned < pinLimit())) return 0;
  return busyWith(anyToken());
}

export function busyWith(token: i32): i32 {
  setResult(0, token);
  return BUSY;
}

/** Takes a token; `tokenAvailable` said that there is one. */
export function takeToken(kind: u32, guest: u64, host: u64, clusters: u64, extra: u64, slot: i32): i32 {
  let token: u32 = 0;
  while (tokenKind(token)) token++;
  store<u64>(at(token), guest, GUEST);
  store<u64>(at(token), host, HOST);
  store<u64>(at(token), clusters, CLUSTERS);
  store<u64>(at(token), extra, EXTRA);
  store<i32>(at(token), slot, SLOT);
  store<u32>(at(token), kind, KIND);
  inUse++;
  reserveFrees(roomNeeded(kind, clusters));
  if (slot >= 0) {
    pin(slot);
    pinned++;
  }
  return <i32>token;
}

export function giveToken(token: u32): void {
  const slot = tokenSlot(token);
  if (slot >= 0) {
    unpin(slot);
    pinned--;
  }
  unreserveFrees(roomNeeded(tokenKind(token), tokenClusters(token)));
  store<u32>(at(token), 0, KIND);
  inUse--;
}

/** Runs of clusters that a token may free when it ends, whichever way. */
export function roomNeeded(kind: u32, clusters: u64): u32 {
  if (kind == REUSE) return 0;
  return kind == DATA ? <u32>clusters + 1 : 1;
}
