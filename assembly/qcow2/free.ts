/**
 * Counting down clusters whose last use is durably gone.
 *
 * One cluster at a time: `qcow2_free_next` names it and says whether it becomes free, so that the host can give its
 * space back first, while nobody else can get it; `qcow2_free_apply` counts it down.
 */
import { getResult, OK, setResult } from '../abi';
import { corrupt, CORRUPT_REFCOUNT } from './corruption';
import { clusterBits } from './image';
import { freeDone, nextFree, nextFreeReason } from './pending-free';
import { decrement, qcow2_refcount } from './refcount';

/** The cluster becomes free: record 1 its offset, 2 the reason. */
const LAST_REFERENCE: i32 = 1;

/** LAST_REFERENCE, OK when others still use the cluster, or a wait code. Only with `qcow2_has_frees`. */
export function qcow2_free_next(): i32 {
  const cluster = nextFree();
  const code = qcow2_refcount(<f64>cluster);
  if (code != OK) return code;
  const count = getResult(0);
  if (!count) {
    freeDone();
    return corrupt(CORRUPT_REFCOUNT, cluster << clusterBits);
  }
  setResult(1, <f64>(cluster << clusterBits));
  setResult(2, nextFreeReason());
  return count == 1 ? LAST_REFERENCE : OK;
}

/** Counts the cluster of `qcow2_free_next` down. OK, or a wait code. */
export function qcow2_free_apply(): i32 {
  const code = decrement(nextFree());
  if (code != OK) return code;
  freeDone();
  return OK;
}
