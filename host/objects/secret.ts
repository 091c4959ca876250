/**
 * `secret`: a password or key that others name by its id: as it is, in base64, from a file, and encrypted with another secret.
 *
 * It is kept as bytes. What is encrypted is AES-256 in CBC mode with PKCS 7 padding.
 */
import { BlockError, invalid } from '../base/errors.ts';
import { objectTableOf } from '../block/object-table.ts';
import type { Platform } from '../platform/platform.ts';
import { enumeration, optional, str, struct, type TypeOf } from '../qapi/types.ts';
import type { ObjectContext, ObjectType, UserObject } from './object-type.ts';
import { plainProperty } from './properties.ts';

const formatType = enumeration('QCryptoSecretFormat', ['raw', 'base64']);
const optionsType = struct('SecretProperties', {
  format: optional(formatType),
  keyid: optional(str),
  iv: optional(str),
  data: optional(str),
  file: optional(str),
});

type Options = TypeOf<typeof optionsType>;

const keyBytes = 32;
const blockBytes = 16;
/** What is longer is no secret that anybody would type or derive. */
const maxFileBytes = 1 << 20;

export const secret: ObjectType<Options> = {
  name: 'secret',
  options: optionsType,
  async create(context, _, options): Promise<UserObject> {
    const { format = 'raw', keyid, iv = '', data = '', file = '' } = options;
    let bytes = await readData(context.graph.platform, options);
    if (format === 'base64') bytes = fromBase64(bytes);
    if (keyid !== undefined) bytes = decrypt(context, bytes, { keyid, iv: options.iv });
    return {
      typeName: 'secret',
      secret: bytes,
      properties: [
        plainProperty('iv', str, iv),
        plainProperty('keyid', str, keyid ?? ''),
        plainProperty('format', formatType, format),
        plainProperty('file', str, file),
        plainProperty('data', str, data),
      ],
    };
  },
};

async function readData(platform: Platform, { data, file }: Options): Promise<Uint8Array> {
  if (data !== undefined && file !== undefined) throw invalid("'file' and 'data' are mutually exclusive");
  if (data !== undefined) return new TextEncoder().encode(data);
  if (file === undefined) throw invalid("Either 'file' or 'data' must be provided");
  return readFile(platform, file);
}

async function readFile({ files }: Platform, path: string): Promise<Uint8Array> {
  const unreadable =
    (doing: string) =>
    (error: unknown): never => {
      if (!(error instanceof BlockError)) throw error;
      throw error.within(`Unable to read ${path}: ${doing} file “${path}”`);
    };
  const failsToOpen = unreadable('Failed to open');
  const { type, size } = await files.stat(path).catch(failsToOpen);
  if (type === 'directory') return unreadable('Error reading')(new BlockError('EISDIR'));
  if (size > maxFileBytes) return unreadable('Error reading')(new BlockError('EFBIG'));
  const opened = await files.open(path, { write: false }).catch(failsToOpen);
  try {
    const bytes = new Uint8Array(size);
    await opened.read(0, bytes).catch(unreadable('Error reading'));
    return bytes;
  } finally {
    await opened.close();
  }
}

/** As GLib reads it: groups of four characters, and what is left over at the end does not count. Errors: BlockError. */
function fromBase64(text: Uint8Array): Uint8Array {
  if (text.includes(0)) throw invalid('Base64 data contains embedded NUL characters');
  const characters = new TextDecoder('latin1').decode(text);
  if (/[^A-Za-z0-9+/=\n]/.test(characters)) throw invalid('Base64 data contains invalid characters');
  const groups = characters.replaceAll('\n', '').match(/.{4}/g) ?? [];
  const bytes = groups.flatMap((group) => {
    const decoded = Array.from(atob(group.replaceAll('=', 'A')), (character) => character.charCodeAt(0));
    return decoded.filter((_, index) => index === 0 || group[index + 1] !== '=');
  });
  return Uint8Array.from(bytes);
}

function decrypt(
  { graph }: ObjectContext,
  data: Uint8Array,
  { keyid, iv }: { keyid: string; iv: string | undefined },
): Uint8Array {
  const key = objectTableOf(graph).secret(keyid);
  if (key.length !== keyBytes) throw invalid(`Key should be ${keyBytes} bytes in length`);
  if (iv === undefined) throw invalid('IV is required to decrypt secret');
  const vector = fromBase64(new TextEncoder().encode(iv));
  if (vector.length !== blockBytes)
    throw invalid(`IV should be ${blockBytes} bytes in length not ${vector.length}`);
  if (data.length % blockBytes !== 0)
    throw invalid(`Length ${data.length} must be a multiple of block size ${blockBytes}`);
  const { ciphers } = graph.platform;
  if (!ciphers) throw new BlockError('ENOTSUP', 'Nothing can be decrypted here');
  const padded = ciphers.decryptCbc(data, key, vector);
  const padding = padded.at(-1) ?? 0;
  if (padding > blockBytes)
    throw invalid(`Incorrect number of padding bytes (${padding}) found on decrypted data`);
  return padded.subarray(0, padded.length - padding);
}
