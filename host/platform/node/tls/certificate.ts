/** What a certificate says (RFC 5280) that Node does not tell: the name of its subject, and what its key is good for. */
import type { X509Certificate } from 'node:crypto';
import { type Element, elementsOf, objectIdentifierOf, Tag } from './der.ts';

/** What a key may be used for, and whether others have to keep to it. */
interface Purposes<T> {
  readonly isCritical: boolean;
  readonly allowed: T;
}

export interface CertificateUse {
  /** Undefined: it is not said whether it is an authority's. */
  readonly isAuthority: boolean | undefined;
  /** Bits as RFC 5280 counts them, from 0 on. */
  readonly keyUsage: Purposes<ReadonlySet<number>> | undefined;
  /** Object identifiers. */
  readonly extendedKeyUsage: Purposes<readonly string[]> | undefined;
}

export const KeyUsage = { digitalSignature: 0, keyEncipherment: 2, keyCertSign: 5 } as const;
export const ExtendedKeyUsage = { serverAuth: '1.3.6.1.5.5.7.3.1', clientAuth: '1.3.6.1.5.5.7.3.2' } as const;

const extensionIdentifiers = {
  keyUsage: '2.5.29.15',
  basicConstraints: '2.5.29.19',
  extendedKeyUsage: '2.5.29.37',
} as const;

/** As GnuTLS calls them. */
const attributeNames: Readonly<Record<string, string>> = {
  '2.5.4.3': 'CN',
  '2.5.4.4': 'surName',
  '2.5.4.5': 'serialNumber',
  '2.5.4.6': 'C',
  '2.5.4.7': 'L',
  '2.5.4.8': 'ST',
  '2.5.4.9': 'street',
  '2.5.4.10': 'O',
  '2.5.4.11': 'OU',
  '2.5.4.12': 'title',
  '2.5.4.13': 'description',
  '2.5.4.15': 'businessCategory',
  '2.5.4.17': 'postalCode',
  '2.5.4.41': 'name',
  '2.5.4.42': 'givenName',
  '2.5.4.43': 'initials',
  '2.5.4.46': 'dnQualifier',
  '2.5.4.65': 'pseudonym',
  '0.9.2342.19200300.100.1.1': 'UID',
  '0.9.2342.19200300.100.1.25': 'DC',
  '1.2.840.113549.1.9.1': 'EMAIL',
};

/** What is signed: serial number, issuer, validity, subject, key, extensions. */
function signedPart({ raw }: X509Certificate): Element[] {
  const [certificate] = elementsOf(raw);
  const [signed] = elementsOf(certificate?.content ?? raw);
  const fields = elementsOf(signed?.content ?? raw);
  // A version stands in front where it is not the first.
  return fields[0]?.tag === 0xa0 ? fields.slice(1) : fields;
}

/** `C=DE,O=Example,CN=client`: in the order of the certificate, and with the escapes of RFC 4514, section 2.4. */
export function subjectOf(certificate: X509Certificate): string {
  const subject = signedPart(certificate)[4];
  return elementsOf(subject?.content ?? new Uint8Array(0))
    .map((attributes) => elementsOf(attributes.content).map(attributeText).join('+'))
    .join(',');
}

function attributeText({ content }: Element): string {
  const [identifier, value] = elementsOf(content);
  if (!identifier || !value) return '';
  const type = objectIdentifierOf(identifier.content);
  const name = attributeNames[type];
  if (name === undefined) return `${type}=#${Buffer.from(value.whole).toString('hex')}`;
  return `${name}=${escaped(Buffer.from(value.content).toString('utf8'))}`;
}

function escaped(text: string): string {
  return text.replace(/[,+"\\<>;]|^#|^ +| +$/g, (found) => [...found].map((one) => `\\${one}`).join(''));
}

export function useOf(certificate: X509Certificate): CertificateUse {
  const constraints = extensionOf(certificate, extensionIdentifiers.basicConstraints);
  const usage = extensionOf(certificate, extensionIdentifiers.keyUsage);
  const extended = extensionOf(certificate, extensionIdentifiers.extendedKeyUsage);
  return {
    // FALSE is not written.
    isAuthority: constraints && constraints.value.content[0] === Tag.boolean,
    keyUsage: usage && { isCritical: usage.isCritical, allowed: bitsOf(usage.value.content) },
    extendedKeyUsage: extended && {
      isCritical: extended.isCritical,
      allowed: elementsOf(extended.value.content).map(({ content }) => objectIdentifierOf(content)),
    },
  };
}

function extensionOf(
  certificate: X509Certificate,
  wanted: string,
): { isCritical: boolean; value: Element } | undefined {
  const field = signedPart(certificate).find(({ tag }) => tag === Tag.context3);
  const [list] = elementsOf(field?.content ?? new Uint8Array(0));
  for (const { content } of elementsOf(list?.content ?? new Uint8Array(0))) {
    const [identifier, ...rest] = elementsOf(content);
    if (!identifier || objectIdentifierOf(identifier.content) !== wanted) continue;
    const [value] = elementsOf(rest.at(-1)?.content ?? new Uint8Array(0));
    return value && { isCritical: rest[0]?.tag === Tag.boolean, value };
  }
  return undefined;
}

/** The first byte says how many of the last are not meant. */
function bitsOf([, ...bytes]: Uint8Array): ReadonlySet<number> {
  const bits = new Set<number>();
  bytes.forEach((byte, index) => {
    for (let bit = 0; bit < 8; bit++) if ((byte & (0x80 >> bit)) !== 0) bits.add(index * 8 + bit);
  });
  return bits;
}
