/**
 * Damage to an image that takes nothing from its contents: refcounts, COPIED flags and feature bits that are wrong. A
 * repair brings back everything.
 */
import { incompatible } from '../../host/formats/qcow2/disk/feature-bits.ts';
import { getRefcount, maxRefcount, setRefcount } from '../../host/formats/qcow2/disk/refcount-entry.ts';
import type { Seeded } from './seeded.ts';

const offsetMask = 0x00fffffffffffe00n;
const copied = 1n << 63n;
const compressed = 1n << 62n;
/** Where the header has its fields (specification: qcow2, section 1.1). */
const field = {
  version: 4,
  clusterBits: 20,
  l1Entries: 36,
  l1: 40,
  refcountTable: 48,
  incompatible: 72,
  order: 96,
};

/** Changes `image` in one place, and says how. */
export function damageHarmlessly(image: Buffer, random: Seeded): string {
  const clusterBytes = 2 ** image.readUInt32BE(field.clusterBits);
  const version = image.readUInt32BE(field.version);
  switch (random.below(version === 2 ? 3 : 4)) {
    case 0:
    case 1:
      return damageRefcount(image, random, {
        clusterBytes,
        order: version === 2 ? 4 : image.readUInt32BE(field.order),
      });
    case 2:
      return damageFlag(image, random, clusterBytes);
    default: {
      const bit = random.pick([incompatible.dirty, incompatible.corrupt]);
      image.writeBigUInt64BE(image.readBigUInt64BE(field.incompatible) | bit, field.incompatible);
      return `feature bits | ${bit}`;
    }
  }
}

function damageRefcount(
  image: Buffer,
  random: Seeded,
  { clusterBytes, order }: { clusterBytes: number; order: number },
): string {
  const block = Number(
    image.readBigUInt64BE(Number(image.readBigUInt64BE(field.refcountTable))) & offsetMask,
  );
  const counts = image.subarray(block, block + clusterBytes);
  const perBlock = (counts.length * 8) / 2 ** order;
  const index = random.below(Math.min(perBlock, Math.ceil(image.length / clusterBytes)));
  const before = getRefcount(counts, index, order);
  const after = random.pick([
    0,
    1,
    Math.min(2, maxRefcount(order)),
    Math.min(before + 1, maxRefcount(order)),
  ]);
  setRefcount(counts, index, order, after);
  return `refcount of cluster ${index} from ${before} to ${after}`;
}

function damageFlag(image: Buffer, random: Seeded, clusterBytes: number): string {
  const l1 = Number(image.readBigUInt64BE(field.l1));
  const entries = Array.from({ length: image.readUInt32BE(field.l1Entries) }, (_, index) => l1 + index * 8);
  for (const table of entries.map((at) => Number(image.readBigUInt64BE(at) & offsetMask))) {
    if (table > 0) for (let at = table; at < table + clusterBytes; at += 8) entries.push(at);
  }
  const flagged = entries.filter((at) => {
    const entry = at + 8 <= image.length ? image.readBigUInt64BE(at) : 0n;
    return (entry & offsetMask) !== 0n && (entry & compressed) === 0n;
  });
  if (flagged.length === 0) return 'nothing';
  const at = random.pick(flagged);
  image.writeBigUInt64BE(image.readBigUInt64BE(at) ^ copied, at);
  return `COPIED of the entry at ${at}`;
}
