/** The images of a case: how the real tool makes them, with something in them. */
import type { Seeded } from '../../support/seeded.ts';

export interface Image {
  name: string;
  format: 'raw' | 'qcow2';
  /** Bytes of the disk; a raw file's is not always a multiple of 512. */
  bytes: number;
  clusterBytes: number;
  isOld: boolean;
  backing: Image | undefined;
}

/** How an image is made: `create` with options, then commands of qemu-io. */
export interface Recipe {
  image: Image;
  /** Arguments of `qemu-img create`; undefined: a file of zeros of that length. */
  create: string[] | undefined;
  fill: string[];
}

const sector = 512;

export function randomBytes(random: Seeded): number {
  const base = random.pick([1, 8, 64, 128, 300, 520, 1024]) * 1024;
  return random.pick([base, base + sector, base + 1, base - 1, base + 1000, random.below(base) + 1]);
}

export function rawRecipe(random: Seeded, name: string): Recipe {
  const bytes = randomBytes(random);
  const image: Image = { name, format: 'raw', bytes, clusterBytes: 0, isOld: false, backing: undefined };
  return { image, create: undefined, fill: fillers(random, image) };
}

export function qcow2Recipe(random: Seeded, name: string, backing: Image | undefined): Recipe {
  const clusterBytes = random.pick([512, 4096, 4096, 65_536, 65_536, 65_536]);
  const isOld = random.oneIn(5);
  const options = [`cluster_size=${clusterBytes}`];
  if (isOld) options.push('compat=0.10');
  else {
    if (random.oneIn(4)) options.push(`refcount_bits=${random.pick([1, 8, 16, 32, 64])}`);
    if (random.oneIn(5)) options.push('lazy_refcounts=on');
  }
  if (!backing && random.oneIn(5))
    options.push(`preallocation=${random.pick(['metadata', 'full', 'falloc'])}`);
  const given = random.oneIn(3) && backing ? backing.bytes : randomBytes(random);
  const bytes = Math.ceil(given / sector) * sector;
  const image: Image = { name, format: 'qcow2', bytes, clusterBytes, isOld, backing };
  const create = ['-q', '-f', 'qcow2', '-o', options.join(',')];
  if (backing) create.push('-b', backing.name, '-F', backing.format);
  return { image, create: [...create, name, String(bytes)], fill: fillers(random, image) };
}

function fillers(random: Seeded, { bytes, clusterBytes, format }: Image): string[] {
  const commands: string[] = [];
  for (let count = random.below(5); count > 0; count--) {
    const unit = clusterBytes || 4096;
    const offset = random.oneIn(2) ? random.below(bytes) : Math.floor(random.below(bytes) / unit) * unit;
    const length = Math.min(bytes - offset, 1 + random.below(random.pick([unit, 4 * unit, bytes])));
    const kind = random.below(6);
    if (kind === 0 && format === 'qcow2') {
      const start = Math.floor(offset / unit) * unit;
      const whole = Math.min(unit, bytes - start);
      if (whole === unit) commands.push(`write -q -c -P ${1 + random.below(254)} ${start} ${whole}`);
    } else if (kind === 1) commands.push(`write -q -z ${offset} ${length}`);
    else commands.push(`write -q -P ${1 + random.below(254)} ${offset} ${length}`);
  }
  return commands;
}
