/**
 * Tar archives (POSIX ustar, with pax headers where a name or a size has no room in it) of Blobs: `tar` packs and unpacks the same. Neither
 * way is any content read: an archive is a Blob of headers and of what was given, its entries are parts of the archive.
 *
 * Written are plain files alone. Read are also archives of GNU tar, which has long names and sizes in ways of its own; folders are passed
 * over, and links and devices are refused.
 */

export interface TarEntry {
  /** With `/` between folders and the file. */
  readonly name: string;
  readonly content: Blob;
}

/* A header is one block:
 *
 *   0  name[100]   100 mode[8]    108 uid[8]      116 gid[8]     124 size[12]   136 mtime[12]  148 checksum[8]
 * 156  type[1]     157 link[100]  257 "ustar\0"   263 "00"       265 uname[32]  297 gname[32]  345 prefix[155]
 *
 * Numbers are octal texts. The content follows, filled up with zeros to whole blocks; two blocks of zeros end the archive.
 */
const blockBytes = 512;
const nameBytes = 100;
const prefixAt = 345;
const prefixBytes = 155;
const checksumAt = 148;
/** What eleven octal digits hold. */
const largestOctal = 8 ** 11 - 1;
/** Of names, sizes and further records of an entry. */
const longestRecords = 64 << 10;
/** No archive of a machine has nearly as many. */
const mostEntries = 100_000;

const encoder = new TextEncoder();
const strictDecoder = new TextDecoder('utf-8', { fatal: true });

/** `modified`: of all files. Names are in UTF-8, and relative. */
export function writeTar(entries: readonly TarEntry[], modified: Date): Blob {
  const parts = entries.flatMap(({ name, content }): BlobPart[] => [
    ...headerOf(name, content.size, modified),
    content,
    new Uint8Array(padding(content.size)),
  ]);
  return new Blob([...parts, new Uint8Array(2 * blockBytes)], { type: 'application/x-tar' });
}

/** What stands in front of a file. `size`: of its content, in bytes. */
export function headerOf(name: string, size: number, modified: Date): Uint8Array<ArrayBuffer>[] {
  const isLarge = size > largestOctal;
  const isLong = encoder.encode(name).length > nameBytes;
  const plain = block(name, isLarge ? 0 : size, '0', modified);
  if (!isLarge && !isLong) return [plain];
  const records = encoder.encode(
    (isLong ? paxRecord('path', name) : '') + (isLarge ? paxRecord('size', String(size)) : ''),
  );
  return [
    block('pax', records.length, 'x', modified),
    records,
    new Uint8Array(padding(records.length)),
    plain,
  ];
}

const padding = (bytes: number): number => (blockBytes - (bytes % blockBytes)) % blockBytes;

function block(name: string, size: number, type: string, modified: Date): Uint8Array<ArrayBuffer> {
  const header = new Uint8Array(blockBytes);
  const put = (offset: number, text: string): void => header.set(encoder.encode(text), offset);
  const octal = (offset: number, digits: number, value: number): void =>
    put(offset, value.toString(8).padStart(digits, '0'));
  header.set(encoder.encode(name).subarray(0, nameBytes));
  octal(100, 7, 0o644);
  octal(108, 7, 0);
  octal(116, 7, 0);
  octal(124, 11, size);
  octal(136, 11, Math.floor(modified.getTime() / 1000));
  put(156, type);
  put(257, 'ustar\u000000');
  octal(checksumAt, 6, checksumOf(header));
  put(checksumAt + 6, '\0 ');
  return header;
}

/** Of all bytes, its own taken as spaces. */
function checksumOf(block: Uint8Array): number {
  const own = block.subarray(checksumAt, checksumAt + 8);
  const sum = (bytes: Uint8Array): number => bytes.reduce((total, byte) => total + byte, 0);
  return sum(block) - sum(own) + 8 * 0x20;
}

/** `LENGTH KEY=VALUE\n`, where the length counts its own digits. */
function paxRecord(key: string, value: string): string {
  const rest = encoder.encode(` ${key}=${value}\n`).length;
  let length = rest + 1;
  while (String(length).length + rest !== length) length = String(length).length + rest;
  return `${length} ${key}=${value}\n`;
}

/** What was said of the next file in front of its header. */
interface Extended {
  readonly path?: string;
  readonly size?: number;
}

