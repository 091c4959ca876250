/**
 * `img measure` against the real one: what it says about sizes and about images, and its errors. IMG_LINES sets how many
 * generated command lines there are, IMG_SEED the first.
 */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { TwoFolders, words } from '../support/cli.ts';
import { bothHere } from '../support/own-tools.ts';
import { Seeded } from '../support/seeded.ts';
import { testSeeds } from '../support/seeds.ts';
import { haveQemu } from '../support/tools.ts';

const count = Number(process.env['IMG_LINES'] ?? 20);
const firstSeed = Number(process.env['IMG_SEED'] ?? 1);
const images = ['a.qcow2', 'over.qcow2', 'old.qcow2', 'packed.qcow2', 'odd.raw', 'none.raw'];

describe.skipIf(!haveQemu)('img measure', () => {
  let folders: TwoFolders;

  beforeAll(() => {
    folders = new TwoFolders();
    const { img, io } = folders;
    img('create -q -f qcow2 a.qcow2 10M');
    // Whole clusters: whether the rest of one is a hole in the file is asked by a rule of thumb.
    io('a.qcow2', 'write 0 960k', 'write 5M 1M', 'write -z 8M 64k', 'write 6528k 64k');
    img('bitmap --add a.qcow2 first');
    img('bitmap --add -g 512 a.qcow2 second-of-two');
    img('snapshot -c s1 a.qcow2');
    io('a.qcow2', 'write 7M 192k');
    img('create -q -f qcow2 -b a.qcow2 -F qcow2 over.qcow2 12M');
    io('over.qcow2', 'write 11M 64k', 'write -z 0 512k');
    img('create -q -f qcow2 -o compat=0.10 old.qcow2 3M');
    io('old.qcow2', 'write 1M 64k');
    img('convert -c -O qcow2 a.qcow2 packed.qcow2');
    img('create -q -f raw odd.raw 1000');
    img('create -q -f raw none.raw 0');
  });
  afterAll(() => folders?.remove());

  async function compareOutcome(line: string): Promise<void> {
    const { ours, theirs } = await bothHere(folders, 'qemu-img', words(line));
    expect(ours, line).toEqual(theirs);
  }

  test.each([
    'measure',
    'measure --size 1G a.qcow2',
    'measure a b',
    'measure -O foo --size 1G',
    'measure -O raw --size 1001',
    'measure -O raw --size 7E',
    'measure a.qcow2',
    'measure -f foo a.qcow2',
    'measure -l s1 -O qcow2 a.qcow2',
    'measure -l s2 -O qcow2 a.qcow2',
    'measure -l snapshot.id=1,snapshot.name=s1 -O qcow2 a.qcow2',
    'measure -l snapshot.foo=1 a.qcow2',
    'measure -l 1 -O qcow2 -f raw odd.raw',
    'measure -f qcow2 --size 1G',
    'measure -l s1 --size 1G',
    'measure --image-opts --size 1G',
    'measure --image-opts -f qcow2 a b',
    'measure -f qcow2 --image-opts a.qcow2',
    'measure --image-opts driver=qcow2,file.filename=a.qcow2',
    'measure --output json --size 1G',
    'measure -o help',
    'measure -o help --size 1',
    'measure -o ,x --size 1',
    'measure -O raw -o preallocation=full --size 1G',
    'measure -O qcow2 -o size=1G',
    'measure -O qcow2 -o size=1G --size 2G',
    'measure -O qcow2 -o preallocation=x --size 1G',
    'measure -O qcow2 -o preallocation=x,refcount_bits=3,compat=5 --size 1G',
    'measure -O qcow2 -o compat=3,extended_l2=on,cluster_size=4k --size 8000P',
    'measure -O qcow2 -o backing_file= a.qcow2',
    'measure -O qcow2 -o compat=0.10 a.qcow2',
    'measure -O qcow2 -o encrypt.format=aes --size 1',
    'measure -O qcow2 --size 2P',
    'measure -O qcow2 --size 2251799813685249',
    'measure -O file --size 1G',
    'measure -O blkdebug --size 1',
    'measure -U a.qcow2',
    'measure nonex',
    'measure -O foo nonex',
  ])('%s', compareOutcome);

  describe('says the same of generated sizes and images', () => {
    testSeeds({ first: firstSeed, count, batch: 10 }, async (seed) => {
      const random = new Seeded(seed);
      const options = [
        `cluster_size=${512 << random.below(13)}`,
        random.pick(['refcount_bits=1', 'refcount_bits=16', 'refcount_bits=64', 'compat=0.10', 'compat=1.1']),
        random.pick(['extended_l2=on', 'extended_l2=off', 'lazy_refcounts=on']),
        random.pick([
          'preallocation=off',
          'preallocation=metadata',
          'preallocation=falloc',
          'preallocation=full',
        ]),
        random.oneIn(4) ? 'backing_file=x' : 'compression_type=zstd',
      ];
      const list = options.filter(() => random.below(3) > 0).join(',');
      const source = random.oneIn(2)
        ? random.pick(images)
        : `--size ${random.below(2 ** 20) * random.pick([1, 1000, 2 ** 20, 2 ** 30])}`;
      const output = random.oneIn(3) ? '--output=json ' : '';
      await compareOutcome(`measure ${output}-O qcow2 ${list === '' ? '' : `-o ${list} `}${source}`);
    });
  });
});
