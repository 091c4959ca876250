/** Stacks of block nodes over the images of a case, as option trees. */
import type { Seeded } from '../../support/seeded.ts';
import { mib } from '../../support/units.ts';
import type { Image } from './images.ts';
import { number, onOff, size, type Tree, text } from './options.ts';

export interface Stack {
  tree: Tree;
  /** Bytes of the disk, about: commands go a little beyond. */
  bytes: number;
  clusterBytes: number;
  needsThrottleGroup: boolean;
  /** All of the images below, which are then used by nobody else at the same time. */
  images: readonly Image[];
}

function file(random: Seeded, { name }: Image): Tree {
  const tree: Tree = { driver: text('file'), filename: text(name) };
  if (random.oneIn(6)) tree['aio'] = text('threads');
  if (random.oneIn(6)) tree['locking'] = text(random.pick(['auto', 'off']));
  if (random.oneIn(6)) tree['discard'] = text(random.pick(['unmap', 'ignore', 'on', 'off']));
  return tree;
}

/** What any node may have. */
function withCommon(random: Seeded, tree: Tree): Tree {
  if (random.oneIn(4)) tree['discard'] = text('unmap');
  if (random.oneIn(4)) {
    const mode = random.pick(tree['discard'] ? ['on', 'off', 'unmap'] : ['on', 'off']);
    tree['detect-zeroes'] = text(mode);
  }
  if (random.oneIn(8)) tree['cache'] = { 'no-flush': onOff(random.oneIn(2)) };
  if (random.oneIn(10)) tree['read-only'] = onOff(random.oneIn(2));
  return tree;
}

function format(random: Seeded, image: Image, inSectors: boolean): Tree {
  const tree: Tree = { driver: text(image.format), file: file(random, image) };
  if (image.format === 'raw') {
    if (random.oneIn(2)) addWindow(random, tree, image.bytes, inSectors);
    return withCommon(random, tree);
  }
  if (random.oneIn(3)) addQcow2Options(random, tree, image);
  if (image.backing && random.oneIn(3)) tree['backing'] = format(random, image.backing, inSectors);
  return withCommon(random, tree);
}

function addWindow(random: Seeded, tree: Tree, bytes: number, inSectors: boolean): void {
  const anywhere = random.pick([0, 512, 1024, 1, 511, random.below(bytes + 2), random.below(bytes)]);
  const offset = inSectors ? anywhere - (anywhere % 512) : anywhere;
  if (!random.oneIn(5)) tree['offset'] = size(offset);
  if (random.oneIn(2)) {
    const room = Math.ceil(bytes / 512) * 512 - (tree['offset'] ? offset : 0);
    tree['size'] = size(
      random.oneIn(8) ? random.below(bytes) : Math.floor(random.below(room + 1) / 512) * 512,
    );
  }
}

function addQcow2Options(random: Seeded, tree: Tree, { clusterBytes }: Image): void {
  const choices: [string, () => Tree[string]][] = [
    ['lazy-refcounts', () => onOff(false)],
    ['pass-discard-request', () => onOff(random.oneIn(2))],
    ['pass-discard-snapshot', () => onOff(random.oneIn(2))],
    ['pass-discard-other', () => onOff(random.oneIn(2))],
    [
      'overlap-check',
      () =>
        random.pick<Tree[string]>([
          text('none'),
          text('constant'),
          text('cached'),
          text('all'),
          { template: text('all'), 'main-header': onOff(random.oneIn(2)) },
        ]),
    ],
    ['l2-cache-size', () => size(random.pick([512, 65_536, 1 << 20, 1.25 * (1 << 20)]))],
    ['refcount-cache-size', () => size(random.pick([0, 65_536, 1 << 18]))],
    ['l2-cache-entry-size', () => size(random.pick([512, clusterBytes, clusterBytes / 2]))],
    ['cache-clean-interval', () => number(random.pick([0, 1, 600]))],
  ];
  for (const [name, make] of choices) if (random.oneIn(4)) tree[name] = make();
}

function isQcow2({ driver }: Tree): boolean {
  return JSON.stringify(driver) === JSON.stringify(text('qcow2'));
}

function filter(random: Seeded, below: Stack, others: readonly Image[]): Stack {
  const { tree } = below;
  switch (random.below(8)) {
    case 0:
      return { ...below, tree: { driver: text('copy-on-read'), file: tree } };
    case 1:
      return {
        ...below,
        tree: { driver: text('throttle'), 'throttle-group': text('tg0'), file: tree },
        needsThrottleGroup: true,
      };
    case 2: {
      const align = random.pick([0, 512, 1024, 4096]);
      const debug: Tree = { driver: text('blkdebug'), image: tree };
      if (align) debug['align'] = size(align);
      const unit = align || 512;
      for (const name of ['max-transfer', 'opt-write-zero', 'max-write-zero', 'opt-discard', 'max-discard'])
        if (random.oneIn(3)) debug[name] = size(unit * random.pick([1, 2, 8, 128]));
      return { ...below, tree: debug };
    }
    case 3:
      if (!isQcow2(tree)) return below;
      return { ...below, tree: { driver: text('compress'), file: tree } };
    case 4: {
      const preallocate: Tree = { driver: text('preallocate'), file: tree };
      if (random.oneIn(2)) preallocate['prealloc-size'] = size(random.pick([4096, 65_536, mib]));
      if (random.oneIn(2)) preallocate['prealloc-align'] = size(random.pick([512, 4096, 65_536]));
      return { ...below, tree: preallocate };
    }
    case 5: {
      const second = others.find((image) => !below.images.includes(image) && !image.backing);
      if (!second || second.bytes !== below.bytes) return below;
      const children = [tree, format(random, second, false)];
      return {
        ...below,
        tree: {
          driver: text('quorum'),
          'vote-threshold': number(1),
          ...(random.oneIn(3) ? { 'read-pattern': text('fifo') } : {}),
          children,
        },
        images: [...below.images, second],
      };
    }
    default:
      return { ...below, tree: withCommon(random, { driver: text('raw'), file: tree }) };
  }
}

/** `inSectors`: windows start at whole sectors. */
export function randomStack(
  random: Seeded,
  image: Image,
  others: readonly Image[],
  { inSectors = false } = {},
): Stack {
  const chain: Image[] = [];
  for (let at: Image | undefined = image; at; at = at.backing) chain.push(at);
  let stack: Stack = {
    tree: format(random, image, inSectors),
    bytes: image.bytes,
    clusterBytes: image.clusterBytes,
    needsThrottleGroup: false,
    images: chain,
  };
  for (let layers = random.pick([0, 0, 0, 1, 1, 2]); layers > 0; layers--)
    stack = filter(random, stack, others);
  return stack;
}
