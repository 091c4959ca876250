/** Commands of qemu-img on the images of a case. */
import type { Seeded } from '../../support/seeded.ts';
import type { Image } from './images.ts';
import { randomBytes } from './images.ts';

export interface ImgContext {
  random: Seeded;
  images: readonly Image[];
  /** An image as a name on the command line, with what says how to read it. */
  source(image: Image): { options: string[]; name: string };
}

export function imgCommand(context: ImgContext): string[] {
  const { random } = context;
  switch (random.below(8)) {
    case 0:
    case 1:
    case 2:
    case 3:
      return convert(context);
    case 4:
      return compare(context);
    case 5:
      return resize(context);
    case 6:
      return snapshot(context);
    default:
      return create(context);
  }
}

function cache(random: Seeded, letter: 't' | 'T'): string[] {
  if (!random.oneIn(4)) return [];
  return [`-${letter}`, random.pick(['none', 'writeback', 'writethrough', 'directsync', 'unsafe'])];
}

function convert({ random, images, source }: ImgContext): string[] {
  const from = random.pick(images);
  const { options, name } = source(from);
  const args = ['convert', ...options];
  const existing = random.oneIn(3) ? random.pick(images.filter((one) => isTop(one, images))) : undefined;
  const sources = [name];
  const outputFormat = existing?.format ?? random.pick(['raw', 'qcow2'] as const);
  // A new name: QEMU removes what is there before it finds that it cannot make what is asked for.
  let target = existing?.name ?? `out${random.below(10_000)}.${outputFormat}`;
  if (existing && random.oneIn(4)) {
    args.push('-n', '--target-image-opts');
    target = targetOptions(existing);
  } else if (existing) {
    args.push('-n', '-O', outputFormat);
    const isZero = random.oneIn(6);
    if (isZero) args.push('--target-is-zero');
    const { backing } = existing;
    // What lies behind the end of a shorter backing file, QEMU does not always write.
    if (!isZero && backing && backing.bytes >= existing.bytes && random.oneIn(2))
      args.push('-B', backing.name, '-F', backing.format);
  } else {
    args.push('-O', outputFormat);
  }
  if (!existing && outputFormat === 'qcow2') {
    const creation: string[] = [];
    if (random.oneIn(2)) creation.push(`cluster_size=${random.pick([512, 4096, 65_536])}`);
    if (random.oneIn(4)) creation.push(random.pick(['compat=0.10', 'lazy_refcounts=on', 'refcount_bits=32']));
    if (random.oneIn(4)) creation.push(`preallocation=${random.pick(['off', 'metadata', 'falloc', 'full'])}`);
    if (creation.length > 0) args.push('-o', creation.join(','));
    const { backing } = from;
    // With the backing file that the source has, which options may replace.
    const isPlain = options[0] === '-f';
    if (backing && isPlain && random.oneIn(2)) args.push('-B', backing.name, '-F', backing.format);
    if (random.oneIn(5)) args.push('-c');
  }
  if (options[0] === '-f' && random.oneIn(6)) {
    const second = images.find((image) => image.format === from.format && image !== from);
    if (second) sources.push(second.name);
  }
  if (random.oneIn(4)) args.push('-S', random.pick(['0', '512', '4k', '64k']));
  if (random.oneIn(6)) args.push('-W');
  if (random.oneIn(6)) args.push('-m', String(1 + random.below(16)));
  if (random.oneIn(8)) args.push('--salvage');
  if (random.oneIn(8)) args.push('-r', '1G');
  if (options[0] === '-f' && from.format === 'qcow2' && random.oneIn(8)) args.push('-l', 'one');
  if (random.oneIn(10)) args.push('-U');
  // Past the page cache QEMU makes the file of the target as long as whole units are, to write zeros.
  const isWhole = !existing || existing.format === 'qcow2' || existing.bytes % 4096 === 0;
  args.push(...(isWhole ? cache(random, 't') : []), ...cache(random, 'T'));
  return [...args, ...sources, target];
}

/** What lies below others stays as it is: who has copied how much of it is nobody's business. */
export function isTop(image: Image, images: readonly Image[]): boolean {
  return !images.some(({ backing }) => backing === image);
}

/** Existing targets are opened by options, too. */
function targetOptions({ format, name }: Image): string {
  return `driver=${format},file.driver=file,file.filename=${name},discard=unmap`;
}

function compare({ random, images }: ImgContext): string[] {
  const [a, b] = [random.pick(images), random.pick(images)];
  // Strictly, it also matters where one status ends and the next begins.
  const isPlain = ({ bytes, backing }: Image): boolean => bytes % 512 === 0 && !backing;
  const strict = random.oneIn(3) && isPlain(a) && isPlain(b) ? ['-s'] : [];
  return ['compare', ...strict, '-f', a.format, '-F', b.format, a.name, b.name];
}

function resize({ random, images }: ImgContext): string[] {
  const image = random.pick(images.filter((one) => isTop(one, images)));
  const sign = random.pick(['', '', '+', '-']);
  const shrink = random.oneIn(2) ? ['--shrink'] : [];
  const preallocation = random.oneIn(4)
    ? [`--preallocation=${random.pick(['off', 'metadata', 'falloc', 'full'])}`]
    : [];
  // As with truncate (io-commands.ts).
  const unit = image.clusterBytes || 1;
  const bytes = Math.ceil(randomBytes(random) / unit) * unit;
  const shrinks = sign === '-' && image.clusterBytes > 0;
  return [
    'resize',
    ...shrink,
    ...preallocation,
    '-f',
    image.format,
    image.name,
    `${shrinks ? '+' : sign}${bytes}`,
  ];
}

function snapshot({ random, images }: ImgContext): string[] {
  const image = random.pick(images);
  return ['snapshot', random.pick(['-c', '-c', '-a', '-d']), random.pick(['one', 'two']), image.name];
}

function create({ random, images }: ImgContext): string[] {
  const backing = random.pick(images);
  const name = `new${random.below(2)}.qcow2`;
  const size = random.oneIn(2) ? [String(randomBytes(random))] : [];
  return ['create', '-f', 'qcow2', '-b', backing.name, '-F', backing.format, name, ...size];
}
