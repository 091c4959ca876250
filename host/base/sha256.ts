/** SHA-256 (FIPS 180-4), for hosts that have none for input that comes in parts. */
import { roundUp } from './sectors.ts';

const blockBytes = 64;

/** The first 32 bits of the fractional part of `root` of the first 64 primes. */
function fractions(root: (prime: number) => number): Uint32Array {
  const values: number[] = [];
  for (let candidate = 2; values.length < 64; candidate++) {
    let prime = true;
    for (let factor = 2; factor * factor <= candidate; factor++) if (candidate % factor === 0) prime = false;
    if (prime) values.push((root(candidate) % 1) * 2 ** 32);
  }
  return Uint32Array.from(values);
}

const roundConstants = fractions(Math.cbrt);
const initialState = fractions(Math.sqrt).subarray(0, 8);

const rotate = (word: number, bits: number): number => (word >>> bits) | (word << (32 - bits));

/** SHA-256 of what `update` is given, one part after the other. `digest` comes last. */
export class Sha256 {
  private readonly state = initialState.slice();
  private readonly schedule = new Uint32Array(64);
  /** What does not fill a block yet: the first `length % blockBytes` bytes. */
  private readonly rest = new Uint8Array(blockBytes);
  private length = 0;

  update(part: Uint8Array): void {
    const used = this.length % blockBytes;
    let at = used === 0 ? 0 : Math.min(part.length, blockBytes - used);
    this.rest.set(part.subarray(0, at), used);
    if (used > 0 && used + at === blockBytes) this.take(this.rest);
    const whole = at + Math.floor((part.length - at) / blockBytes) * blockBytes;
    this.take(part.subarray(at, whole));
    at = whole;
    if (at < part.length) this.rest.set(part.subarray(at));
    this.length += part.length;
  }

  /** 32 bytes. */
  digest(): Uint8Array {
    const { length } = this;
    const padding = new Uint8Array(roundUp(length + 9, blockBytes) - length);
    padding[0] = 0x80;
    new DataView(padding.buffer).setBigUint64(padding.length - 8, BigInt(length) * 8n);
    this.update(padding);
    const digest = new Uint8Array(32);
    const output = new DataView(digest.buffer);
    this.state.forEach((word, index) => {
      output.setUint32(index * 4, word);
    });
    return digest;
  }

  private take(blocks: Uint8Array): void {
    const view = new DataView(blocks.buffer, blocks.byteOffset, blocks.length);
    for (let at = 0; at < blocks.length; at += blockBytes) compress(this.state, this.schedule, view, at);
  }
}

export function sha256(message: Uint8Array): Uint8Array {
  const hash = new Sha256();
  hash.update(message);
  return hash.digest();
}

function compress(state: Uint32Array, w: Uint32Array, block: DataView, offset: number): void {
  for (let t = 0; t < 16; t++) w[t] = block.getUint32(offset + t * 4);
  for (let t = 16; t < 64; t++) {
    const [a, b] = [w[t - 15]!, w[t - 2]!]; // t ≥ 16
    const s0 = rotate(a, 7) ^ rotate(a, 18) ^ (a >>> 3);
    const s1 = rotate(b, 17) ^ rotate(b, 19) ^ (b >>> 10);
    w[t] = w[t - 16]! + s0 + w[t - 7]! + s1; // as above
  }
  let [a, b, c, d, e, f, g, h] = state as unknown as [
    number,
    number,
    number,
    number,
    number,
    number,
    number,
    number,
  ];
  for (let t = 0; t < 64; t++) {
    const s1 = rotate(e, 6) ^ rotate(e, 11) ^ rotate(e, 25);
    const t1 = (h + s1 + ((e & f) ^ (~e & g)) + roundConstants[t]! + w[t]!) | 0; // 64 of each
    const s0 = rotate(a, 2) ^ rotate(a, 13) ^ rotate(a, 22);
    const t2 = (s0 + ((a & b) ^ (a & c) ^ (b & c))) | 0;
    [h, g, f, e, d, c, b, a] = [g, f, e, (d + t1) | 0, c, b, a, (t1 + t2) | 0];
  }
  [a, b, c, d, e, f, g, h].forEach((word, index) => {
    state[index] = state[index]! + word; // eight words
  });
}
