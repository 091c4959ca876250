/**
 * A certificate made on the spot: of a new key (P-256), signed by itself, for the names that the server answers to (RFC 5280, in the
 * form of X.690's DER). Browsers ask their user whether to trust it, once for each start, as nobody else vouches for it; its
 * fingerprint is what can be compared. It is good for tests and one's own network.
 *
 * Node reads certificates and cannot write them. What is here is only what this one certificate is made of.
 */
import { generateKeyPairSync, randomBytes, sign, X509Certificate } from 'node:crypto';
import { isIPv4, isIPv6 } from 'node:net';

export interface Identity {
  /** PEM. */
  readonly cert: string;
  /** PEM. */
  readonly key: string;
}

const dayMs = 24 * 60 * 60 * 1000;
/** Safari takes none that is valid for longer than 825 days. */
const validDays = 90;
const serialBytes = 16;

/** Tags of X.690 that are needed here; `context` is for what a definition numbers itself. */
const Tag = {
  boolean: 0x01,
  integer: 0x02,
  bitString: 0x03,
  octetString: 0x04,
  oid: 0x06,
  utf8String: 0x0c,
  utcTime: 0x17,
  sequence: 0x30,
  set: 0x31,
  context: 0x80,
  constructed: 0x20,
} as const;

const ecdsaWithSha256 = sequence(oid(1, 2, 840, 10_045, 4, 3, 2));
const commonName = oid(2, 5, 4, 3);
const basicConstraints = oid(2, 5, 29, 19);
const keyUsage = oid(2, 5, 29, 15);
const extendedKeyUsage = oid(2, 5, 29, 37);
const subjectAltName = oid(2, 5, 29, 17);
const serverAuth = oid(1, 3, 6, 1, 5, 5, 7, 3, 1);
/** The first bit of nine, after the count of unused ones. */
const digitalSignature = bytes(Tag.bitString, Buffer.from([7, 0x80]));
const yes = bytes(Tag.boolean, Buffer.from([0xff]));
const version3 = 2;

/** `names`: of hosts, as in URLs or without their brackets. `now`: milliseconds since 1970. */
export function makeIdentity(names: readonly string[], now: number): Identity {
  const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const name = sequence(bytes(Tag.set, sequence(commonName, text('blockyard'))));
  const serial = randomBytes(serialBytes);
  // Positive, and without zeros in front.
  serial[0] = 0x40 | (serial[0]! & 0x3f); // it has bytes
  const signed = sequence(
    bytes(Tag.context | Tag.constructed, bytes(Tag.integer, Buffer.from([version3]))),
    bytes(Tag.integer, serial),
    ecdsaWithSha256,
    name,
    sequence(time(now - dayMs), time(now + validDays * dayMs)),
    name,
    publicKey.export({ type: 'spki', format: 'der' }),
    bytes(
      Tag.context | Tag.constructed | 3,
      sequence(
        extension(basicConstraints, yes, sequence()),
        extension(keyUsage, yes, digitalSignature),
        extension(extendedKeyUsage, sequence(serverAuth)),
        extension(subjectAltName, sequence(...names.map(generalName))),
      ),
    ),
  );
  const signature = sign('sha256', signed, privateKey);
  const certificate = sequence(
    signed,
    ecdsaWithSha256,
    bytes(Tag.bitString, Buffer.concat([Buffer.from([0]), signature])),
  );
  return {
    cert: new X509Certificate(certificate).toString(),
    key: privateKey.export({ type: 'pkcs8', format: 'pem' }) as string,
  };
}

/** Each extension is its name, whether it must be understood, and its value's bytes. */
function extension(name: Buffer, ...rest: readonly [Buffer] | readonly [isCritical: Buffer, Buffer]): Buffer {
  const value = rest.at(-1)!; // it has one at least
  return sequence(name, ...rest.slice(0, -1), bytes(Tag.octetString, value));
}

/** RFC 5280, section 4.2.1.6: a DNS name is number 2, an address 7. */
function generalName(host: string): Buffer {
  const plain = host.replace(/^\[|\]$/g, '');
  if (isIPv4(plain)) return bytes(Tag.context | 7, Buffer.from(plain.split('.').map(Number)));
  if (isIPv6(plain)) return bytes(Tag.context | 7, addressBytes(plain));
  return bytes(Tag.context | 2, Buffer.from(plain, 'latin1'));
}

/** Of an IPv6 address in any of its spellings. */
function addressBytes(address: string): Buffer {
  const spelled = new URL(`http://[${address}]`).hostname.slice(1, -1);
  const [head = '', tail] = spelled.split('::');
  const groups = (part: string): number[] =>
    part === '' ? [] : part.split(':').map((group) => Number(`0x${group}`));
  const [first, last] = [groups(head), tail === undefined ? [] : groups(tail)];
  const zeros = Array.from({ length: 8 - first.length - last.length }, () => 0);
  return Buffer.from([...first, ...zeros, ...last].flatMap((group) => [group >> 8, group & 0xff]));
}

function sequence(...parts: readonly Uint8Array[]): Buffer {
  return bytes(Tag.sequence, ...parts);
}

function text(value: string): Buffer {
  return bytes(Tag.utf8String, Buffer.from(value));
}

/** As certificates have times until 2049 (RFC 5280, section 4.1.2.5). */
function time(milliseconds: number): Buffer {
  const digits = new Date(milliseconds).toISOString().replace(/\.\d+|[-:T]/g, '');
  return bytes(Tag.utcTime, Buffer.from(digits.slice(2)));
}

function oid(first: number, second: number, ...rest: readonly number[]): Buffer {
  const arcs = rest.flatMap((arc) => {
    const digits = bigEndian(arc, 7);
    return digits.map((digit, at) => (at < digits.length - 1 ? digit | 0x80 : digit));
  });
  return bytes(Tag.oid, Buffer.from([first * 40 + second, ...arcs]));
}

/** A tag, the length of what follows, and that. */
function bytes(tag: number, ...parts: readonly Uint8Array[]): Buffer {
  const content = Buffer.concat(parts);
  const size = bigEndian(content.length, 8);
  const length = content.length < 0x80 ? size : [0x80 | size.length, ...size];
  return Buffer.concat([Buffer.from([tag, ...length]), content]);
}

/** Digits of so many bits each, at least one. */
function bigEndian(value: number, bits: number): number[] {
  const digits = [value % 2 ** bits];
  for (let left = value >> bits; left > 0; left >>= bits) digits.unshift(left % 2 ** bits);
  return digits;
}