/** Errors: it is no tar archive, breaks off, or has what is no file. */
export async function readTar(archive: Blob): Promise<TarEntry[]> {
  const entries: TarEntry[] = [];
  let extended: Extended = {};
  for (let offset = 0; ; ) {
    const block = new Uint8Array(await archive.slice(offset, offset + blockBytes).arrayBuffer());
    if (block.length < blockBytes) throw new Error(offset === 0 ? 'It is no tar archive.' : 'It breaks off.');
    // One block of zeros is enough: some writers leave out the second.
    if (block.every((byte) => byte === 0) && offset > 0) return entries;
    if (octalAt(block, checksumAt, 8) !== checksumOf(block))
      throw new Error(offset === 0 ? 'It is no tar archive.' : 'It is damaged.');
    const type = String.fromCharCode(block[156]!); // it is a whole block
    const isExtended = 'xgLK'.includes(type);
    const size = isExtended ? sizeIn(block) : (extended.size ?? sizeIn(block));
    const begin = offset + blockBytes;
    offset = begin + size + padding(size);
    if (begin + size > archive.size) throw new Error('It breaks off.');
    const content = archive.slice(begin, begin + size);
    if (isExtended) {
      extended = { ...extended, ...(await extendedBy(type, content)) };
      continue;
    }
    const name = extended.path ?? nameIn(block);
    extended = {};
    if (type === '5') continue;
    if (type !== '0' && type !== '\0') throw new Error(`“${name}” in it is no plain file.`);
    if (entries.length === mostEntries) throw new Error(`It has more than ${mostEntries} files.`);
    entries.push({ name, content });
  }
}

async function extendedBy(type: string, content: Blob): Promise<Extended> {
  if (content.size > longestRecords) throw new Error('It is damaged.');
  const bytes = new Uint8Array(await content.arrayBuffer());
  if (type === 'L') return { path: textIn(bytes) };
  // Of all files that follow, and the long targets of links: nothing that is asked for here.
  if (type !== 'x') return {};
  let result: Extended = {};
  for (let at = 0; at < bytes.length; ) {
    const space = bytes.indexOf(0x20, at);
    const length = Number(textIn(bytes.subarray(at, Math.max(at, space))));
    if (!Number.isInteger(length) || length <= space - at || at + length > bytes.length)
      throw new Error('It is damaged.');
    const [key, value] =
      /^([^=]*)=(.*)\n$/s.exec(textIn(bytes.subarray(space + 1, at + length)))?.slice(1) ?? [];
    if (key === 'path' && value !== undefined) result = { ...result, path: value };
    if (key === 'size') result = { ...result, size: checkedSize(Number(value)) };
    at += length;
  }
  return result;
}

function nameIn(block: Uint8Array): string {
  const name = textIn(block.subarray(0, nameBytes));
  // GNU's own format has other things at that place.
  const isPosix = textIn(block.subarray(257, 263)) === 'ustar' && block[262] === 0;
  const prefix = isPosix ? textIn(block.subarray(prefixAt, prefixAt + prefixBytes)) : '';
  return prefix === '' ? name : `${prefix}/${name}`;
}

/** Up to the first zero. */
function textIn(bytes: Uint8Array): string {
  const end = bytes.indexOf(0);
  try {
    return strictDecoder.decode(end < 0 ? bytes : bytes.subarray(0, end));
  } catch (cause) {
    throw new Error('It is damaged: a name in it is no text.', { cause });
  }
}

/** GNU tar writes what is too large for octal as a binary number, and says so by the highest bit. */
function sizeIn(block: Uint8Array): number {
  const field = block.subarray(124, 136);
  if ((field[0]! & 0x80) === 0) return checkedSize(octalAt(block, 124, 12)); // a field of twelve
  return checkedSize(field.subarray(1).reduce((value, byte) => value * 256 + byte, 0));
}

function checkedSize(size: number): number {
  if (!Number.isSafeInteger(size) || size < 0) throw new Error('It is damaged.');
  return size;
}

function octalAt(block: Uint8Array, offset: number, bytes: number): number {
  const text = String.fromCharCode(...block.subarray(offset, offset + bytes));
  const digits = /^ *([0-7]*)[\0 ]/.exec(text)?.[1];
  return digits === undefined || digits === '' ? Number.NaN : Number.parseInt(digits, 8);
}
