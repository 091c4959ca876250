/**
 * Random changes to a qcow2 image: fields of the header, its extensions, the feature name table, the snapshot table, the
 * bitmap directory, the file's length (specification: qcow2, sections 1, 5.1 and 6). Many of them are valid.
 */
import { roundUp } from '../../../host/base/sectors.ts';
import type { Seeded } from '../../support/seeded.ts';

interface Field {
  readonly name: string;
  readonly at: number;
  readonly bytes: 1 | 2 | 4 | 8;
}

const u32 = (name: string, at: number): Field => ({ name, at, bytes: 4 });
const u64 = (name: string, at: number): Field => ({ name, at, bytes: 8 });

const headerFields: readonly Field[] = [
  u32('magic', 0),
  u32('version', 4),
  u64('backing file offset', 8),
  u32('backing file size', 16),
  u32('cluster bits', 20),
  u64('size', 24),
  u32('crypt method', 32),
  u32('l1 size', 36),
  u64('l1 offset', 40),
  u64('refcount table offset', 48),
  u32('refcount table clusters', 56),
  u32('snapshots', 60),
  u64('snapshots offset', 64),
  u64('incompatible features', 72),
  u64('compatible features', 80),
  u64('autoclear features', 88),
  u32('refcount order', 96),
  u32('header length', 100),
  { name: 'compression type', at: 104, bytes: 1 },
];
const at = Object.fromEntries(headerFields.map((field) => [field.name, field.at])) as Readonly<
  Record<string, number>
>;

const snapshotFields: readonly Field[] = [
  u64('l1 offset', 0),
  u32('l1 size', 8),
  { name: 'id length', at: 12, bytes: 2 },
  { name: 'name length', at: 14, bytes: 2 },
  u32('date', 16),
  u32('nanoseconds', 20),
  u64('clock', 24),
  u32('state size', 32),
  u32('extra bytes', 36),
  u64('long state size', 40),
  u64('disk size', 48),
  u64('icount', 56),
];

const bitmapFields: readonly Field[] = [
  u64('table offset', 0),
  u32('table size', 8),
  u32('flags', 12),
  { name: 'type', at: 16, bytes: 1 },
  { name: 'granularity bits', at: 17, bytes: 1 },
  { name: 'name length', at: 18, bytes: 2 },
  u32('extra bytes', 20),
];

const extensionTypes = [0xe2792aca, 0x6803f857, 0x23852875, 0x0537be77, 0x44415441, 0x12345678, 0];

function get(image: Buffer, { at: offset, bytes }: Field): bigint {
  let value = 0n;
  for (let i = 0; i < bytes; i++) value = (value << 8n) | BigInt(image[offset + i] ?? 0);
  return value;
}

function set(image: Buffer, { name, at: offset, bytes }: Field, value: bigint): string {
  const wrapped = BigInt.asUintN(bytes * 8, value);
  for (let i = 0; i < bytes && offset + i < image.length; i++) {
    image[offset + i] = Number((wrapped >> BigInt(8 * (bytes - 1 - i))) & 255n);
  }
  return `${name} = 0x${wrapped.toString(16)}`;
}

/** One that is near `now`, at a limit of something, or has one bit more or less. */
function inventValue(random: Seeded, now: bigint, bytes: number): bigint {
  const bits = bytes * 8;
  switch (random.below(6)) {
    case 0:
      return BigInt(random.below(32));
    case 1:
      return now + random.pick([1n, -1n, 8n, 512n, -512n, 4096n, 65536n, 1n << 20n]);
    case 2:
      return now * random.pick([2n, 3n, 1024n]);
    case 3:
      return now ^ (1n << BigInt(random.below(bits)));
    case 4:
      return (1n << BigInt(random.below(bits + 1))) + random.pick([-1n, 0n, 0n, 1n]);
    default:
      return random.pick([
        ...[0n, 72n, 104n, 112n, 120n, 1023n, 1024n, 65535n, 65536n, 65537n, 4194304n, 4194305n],
        ...[(1n << 53n) - 1n, (1n << 53n) + 1n, (1n << 63n) - (1n << 30n), (1n << 63n) - 512n],
      ]);
  }
}

function changeField(random: Seeded, image: Buffer, field: Field): string {
  return set(image, field, inventValue(random, get(image, field), field.bytes));
}

