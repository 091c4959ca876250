/** Poly1305 against the definition in whole numbers (RFC 8439, section 2.5), and the examples of that document. */
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { poly1305 } from '../../host/core/poly1305.ts';

const prime = (1n << 130n) - 5n;

function number(bytes: Uint8Array): bigint {
  return bytes.reduceRight((sum, byte) => (sum << 8n) | BigInt(byte), 0n);
}

function model(key: Uint8Array, message: Uint8Array): Uint8Array {
  const r = number(key.subarray(0, 16)) & 0x0ffffffc0ffffffc0ffffffc0fffffffn;
  let sum = 0n;
  for (let at = 0; at < message.length; at += 16) {
    const block = message.subarray(at, at + 16);
    sum = ((sum + number(block) + (1n << BigInt(8 * block.length))) * r) % prime;
  }
  const tag = sum + number(key.subarray(16));
  return Uint8Array.from({ length: 16 }, (_, i) => Number((tag >> BigInt(8 * i)) & 0xffn));
}

const hex = (text: string): Uint8Array => Uint8Array.from(Buffer.from(text.replaceAll(/[\s:]/g, ''), 'hex'));

test("of the document's example", () => {
  const key = hex('85d6be7857556d337f4452fe42d506a80103808afb0db2fd4abff6af4149f51b');
  const message = new TextEncoder().encode('Cryptographic Forum Research Group');
  expect(poly1305(key, message)).toEqual(hex('a8061dc1305136c6c22b8baf0c0127a9'));
});

/** Keys and blocks of all ones and all zeros carry the furthest. */
const extreme = fc.oneof(
  fc.uint8Array({ minLength: 32, maxLength: 32 }),
  fc
    .array(fc.constantFrom(0, 1, 5, 0xfa, 0xfb, 0xfc, 0xff), { minLength: 32, maxLength: 32 })
    .map((bytes) => Uint8Array.from(bytes)),
);
const content = fc.oneof(
  fc.uint8Array({ maxLength: 200 }),
  fc.array(fc.constantFrom(0, 0xfb, 0xff), { maxLength: 100 }).map((bytes) => Uint8Array.from(bytes)),
);

test('of any message is what the definition says', () => {
  fc.assert(
    fc.property(extreme, content, (key, message) => {
      expect(poly1305(key, message)).toEqual(model(key, message));
    }),
    { numRuns: 2000 },
  );
});

test('of a message that comes in parts is that of the whole', () => {
  const key = Uint8Array.from({ length: 32 }, (_, i) => i * 37);
  const message = Uint8Array.from({ length: 100_003 }, (_, i) => (i * i) >> 3);
  expect(poly1305(key, message)).toEqual(model(key, message));
});
