/**
 * XTS (IEEE 1619): each block of a sector is mixed with a tweak before and after it is encrypted. The first tweak of a
 * sector is its vector, encrypted with the second key; each further one is the one before, doubled in GF(2^128).
 *
 * All the sectors of a piece go through the block cipher in two calls, one for their tweaks and one for their data: a
 * cipher of OpenSSL for each sector would cost more than its encryption. Words are read as the machine has them, which is
 * little-endian wherever this runs, as blocks are in XTS.
 */
import { sectorBytes } from '../base/sectors.ts';
import type { BlockCipher } from '../platform/platform.ts';
import { blockBytes, type IvGenerator, type SectorCipher } from './sector-cipher.ts';

/** As much as stays in a processor's cache, three times over. */
const pieceBytes = 64 << 10;
const blocksPerSector = sectorBytes / blockBytes;

export class XtsMode implements SectorCipher {
  /** Of the piece at hand; nobody else runs while it is. */
  private readonly tweaks = new Uint32Array(pieceBytes / 4);
  private readonly mixed = new Uint32Array(pieceBytes / 4);
  private readonly mixedBytes = new Uint8Array(this.mixed.buffer);

  constructor(
    private readonly dataCipher: BlockCipher,
    private readonly tweakCipher: BlockCipher,
    private readonly iv: IvGenerator,
  ) {}

  encrypt(sector: number, data: Uint8Array): Uint8Array {
    if (data.length <= pieceBytes) return this.piece(sector, data, true);
    const encrypted = new Uint8Array(data.length);
    this.eachPiece(sector, data, (first, part, at) => encrypted.set(this.piece(first, part, true), at));
    return encrypted;
  }

  decrypt(sector: number, data: Uint8Array): void {
    this.eachPiece(sector, data, (first, part) => part.set(this.piece(first, part, false)));
  }

  private eachPiece(
    sector: number,
    data: Uint8Array,
    act: (sector: number, part: Uint8Array, at: number) => void,
  ): void {
    for (let at = 0; at < data.length; at += pieceBytes) {
      act(sector + at / sectorBytes, data.subarray(at, at + pieceBytes), at);
    }
  }

  private piece(sector: number, data: Uint8Array, encrypts: boolean): Uint8Array {
    const { tweaks, mixed, mixedBytes, dataCipher } = this;
    const words = data.length / 4;
    this.makeTweaks(sector, data.length / sectorBytes);
    mixedBytes.set(data);
    for (let word = 0; word < words; word++) mixed[word]! ^= tweaks[word]!; // within both
    const input = mixedBytes.subarray(0, data.length);
    const output = encrypts ? dataCipher.encrypt(input) : dataCipher.decrypt(input);
    const result = wordsOf(output);
    for (let word = 0; word < words; word++) result[word]! ^= tweaks[word]!; // as above
    return new Uint8Array(result.buffer, result.byteOffset, data.length);
  }

  private makeTweaks(sector: number, sectors: number): void {
    const { tweaks } = this;
    const first = wordsOf(this.tweakCipher.encrypt(this.iv(sector, sectors)));
    let word = 0;
    for (let index = 0; index < sectors * 4; index += 4) {
      // Four words of each sector.
      let a = first[index]!;
      let b = first[index + 1]!;
      let c = first[index + 2]!;
      let d = first[index + 3]!;
      for (let block = 0; block < blocksPerSector; block++) {
        tweaks[word] = a;
        tweaks[word + 1] = b;
        tweaks[word + 2] = c;
        tweaks[word + 3] = d;
        word += 4;
        const carry = d >>> 31;
        d = (d << 1) | (c >>> 31);
        c = (c << 1) | (b >>> 31);
        b = (b << 1) | (a >>> 31);
        a = (a << 1) ^ (carry * 0x87);
      }
    }
  }
}

/** The same bytes, or a copy of them where words cannot begin. */
function wordsOf(bytes: Uint8Array): Uint32Array {
  const aligned = bytes.byteOffset % 4 === 0 ? bytes : bytes.slice();
  return new Uint32Array(aligned.buffer, aligned.byteOffset, aligned.length / 4);
}