/** Text as somebody might write it, or bytes that are none. */
export function inventName(random: Seeded, maxBytes: number): Buffer {
  const text = Buffer.from(
    random.pick([
      ...[
        '',
        ' ',
        'a',
        'base.raw',
        'ein Name',
        '  padded  ',
        'tab\there',
        'line\nbreak',
        '\u0001\u007f',
        '"quoted"',
      ],
      ...[
        'back\\slash',
        'ünïcode',
        '漢字',
        '💥',
        'a,b=c',
        '%s%n',
        'nul\0inside',
        'x'.repeat(60),
        'raw',
        'qcow2',
      ],
    ]),
  );
  const bytes = random.oneIn(6) ? Buffer.from(Array.from({ length: 6 }, () => random.below(256))) : text;
  return bytes.subarray(0, maxBytes);
}

const startOfExtensions = (image: Buffer): number =>
  image.readUInt32BE(at['version']!) === 2
    ? 72
    : Math.min(image.readUInt32BE(at['header length']!), image.length); // both are header fields

/** The offset of a random record, or where they end. */
function findExtension(random: Seeded, image: Buffer): number {
  let offset = Math.min(startOfExtensions(image), image.length - 64);
  while (offset + 8 <= image.length && image.readUInt32BE(offset) !== 0 && !random.oneIn(3)) {
    const next = offset + 8 + roundUp(image.readUInt32BE(offset + 4), 8);
    if (next + 8 > image.length) break;
    offset = next;
  }
  return offset;
}

function changeExtension(random: Seeded, image: Buffer): string {
  const offset = findExtension(random, image);
  switch (random.below(4)) {
    case 0:
      return set(image, u32('extension type', offset), BigInt(random.pick(extensionTypes)));
    case 1:
      return changeField(random, image, u32('extension length', offset + 4));
    case 2:
      return changeField(random, image, u64('extension data', offset + 8 + 8 * random.below(3)));
    default: {
      inventName(random, 200).copy(image, offset + 8);
      return `extension data at ${offset}`;
    }
  }
}

/** A record in front of all others, which move back; the name of the backing file with them. */
function insertExtension(random: Seeded, image: Buffer): string {
  const type = random.pick(extensionTypes);
  const bytes = random.pick([0, 1, 5, 8, 15, 16, 16, 17, 24, 24, 40]);
  const data = Buffer.concat([inventName(random, bytes), Buffer.alloc(bytes)]).subarray(0, bytes);
  return insertRecord(image, type, data);
}

function insertRecord(image: Buffer, type: number, data: Buffer): string {
  const start = startOfExtensions(image);
  const record = Buffer.alloc(8 + roundUp(data.length, 8));
  record.writeUInt32BE(type, 0);
  record.writeUInt32BE(data.length, 4);
  data.copy(record, 8);
  const cluster = 2 ** Math.min(21, Math.max(9, image.readUInt32BE(at['cluster bits']!))); // a header field
  if (start + record.length >= cluster) return 'no room for an extension';
  image.copyWithin(start + record.length, start, cluster - record.length);
  record.copy(image, start);
  const name = get(image, u64('', 8));
  if (name !== 0n) set(image, u64('', 8), name + BigInt(record.length));
  return `extension ${type.toString(16)} of ${data.length} bytes: ${data.toString('hex', 0, 48)}`;
}

/** Bits that nobody knows, and a table that names them, or not. */
function nameFeatures(random: Seeded, image: Buffer): string {
  const bits = Array.from({ length: 1 + random.below(4) }, () => 5 + random.below(59));
  const mask = bits.reduce((sum, bit) => sum | (1n << BigInt(bit)), 0n);
  const said = [set(image, u64('incompatible features', 72), mask | BigInt(random.pick([0, 0, 0, 1, 2, 8])))];
  const entries = Array.from({ length: random.below(5) }, () => {
    const entry = Buffer.alloc(48);
    entry[0] = random.pick([0, 0, 0, 1, 2, 3, 255]);
    entry[1] = random.pick([...bits, ...bits, 0, 63, 64, 200]);
    inventName(random, 46).copy(entry, 2);
    if (random.oneIn(5)) entry.fill(random.pick([0x41, 0xff]), 2);
    return entry;
  });
  const table = Buffer.concat(entries);
  // Those that were there are behind it, and count too.
  if (!random.oneIn(4))
    said.push(
      insertRecord(
        image,
        0x6803f857,
        table.subarray(0, table.length - (random.oneIn(4) ? random.below(50) : 0)),
      ),
    );
  if (random.oneIn(2))
    image.writeUInt32BE(
      0x77777777,
      startOfExtensions(image) + (random.oneIn(2) ? 0 : 8 + roundUp(table.length, 8)),
    );
  return said.join(', ');
}

