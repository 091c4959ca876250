/**
 * Files that are sealed, and compressed before that: indexes, snapshots, locks (specification: store, sections 3 and 6). Their names are
 * hashes of what is in the file. The config is sealed only, and has a name of its own.
 *
 *   plain = 2 | zstd frame     or     JSON as it is, which begins with { or [
 */
import { BlockError } from '../base/errors.ts';
import type { WholeCodec } from '../platform/platform.ts';
import { toHex } from './ids.ts';
import type { ObjectStore } from './object-store.ts';
import { type Primitives, type SealingKeys, seal, unseal } from './sealing.ts';

const compressedMark = 2;

/** What sealed files are read and written with. */
export interface Sealer extends Primitives {
  readonly zstd: WholeCodec;
  readonly keys: SealingKeys;
}

export type DocumentFolder = 'index' | 'snapshots' | 'locks';

/** Settles with its id when it is durable. */
export async function putDocument(
  sealer: Sealer,
  store: ObjectStore,
  folder: DocumentFolder,
  value: unknown,
): Promise<string> {
  const json = new TextEncoder().encode(JSON.stringify(value));
  const frame = await compressed(sealer.zstd, json);
  const plain = new Uint8Array(frame.length + 1);
  plain[0] = compressedMark;
  plain.set(frame, 1);
  const sealed = await seal(sealer, sealer.keys, plain);
  const hash = await sealer.hashes.sha256(sealed);
  const id = toHex(hash);
  await store.put(`${folder}/${id}`, [sealed], hash);
  return id;
}

/** Its JSON, as bytes. Errors: of the store; EIO when it is damaged, or larger than `limit`. */
export async function getDocument(
  sealer: Sealer,
  store: ObjectStore,
  folder: DocumentFolder,
  id: string,
  limit: number,
): Promise<Uint8Array> {
  const name = `${folder}/${id}`;
  try {
    const sealed = await store.get(name, limit);
    if (toHex(await sealer.hashes.sha256(sealed)) !== id)
      throw new BlockError('EIO', 'it is not what its name says');
    const plain = await unseal(sealer, sealer.keys, sealed);
    if (plain[0] !== compressedMark) return plain;
    return await sealer.zstd.decompressWhole(plain.subarray(1), limit);
  } catch (error) {
    throw error instanceof BlockError ? error.within(`${name} of ${store.location}`) : error;
  }
}

/** Always, also when it does not get smaller. */
export async function compressed(zstd: WholeCodec, plain: Uint8Array): Promise<Uint8Array> {
  return (await zstd.compress(plain, Number.POSITIVE_INFINITY))!; // no limit
}
