/** Cases that failed once, made small, by what was wrong. */
import type { Case, Step } from './case.ts';
import type { Image, Recipe } from './images.ts';

function raw(name: string, bytes: number, ...fill: string[]): Recipe {
  const image: Image = { name, format: 'raw', bytes, clusterBytes: 0, isOld: false, backing: undefined };
  return { image, create: undefined, fill };
}

function qcow2(name: string, bytes: number, options: string, ...fill: string[]): Recipe {
  const image: Image = { name, format: 'qcow2', bytes, clusterBytes: 0, isOld: false, backing: undefined };
  return { image, create: ['-q', '-f', 'qcow2', ...options.split(' '), name, String(bytes)], fill };
}

const io = (args: string, ...commands: string[]): Step => ({
  tool: 'qemu-io',
  args: args.split(' '),
  commands,
});
const img = (args: string): Step => ({ tool: 'qemu-img', args: args.split(' ') });

const window = (options: string): string => `driver=raw,${options},file.driver=file,file.filename=a.raw`;

export const kept: readonly (Case & { name: string })[] = [
  {
    name: 'values of a json: name that are text',
    recipes: [raw('a.raw', 8192)],
    steps: [
      io(
        'json:{"driver":"raw","offset":"512","size":"1024","file":{"driver":"file","filename":"a.raw"}}',
        'write -P 7 0 512',
        'discard 512 512',
        'length',
      ),
    ],
  },
  {
    name: 'sizes with fractions and suffixes, and those that are too large',
    recipes: [qcow2('a.qcow2', 65_536, '-o cluster_size=65536')],
    steps: [
      io('-r', 'open -o driver=qcow2,cache-size=1.25M a.qcow2', 'read 0 512'),
      io('-r', 'open -o driver=qcow2,l2-cache-size=1T a.qcow2', 'read 0 512'),
      io('-r', 'open -o driver=qcow2,l2-cache-entry-size=0.5k,l2-cache-size=1k a.qcow2', 'read 0 512'),
      io(
        '-r',
        'open -o driver=blkdebug,align=4k,image.driver=qcow2,image.file.driver=file,image.file.filename=a.qcow2',
        'length',
      ),
    ],
  },
  {
    name: 'convert -n onto a longer target',
    recipes: [
      raw('a.raw', 65_536, 'write -q -P 1 0 8k'),
      raw('b.raw', 131_072, 'write -q -P 9 0 128k'),
      qcow2('c.qcow2', 131_072, '-o cluster_size=4096', 'write -q -P 9 0 128k'),
    ],
    steps: [
      img('convert -n -f raw -O raw a.raw b.raw'),
      img('convert -n -f raw -O qcow2 a.raw c.qcow2'),
      img(
        'convert -n --target-image-opts -f raw a.raw driver=raw,offset=32768,file.driver=file,file.filename=b.raw',
      ),
      img('convert -n --target-is-zero -f raw -O qcow2 a.raw c.qcow2'),
    ],
  },
  {
    name: 'convert -n onto a raw target of odd length',
    recipes: [raw('a.raw', 1000), raw('b.raw', 1000, 'write -q -P 9 0 1000'), raw('c.raw', 1536)],
    steps: [img('convert -n -f raw -O raw a.raw b.raw'), img('convert -n -f raw -O raw a.raw c.raw')],
  },
  {
    name: 'convert of an image into itself',
    recipes: [raw('a.raw', 131_071)],
    steps: [img('convert -f raw -O raw -n -S 512 -W -t writeback a.raw a.raw')],
  },
  {
    name: 'convert of what cannot be made leaves no file',
    recipes: [raw('a.raw', 65_536), qcow2('b.qcow2', 65_536, '-b a.raw -F raw')],
    steps: [
      img('convert -f qcow2 -O qcow2 -o preallocation=falloc -B a.raw -F raw b.qcow2 c.qcow2'),
      img('convert -f raw -O qcow2 -c -o preallocation=falloc a.raw d.qcow2'),
    ],
  },
  {
    name: 'a window of a file of odd length',
    recipes: [raw('a.raw', 1000)],
    steps: [1, 511, 512, 999, 1000, 1001, 1023, 1024, 1025].map((offset) =>
      io(`--image-opts ${window(`offset=${offset}`)}`, 'length', 'write -P 5 0 1', 'truncate 600', 'length'),
    ),
  },
  {
    name: 'writes past the page cache at the end of a short file',
    recipes: [raw('a.raw', 1000, 'write -q -P 9 0 1000')],
    steps: [
      io('-t none -f raw a.raw', 'write -P 5 0 512'),
      io(`-t none --image-opts ${window('offset=0,size=512')}`, 'write -P 5 10 10'),
      io('-t directsync -f raw a.raw', 'write -P 6 999 1'),
    ],
  },
  {
    name: 'zeros that may be unmapped, over the end of a file',
    recipes: [raw('a.raw', 1000, 'write -q -P 9 0 1000')],
    steps: [
      io('-f raw a.raw', 'write -z -u 500 524'),
      io('-d ignore -f raw a.raw', 'write -z -u 0 1024'),
      io('-f raw a.raw', 'write -z 0 1024'),
    ],
  },
  {
    name: 'zeros in part of a cluster that has no data',
    recipes: [qcow2('a.qcow2', 1 << 20, '-o cluster_size=65536', 'write -q -P 9 128k 64k')],
    steps: [
      io('-f qcow2 a.qcow2', 'write -z -n 1000 100000', 'write -z -n 1000 150000', 'write -z 1000 150000'),
    ],
  },
  {
    name: 'growing with preallocation over a backing file',
    recipes: [
      raw('a.raw', 1023, 'write -q -P 58 0 916'),
      qcow2('b.qcow2', 1024, '-o cluster_size=4096 -b a.raw -F raw'),
      qcow2('c.qcow2', 1024, '-o compat=0.10 -b a.raw -F raw'),
    ],
    steps: [
      img('resize --preallocation=full -f qcow2 b.qcow2 +532480'),
      img('resize --preallocation=falloc -f qcow2 c.qcow2 +100k'),
    ],
  },
  {
    name: 'growing with preallocated metadata makes the file hold all that is mapped',
    recipes: [qcow2('a.qcow2', 65_536, '-o lazy_refcounts=on')],
    steps: [img('resize --preallocation=metadata -f qcow2 a.qcow2 +131072')],
  },
  {
    name: 'discards of blkdebug that are not aligned to its unit',
    recipes: [qcow2('a.qcow2', 32_768, '-o cluster_size=512', 'write -q -P 9 0 32k')],
    steps: [4096, 1024].map((unit) =>
      io(
        '-r',
        `open -o driver=blkdebug,image.driver=qcow2,image.file.driver=file,image.file.filename=a.qcow2,opt-discard=${unit}`,
        'discard 1024 7680',
        'discard 10000 9000',
      ),
    ),
  },
  {
    name: 'reopen of what cannot be, and over what the options say',
    recipes: [raw('a.raw', 8192), qcow2('b.qcow2', 65_536, '-o cluster_size=65536')],
    steps: [
      io(
        '--image-opts driver=copy-on-read,file.driver=raw,file.file.driver=file,file.file.filename=a.raw',
        'reopen -w',
      ),
      io(
        '--image-opts driver=qcow2,read-only=off,file.driver=file,file.filename=b.qcow2',
        'reopen -r',
        'write 0 512',
      ),
    ],
  },
  {
    name: 'reopen with options of what options describe',
    recipes: [qcow2('b.qcow2', 65_536, '-o cluster_size=65536')],
    steps: [
      io(
        '--image-opts driver=qcow2,file.driver=file,file.filename=b.qcow2',
        'write -P 1 0 512',
        'reopen -o lazy-refcounts=on',
        'read -P 1 0 512',
        'reopen -r -o l2-cache-size=64k',
        'read -P 1 0 512',
        'write 0 512',
      ),
    ],
  },
  {
    name: 'dumps of bytes that are no letters',
    recipes: [raw('a.raw', 1025, 'write -q -P 60 0 818')],
    steps: [io('-f raw a.raw', 'read -v 0 64', 'write -q -P 0x61 0 16', 'read -v 0 20')],
  },
  {
    name: 'compressed writes of nothing, and behind the end',
    recipes: [raw('a.raw', 1025), qcow2('b.qcow2', 1024, '-o cluster_size=4096')],
    steps: [
      io('-f raw a.raw', 'write -c -P 1 512 0', 'write -c -P 1 4096 512'),
      io('-f qcow2 b.qcow2', 'write -c -P 1 512 0', 'write -c -P 1 4096 512'),
    ],
  },
];