function changeSnapshot(random: Seeded, image: Buffer): string {
  const table = Number(get(image, u64('', at['snapshots offset']!))); // a header field
  if (table === 0 || table + 64 > image.length) return changeField(random, image, random.pick(headerFields));
  const { name, at: offset, bytes } = random.pick(snapshotFields);
  if (random.oneIn(5)) {
    inventName(random, 10).copy(image, table + 64);
    return 'name of a snapshot';
  }
  return changeField(random, image, { name: `snapshot ${name}`, at: table + offset, bytes });
}

function changeBitmaps(random: Seeded, image: Buffer): string {
  let offset = startOfExtensions(image);
  while (offset + 32 < image.length && image.readUInt32BE(offset) !== 0x23852875) {
    if (image.readUInt32BE(offset) === 0) return changeExtension(random, image);
    offset += 8 + roundUp(image.readUInt32BE(offset + 4), 8);
  }
  if (offset + 32 >= image.length) return changeExtension(random, image);
  const fields: Field[] = [
    u32('bitmaps', offset + 8),
    u32('reserved', offset + 12),
    u64('directory size', offset + 16),
    u64('directory offset', offset + 24),
  ];
  if (random.oneIn(3)) return changeField(random, image, random.pick(fields));
  const directory = Number(get(image, u64('', offset + 24)));
  if (directory + 64 > image.length) return changeField(random, image, random.pick(fields));
  if (random.oneIn(5)) {
    inventName(random, 2).copy(image, directory + 24);
    return 'name of a bitmap';
  }
  const { name, at: inEntry, bytes } = random.pick(bitmapFields);
  // The second one is behind a name of two bytes.
  const entry = directory + random.pick([0, 0, 32]);
  return changeField(random, image, { name: `bitmap ${name}`, at: entry + inEntry, bytes });
}

/** An entry of the refcount table, the L1 table, or what the first entry of one of these points to. */
function changeTable(random: Seeded, image: Buffer): string {
  const table = Number(get(image, u64('', random.pick([40, 48]))));
  if (table + 8 > image.length) return 'no table';
  const below = Number(get(image, u64('', table)) & 0x00fffffffffffe00n);
  const start = random.oneIn(3) || below === 0 || below + 512 > image.length ? table : below;
  const entry = u64(`entry of ${start}`, start + 8 * random.below(start === table ? 2 : 24));
  if (entry.at + 8 > image.length) return 'no entry';
  const now = get(image, entry);
  return set(
    image,
    entry,
    random.pick([
      ...[now ^ (1n << 63n), now ^ (1n << 62n), now ^ 1n, now + 512n, now ^ (1n << 57n), 0n, now << 1n],
      ...[now | (1n << 52n), now | (1n << 55n), 1n << 63n, now + 65536n, BigInt(image.length)],
    ]),
  );
}

/** A changed copy, and what was done to it. */
export function damaged(random: Seeded, content: Buffer): { image: Buffer; done: string[] } {
  let image = Buffer.from(content);
  const acts = [
    ...[
      changeHeader,
      changeHeader,
      changeHeader,
      changeHeader,
      changeExtension,
      insertExtension,
      nameFeatures,
    ],
    ...[changeSnapshot, changeSnapshot, changeBitmaps, changeBitmaps, changeTable],
  ];
  const done = Array.from({ length: 1 + (random.oneIn(3) ? random.below(3) : 0) }, () =>
    random.pick(acts)(random, image),
  );
  if (random.oneIn(8)) {
    const bytes = random.pick([
      random.below(200),
      image.length - random.below(1024),
      512 * random.below(image.length / 512),
      Math.max(0, image.length - 512),
    ]);
    image = Buffer.concat([image, Buffer.alloc(random.oneIn(6) ? random.below(2000) : 0)]).subarray(0, bytes);
    done.push(`cut to ${image.length}`);
  }
  return { image, done };
}

function changeHeader(random: Seeded, image: Buffer): string {
  return changeField(random, image, random.pick(headerFields));
}
