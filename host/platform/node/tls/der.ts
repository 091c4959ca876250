/**
 * Reads DER (X.690) as far as certificates need it: elements with a tag and a length, one in another.
 *
 * What is wrong is undefined, or no element: whoever asks has a certificate that OpenSSL has read already.
 */

export const Tag = {
  boolean: 0x01,
  bitString: 0x03,
  octetString: 0x04,
  objectIdentifier: 0x06,
  utf8String: 0x0c,
  sequence: 0x30,
  set: 0x31,
  /** The extensions of a certificate. */
  context3: 0xa3,
} as const;

export interface Element {
  readonly tag: number;
  readonly content: Uint8Array;
  /** With tag and length. */
  readonly whole: Uint8Array;
}

/** What follows one another in `bytes`. */
export function elementsOf(bytes: Uint8Array): Element[] {
  const elements: Element[] = [];
  for (let at = 0; at + 2 <= bytes.length; ) {
    let start = at + 2;
    let length = bytes[at + 1]!; // there are two bytes
    if (length >= 0x80) {
      const lengthBytes = length & 0x7f;
      length = 0;
      for (const byte of bytes.subarray(start, start + lengthBytes)) length = length * 256 + byte;
      start += lengthBytes;
    }
    const end = start + length;
    if (end > bytes.length) break;
    elements.push({ tag: bytes[at]!, content: bytes.subarray(start, end), whole: bytes.subarray(at, end) });
    at = end;
  }
  return elements;
}

/** `2.5.4.3` */
export function objectIdentifierOf(content: Uint8Array): string {
  const arcs: number[] = [];
  let arc = 0;
  for (const byte of content) {
    arc = arc * 128 + (byte & 0x7f);
    if (byte >= 0x80) continue;
    // The first number stands for two.
    if (arcs.length === 0) {
      const first = Math.min(Math.floor(arc / 40), 2);
      arcs.push(first, arc - first * 40);
    } else arcs.push(arc);
    arc = 0;
  }
  return arcs.join('.');
}
