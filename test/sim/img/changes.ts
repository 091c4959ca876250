/**
 * Command lines of `img` that change images in place, and what the images are to be afterwards. What is done to internal
 * snapshots is tried in internal-snapshots-crash.test.ts.
 */
import type { CreateValues } from '../../../host/block/driver.ts';
import type { SimStorage } from '../../../host/platform/sim/index.ts';
import { damageHarmlessly } from '../../support/harmless-damage.ts';
import { Seeded } from '../../support/seeded.ts';
import { kib } from '../../support/units.ts';
import { runImg } from './simulated-img.ts';
import { instantly, look, names, type Shown } from './subject.ts';

/** Images that the lines are tried on: options of their creation. */
export const shapes: readonly CreateValues[] = [
  { cluster_size: 512, refcount_bits: 8 },
  { cluster_size: 4096 },
  { cluster_size: 1024, compat: '0.10' },
];

export interface ImageChange {
  /** Of the test, when the line does not tell it from others. */
  name?: string;
  line: string;
  /** Lines before that one; nothing happens to the images meanwhile. */
  before?: readonly string[];
  /** Of the disk, afterwards. Bytes; as it was when absent. */
  size?: number;
  /** The base becomes what the disk is. */
  commits?: true;
  /** Which versions can do it; both when absent. */
  version?: 2 | 3;
  /** It repairs an image that this has damaged. */
  repairs?(image: Buffer, random: Seeded): void;
}

function damage(image: Buffer, random: Seeded, places: number): void {
  for (let left = places; left > 0; left--) damageHarmlessly(image, random);
}

/** All refcounts have to be made anew: the table leads to none. */
function loseRefcounts(image: Buffer): void {
  image.writeBigUInt64BE(0n, Number(image.readBigUInt64BE(48)));
}

const { disk, other } = names;

export const changes: readonly ImageChange[] = [
  { line: `rebase -b  ${disk}` },
  { line: `rebase -b ${other} -F qcow2 ${disk}` },
  { line: `rebase -c -b ${other} -F qcow2 ${disk}` },
  { line: `commit ${disk}`, commits: true },
  { line: `commit -d ${disk}`, commits: true },
  { line: `amend -o compat=0.10,refcount_bits=16 ${disk}`, version: 3 },
  { line: `amend -o compat=1.1,refcount_bits=1,lazy_refcounts=on ${disk}` },
  { line: `amend -o compat=1.1,refcount_bits=64 ${disk}` },
  { line: `amend -o size=200k ${disk}`, size: 200 * kib },
  { line: `resize ${disk} 200k`, size: 200 * kib },
  { line: `resize ${disk} 1M`, size: 1024 * kib },
  { line: `resize --preallocation=metadata ${disk} 200k`, before: [`rebase -b  ${disk}`], size: 200 * kib },
  { line: `resize --preallocation=full ${disk} 200k`, before: [`rebase -b  ${disk}`], size: 200 * kib },
  { line: `resize --shrink ${disk} 11k`, size: 11 * kib },
  { line: `bitmap --add -g 1k ${disk} new`, version: 3 },
  { line: `bitmap --add --merge kept --disable ${disk} new`, version: 3 },
  { line: `bitmap --remove ${disk} kept`, version: 3 },
  { line: `bitmap --clear --disable ${disk} kept`, version: 3 },
  { line: `check -r leaks ${disk}`, repairs: (image, random) => damage(image, random, 2) },
  { line: `check -r all ${disk}`, repairs: (image, random) => damage(image, random, 8) },
  { name: 'check -r all, with no refcounts', line: `check -r all ${disk}`, repairs: loseRefcounts },
];

/** Those that an image of this shape can have. */
export function changesFor({ compat }: CreateValues): readonly ImageChange[] {
  const version = compat === '0.10' ? 2 : 3;
  return changes.filter((change) => (change.version ?? version) === version);
}

/** The images before the change, and what they show. */
export async function prepare(
  original: SimStorage,
  { before: lines = [], repairs }: ImageChange,
  seed: number,
): Promise<{ storage: SimStorage; before: Shown }> {
  const storage = original.clone();
  for (const line of lines) {
    const { status, stderr } = await runImg(instantly(storage), line);
    if (status !== 0) throw new Error(`${line}: ${stderr}`);
  }
  const before = await look(storage, names.disk);
  if (repairs) {
    const bytes = storage.readFile(names.disk);
    const clusterBytes = 2 ** Buffer.from(bytes).readUInt32BE(20);
    const image = Buffer.concat([bytes, Buffer.alloc(-bytes.length & (clusterBytes - 1))]);
    repairs(image, new Seeded(seed));
    storage.writeFile(names.disk, image);
  }
  return { storage, before };
}
