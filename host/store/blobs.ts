/**
 * Blobs as they are in packs: named by what they are, compressed, sealed (specification: store, sections 3 and 5).
 *
 * What a blob is read as has the id that it was asked for by: bytes that changed anywhere on the way are never given to anybody.
 */
import { BlockError } from '../base/errors.ts';
import { compressed, type Sealer } from './documents.ts';
import { equalIds, toHex } from './ids.ts';
import { seal, unseal } from './sealing.ts';

/** One that is ready to be put into a pack. */
interface SealedBlob {
  readonly id: Uint8Array;
  readonly sealed: Uint8Array;
  /** Undefined: it is not compressed. */
  readonly plainLength: number | undefined;
}

/** A blob whose first part does not shrink is left as it is: random and compressed data costs most to compress. */
const probeBytes = 64 << 10;
const minProbedBytes = 2 * probeBytes;

export async function blobId({ hashes }: Pick<Sealer, 'hashes'>, plain: Uint8Array): Promise<Uint8Array> {
  return hashes.sha256(plain);
}

/** `id`: of `plain`. */
export async function sealBlob(sealer: Sealer, id: Uint8Array, plain: Uint8Array): Promise<SealedBlob> {
  const smaller = await shrunk(sealer, plain);
  const sealed = await seal(sealer, sealer.keys, smaller ?? plain);
  return { id, sealed, plainLength: smaller && plain.length };
}

async function shrunk(sealer: Sealer, plain: Uint8Array): Promise<Uint8Array | undefined> {
  if (plain.length === 0) return undefined;
  if (plain.length >= minProbedBytes) {
    const probe = await compressed(sealer.zstd, plain.subarray(0, probeBytes));
    if (probe.length >= probeBytes) return undefined;
  }
  const frame = await compressed(sealer.zstd, plain);
  return frame.length < plain.length ? frame : undefined;
}

/** Errors: EIO when it is not the blob of that id. */
export async function unsealBlob(
  sealer: Omit<Sealer, 'random'>,
  { id, sealed, plainLength }: SealedBlob,
): Promise<Uint8Array> {
  let plain = await unseal(sealer, sealer.keys, sealed);
  if (plainLength !== undefined) {
    const frame = plain;
    plain = new Uint8Array(plainLength);
    await sealer.zstd.decompress(frame, plain);
  }
  if (!equalIds(await blobId(sealer, plain), id))
    throw new BlockError('EIO', `blob ${toHex(id)} is not what its id says`);
  return plain;
}
