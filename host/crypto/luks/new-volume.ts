/**
 * Making a LUKS volume: a key by chance, a header that tells nothing of it, and one slot that a passphrase opens
 * (specification: luks, section 2).
 */
import { roundUp, sectorBytes } from '../../base/sectors.ts';
import type { Platform } from '../../platform/platform.ts';
import { type CryptoPlatform, checkCipher, hashNamed } from '../named-cipher.ts';
import {
  digestBytes,
  type LuksHeader,
  layOutVolume,
  luksHeaderBytes,
  saltBytes,
  serializeLuksHeader,
} from './header.ts';
import { measureIterations } from './iterations.ts';
import { fillSlot } from './key-slots.ts';
import type { NewVolume } from './parse-options.ts';
import { cryptoOf, type VolumeFile } from './volume.ts';

/** A volume that is not written yet. */
interface MadeVolume {
  /** Where its data begins: bytes from the header. */
  readonly payloadOffset: number;
  readonly header: LuksHeader;
  readonly key: Uint8Array;
  /** Key material in its first slot, then the header, each durable. */
  write(file: VolumeFile): Promise<void>;
}

/** Bytes that header and key material take. */
export function volumeHeaderBytes({ keyBytes }: Pick<NewVolume, 'keyBytes'>): number {
  return layOutVolume(keyBytes).payloadOffset;
}

/** Errors: ENOTSUP, where there are no such ciphers or hashes. */
export function checkNewVolume(platform: Platform, { cipher, keyBytes, hash }: NewVolume): CryptoPlatform {
  const crypto = cryptoOf(platform);
  checkCipher(cipher, keyBytes);
  for (const name of [hash, cipher.ivHash]) if (name !== undefined) hashNamed(crypto.hashes, name);
  return crypto;
}

/** Errors: as `checkNewVolume`. Takes about the time that deriving its key is to take. */
export async function makeVolume(
  platform: Platform,
  volume: NewVolume,
  passphrase: Uint8Array,
): Promise<MadeVolume> {
  const crypto = checkNewVolume(platform, volume);
  const { cipher, keyBytes, hash: hashName, iterTimeMs } = volume;
  const hash = hashNamed(crypto.hashes, hashName);
  const chance = (bytes: number): Uint8Array => {
    const buffer = new Uint8Array(bytes);
    platform.random.fill(buffer);
    return buffer;
  };
  const { materialOffsets, payloadOffset } = layOutVolume(keyBytes);
  const iterations = await measureIterations(platform.clock, hash, { iterTimeMs, keyBytes });
  const key = chance(keyBytes);
  const digestSalt = chance(saltBytes);
  const empty: LuksHeader = {
    cipher,
    hash: hashName,
    payloadOffset,
    keyBytes,
    digest: await hash.deriveKey(key, digestSalt, iterations.digest, digestBytes),
    digestSalt,
    digestIterations: iterations.digest,
    uuid: uuidOf(chance(16)),
    slots: materialOffsets.map((materialOffset) => ({
      isActive: false,
      iterations: 0,
      salt: new Uint8Array(saltBytes),
      materialOffset,
    })),
  };
  const slot = {
    isActive: true,
    iterations: iterations.slot,
    salt: chance(saltBytes),
    materialOffset: materialOffsets[0]!,
  };
  const header = { ...empty, slots: [slot, ...empty.slots.slice(1)] };
  return {
    payloadOffset,
    header,
    key,
    async write(file) {
      await fillSlot({ crypto, random: platform.random, file, header, key }, slot, passphrase);
      await file.flush();
      const start = new Uint8Array(roundUp(luksHeaderBytes, sectorBytes));
      start.set(serializeLuksHeader(header));
      await file.write(0, start);
      await file.flush();
    },
  };
}

/** A UUID of version 4 (RFC 9562). */
function uuidOf(chance: Uint8Array): string {
  const bytes = chance.slice();
  bytes[6] = (bytes[6]! & 0x0f) | 0x40; // of sixteen
  bytes[8] = (bytes[8]! & 0x3f) | 0x80;
  const hex = Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('');
  return [hex.slice(0, 8), hex.slice(8, 12), hex.slice(12, 16), hex.slice(16, 20), hex.slice(20)].join('-');
}
