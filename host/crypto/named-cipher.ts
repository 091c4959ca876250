/**
 * Sector ciphers by the names that headers and options have for them (specification: luks, section 3).
 *
 * Modes are made of a block cipher under one key (platform: Ciphers): XTS, CBC and ECB. What a sector's number comes to, its
 * initialization vector, says a generator:
 *
 *   plain     the lower 32 bits of the number, little-endian, then zeros
 *   plain64   the same with 64 bits
 *   essiv     plain64, encrypted with a hash of the key
 */
import { BlockError, invalid } from '../base/errors.ts';
import { sectorBytes } from '../base/sectors.ts';
import type { BlockCipher, Ciphers, Hashes, NamedHash } from '../platform/platform.ts';
import { blockBytes, type IvGenerator, type SectorCipher } from './sector-cipher.ts';
import { XtsMode } from './xts.ts';

/** A cipher as headers and options name it: `aes`, `xts`, `plain64`. */
export interface CipherNames {
  readonly algorithm: string;
  readonly mode: string;
  readonly ivGenerator: string;
  /** Of `essiv` alone; the others have no use for it. */
  readonly ivHash: string | undefined;
}

/** What ciphers are made of. */
export interface CryptoPlatform {
  readonly ciphers: Ciphers;
  readonly hashes: Hashes;
}

/** Errors: ENOTSUP, a name that is not known here; EINVAL, a key that is as long as none of the cipher's. */
export function createSectorCipher(
  { ciphers, hashes }: CryptoPlatform,
  names: CipherNames,
  key: Uint8Array,
): SectorCipher {
  checkCipher(names, key.length);
  const iv = ivGenerator(ciphers, names, () => hashNamed(hashes, names.ivHash ?? '').digest(key));
  switch (names.mode) {
    case 'xts': {
      const half = key.length / 2;
      const [data, tweak] = [key.subarray(0, half), key.subarray(half)].map((part) =>
        ciphers.aesBlocks(part),
      );
      return new XtsMode(data!, tweak!, iv); // two parts
    }
    case 'cbc':
      return new CbcMode(ciphers.aesBlocks(key), iv);
    default:
      return new EcbMode(ciphers.aesBlocks(key));
  }
}

/** Errors: as `createSectorCipher`, as far as they do not depend on the host. */
export function checkCipher({ algorithm, mode, ivGenerator, ivHash }: CipherNames, keyBytes: number): void {
  const unsupported = (what: string, value: string): BlockError =>
    new BlockError('ENOTSUP', `${what} '${value}' is not supported`);
  if (algorithm !== 'aes') throw unsupported('Cipher algorithm', algorithm);
  if (!['xts', 'cbc', 'ecb'].includes(mode)) throw unsupported('Cipher mode', mode);
  if (!['plain', 'plain64', 'essiv'].includes(ivGenerator)) throw unsupported('IV generator', ivGenerator);
  if (ivGenerator === 'essiv' && ivHash === undefined) {
    throw invalid("IV generator 'essiv' needs the name of a hash");
  }
  const bytes = mode === 'xts' ? keyBytes / 2 : keyBytes;
  if (![16, 24, 32].includes(bytes))
    throw invalid(`Cipher '${algorithm}-${mode}' has no keys of ${keyBytes} bytes`);
}

/** Errors: ENOTSUP. */
export function hashNamed(hashes: Hashes, name: string): NamedHash {
  const hash = hashes.named(name);
  if (!hash) throw new BlockError('ENOTSUP', `Hash algorithm '${name}' is not supported`);
  return hash;
}

function ivGenerator(
  ciphers: Ciphers,
  { ivGenerator: name, ivHash }: CipherNames,
  hashOfKey: () => Uint8Array,
): IvGenerator {
  if (name === 'plain') return (sector, count) => numbers(sector, count, false);
  if (name === 'plain64') return (sector, count) => numbers(sector, count, true);
  const salt = hashOfKey();
  if (![16, 24, 32].includes(salt.length)) {
    throw new BlockError('ENOTSUP', `IV hash algorithm '${ivHash}' gives a key that AES does not take`);
  }
  const cipher = ciphers.aesBlocks(salt);
  return (sector, count) => cipher.encrypt(numbers(sector, count, true));
}

function numbers(sector: number, count: number, areWide: boolean): Uint8Array {
  const bytes = new Uint8Array(count * blockBytes);
  const view = new DataView(bytes.buffer);
  for (let index = 0; index < count; index++) {
    view.setUint32(index * blockBytes, (sector + index) % 2 ** 32, true);
    if (areWide) view.setUint32(index * blockBytes + 4, Math.floor((sector + index) / 2 ** 32), true);
  }
  return bytes;
}

/** Each block by itself: equal blocks look the same. Nobody should want it, but there are disks that have it. */
class EcbMode implements SectorCipher {
  constructor(private readonly cipher: BlockCipher) {}

  encrypt(_sector: number, data: Uint8Array): Uint8Array {
    return this.cipher.encrypt(data);
  }

  decrypt(_sector: number, data: Uint8Array): void {
    data.set(this.cipher.decrypt(data));
  }
}

/** A chain of blocks in each sector, which begins with its vector. */
class CbcMode implements SectorCipher {
  constructor(
    private readonly cipher: BlockCipher,
    private readonly iv: IvGenerator,
  ) {}

  encrypt(sector: number, data: Uint8Array): Uint8Array {
    const ivs = this.iv(sector, data.length / sectorBytes);
    const encrypted = new Uint8Array(data.length);
    for (let at = 0, iv = 0; at < data.length; at += sectorBytes, iv += blockBytes) {
      const plain = data.subarray(at, at + sectorBytes);
      encrypted.set(this.cipher.encryptChained(plain, ivs.subarray(iv, iv + blockBytes)), at);
    }
    return encrypted;
  }

  decrypt(sector: number, data: Uint8Array): void {
    const ivs = this.iv(sector, data.length / sectorBytes);
    const plain = this.cipher.decrypt(data);
    for (let at = 0; at < data.length; at++) {
      const inSector = at % sectorBytes;
      const before =
        inSector < blockBytes
          ? ivs[((at - inSector) / sectorBytes) * blockBytes + inSector]
          : data[at - blockBytes];
      plain[at]! ^= before!; // both are as long as the data
    }
    data.set(plain);
  }
}
