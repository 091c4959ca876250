/**
 * What few images need, loaded when one does: the check, amending, the words for damage, changes of the size, emptying, internal snapshots, compressed writes,
 * options of caches, and discarding in place. In one piece: each
 * more would make what everybody loads larger.
 */

export { checkImage } from '../check/check.ts';
export { planAmend } from './amend.ts';
export { amendOptions } from './amend-options.ts';
export { chooseCaches } from './cache-options.ts';
export { writeCompressedCluster } from './compressed-write.ts';
export { describeCorruption } from './corruption-texts.ts';
export { SnapshotOperations } from './internal-snapshots.ts';
export { makeEmpty } from './make-empty.ts';
export { resize } from './resize.ts';
export { unmapInPlace } from './unmap-in-place.ts';
