/**
 * A LUKS volume: its header, read from where it is kept, and its key, which a passphrase opens (specification: luks, section 2).
 *
 * A passphrase is derived to a key for each active slot in turn, which decrypts the slot's key material; what comes of that is
 * the volume's key when the digest in the header says so. Nothing here puts a passphrase or a key into a message.
 */
import { BlockError, invalid } from '../../base/errors.ts';
import type { Platform } from '../../platform/platform.ts';
import { type CryptoPlatform, checkCipher, createSectorCipher, hashNamed } from '../named-cipher.ts';
import type { SectorCipher } from '../sector-cipher.ts';
import { mergeStripes } from './anti-forensic.ts';
import {
  digestBytes,
  type KeySlot,
  type LuksHeader,
  luksHeaderBytes,
  materialBytes,
  parseLuksHeader,
  stripeCount,
} from './header.ts';

/** Where a volume keeps its header and its key material: offsets are from the header. */
export interface VolumeFile {
  /** Bytes there are for the header and the key material. */
  readonly length: number;
  read(offset: number, buffer: Uint8Array): Promise<void>;
  write(offset: number, buffer: Uint8Array): Promise<void>;
  flush(): Promise<void>;
}

/** Errors: ENOTSUP where there is no encryption. */
export function cryptoOf({ ciphers, hashes }: Platform): CryptoPlatform {
  if (!ciphers || !hashes)
    throw new BlockError('ENOTSUP', 'Encrypted images cannot be opened here: there are no ciphers');
  return { ciphers, hashes };
}

/** Errors: what is wrong with it; of I/O. */
export async function readLuksHeader(file: VolumeFile): Promise<LuksHeader> {
  if (file.length < luksHeaderBytes) throw invalid('Volume is too short for a LUKS header');
  const bytes = new Uint8Array(luksHeaderBytes);
  await file.read(0, bytes);
  const header = parseLuksHeader(bytes);
  const end =
    Math.max(...header.slots.map(({ materialOffset }) => materialOffset)) + materialBytes(header.keyBytes);
  if (end > file.length) {
    throw invalid(`LUKS key material ends at ${end}, and the volume's header area at ${file.length}`);
  }
  return header;
}

/** The volume's key. Errors: EINVAL, `passphrase` opens no slot; ENOTSUP, what it is encrypted with; of I/O. */
export async function unlock(
  crypto: CryptoPlatform,
  file: VolumeFile,
  header: LuksHeader,
  passphrase: Uint8Array,
): Promise<Uint8Array> {
  checkCipher(header.cipher, header.keyBytes);
  for (const slot of header.slots) {
    const key = await openSlot(crypto, file, header, slot, passphrase);
    if (key) return key;
  }
  throw invalid('Invalid password, cannot unlock any keyslot');
}

/** The volume's key when `passphrase` opens the slot. */
export async function openSlot(
  crypto: CryptoPlatform,
  file: VolumeFile,
  header: LuksHeader,
  slot: KeySlot,
  passphrase: Uint8Array,
): Promise<Uint8Array | undefined> {
  if (!slot.isActive) return undefined;
  const { keyBytes } = header;
  const hash = hashNamed(crypto.hashes, header.hash);
  const cipher = await slotCipher(crypto, header, slot, passphrase);
  const material = new Uint8Array(materialBytes(keyBytes));
  await file.read(slot.materialOffset, material);
  cipher.decrypt(0, material);
  const key = mergeStripes(hash, material, keyBytes);
  const digest = await hash.deriveKey(key, header.digestSalt, header.digestIterations, digestBytes);
  return digest.every((byte, index) => byte === header.digest[index]) ? key : undefined;
}

/** What a slot's key material is encrypted with. */
export async function slotCipher(
  crypto: CryptoPlatform,
  { cipher, hash, keyBytes }: LuksHeader,
  { salt, iterations }: KeySlot,
  passphrase: Uint8Array,
): Promise<SectorCipher> {
  const key = await hashNamed(crypto.hashes, hash).deriveKey(passphrase, salt, iterations, keyBytes);
  return createSectorCipher(crypto, cipher, key);
}

/** As `img info` and queries tell it, in QEMU's members and order. `format`: what it is called inside of another image. */
export function describeVolume(
  { cipher, hash, uuid, keyBytes, ...header }: LuksHeader,
  format?: string,
): object {
  const cipherBytes = cipher.mode === 'xts' ? keyBytes / 2 : keyBytes;
  return {
    'ivgen-alg': cipher.ivGenerator,
    'detached-header': false,
    'hash-alg': hash,
    'cipher-alg': `${cipher.algorithm}-${cipherBytes * 8}`,
    uuid,
    ...(cipher.ivHash === undefined ? {} : { 'ivgen-hash-alg': cipher.ivHash }),
    ...(format === undefined ? {} : { format }),
    'cipher-mode': cipher.mode,
    slots: header.slots.map(describeSlot),
    'payload-offset': header.payloadOffset,
    'master-key-iters': header.digestIterations,
  };
}

function describeSlot({ isActive, iterations, materialOffset }: KeySlot): object {
  return isActive
    ? { active: true, iters: iterations, 'key-offset': materialOffset, stripes: stripeCount }
    : { active: false, 'key-offset': materialOffset };
}
