/**
 * The order in which QEMU prints the members of an object: the order of its hash table, which clients' recorded
 * outputs depend on (specification: qmp-protocol, section 1).
 *
 * Members come by bucket of a 512-bucket table; within a bucket the one inserted last comes first.
 */

const bucketCount = 512;
const encoder = new TextEncoder();
const bucketOfKey = new Map<string, number>();
/** Keys are few and repeat; unknown ones from clients must not grow the table without end. */
const maxRememberedKeys = 4096;

function bucketOf(key: string): number {
  const known = bucketOfKey.get(key);
  if (known !== undefined) return known;
  const bytes = encoder.encode(key);
  let value = Math.imul(0x238f13af, bytes.length);
  bytes.forEach((byte, i) => {
    value = (value + (byte << ((5 * i) % 24))) | 0;
  });
  const bucket = ((Math.imul(1103515243, value) + 12345) >>> 0) % bucketCount;
  if (bucketOfKey.size < maxRememberedKeys) bucketOfKey.set(key, bucket);
  return bucket;
}

/** The members that have a value, in QEMU's order. */
export function inDictionaryOrder(value: object): [string, unknown][] {
  return Object.entries(value)
    .filter(([, member]) => member !== undefined)
    .map((entry, index) => ({ entry, index, bucket: bucketOf(entry[0]) }))
    .sort((a, b) => a.bucket - b.bucket || b.index - a.index)
    .map(({ entry }) => entry);
}
