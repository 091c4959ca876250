/** The images that damage is done to: one for each thing that a header can point to, made once by the real tools. */
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { createByQemu, type ImageOptions, ioCommands, run } from '../../support/qemu.ts';

export interface Template {
  readonly name: string;
  readonly content: Buffer;
}

interface Recipe extends ImageOptions {
  readonly size: string;
  readonly writes?: readonly string[];
  /** Further lines of qemu-img; the image's name comes at the end of each. */
  readonly lines?: readonly (readonly string[])[];
}

const recipes: Readonly<Record<string, Recipe>> = {
  plain: { size: '1M', writes: ['write -P 1 100k 200k', 'write -z 512k 64k'] },
  old: { size: '640k', options: 'compat=0.10', writes: ['write -P 1 0 70k', 'write -P 2 600k 1k'] },
  small: { size: '300k', options: 'cluster_size=512', writes: ['write -P 1 10k 3k', 'write -z 40k 5k'] },
  oldSmall: { size: '128k', options: 'cluster_size=4k,compat=0.10', writes: ['write -P 1 9k 9k'] },
  wide: {
    size: '2M',
    options: 'cluster_size=4k,refcount_bits=64,lazy_refcounts=on',
    writes: ['write 1M 1M'],
  },
  narrow: { size: '2M', options: 'cluster_size=4k,refcount_bits=1', writes: ['write -P 7 4k 90k'] },
  large: { size: '5M', options: 'cluster_size=2M', writes: ['write -P 1 2M 3M'] },
  zstd: {
    size: '1M',
    options: 'compression_type=zstd',
    writes: ['write -c -P 1 64k 64k', 'write -P 2 1k 1k'],
  },
  packed: { size: '1M', options: 'cluster_size=8k', writes: ['write -c -P 1 64k 64k', 'write 0 3k'] },
  overlay: { size: '1M', backing: { file: 'base.raw', format: 'raw' }, writes: ['write -P 1 64k 64k'] },
  snapshots: {
    size: '1M',
    options: 'cluster_size=4k',
    writes: ['write -P 1 64k 64k'],
    lines: [
      ['snapshot', '-c', 'first'],
      ['snapshot', '-c', 'zweiter Stand'],
    ],
  },
  bitmaps: {
    size: '1M',
    options: 'cluster_size=4k',
    writes: ['write -P 1 64k 64k'],
    lines: [
      ['bitmap', '--add', '-g', '4k'],
      ['bitmap', '--add', '--disable'],
    ],
  },
};

/** To be called in an empty directory; `base.raw` stays in it for the overlay. */
export function makeTemplates(directory: string): Template[] {
  writeFileSync(join(directory, 'base.raw'), Buffer.alloc(700 * 1024, 5));
  return Object.entries(recipes).map(([name, { size, writes = [], lines = [], ...how }]) => {
    const file = join(directory, name);
    createByQemu(file, size, how);
    if (writes.length > 0) run('qemu-io', ...ioCommands(...writes), file);
    for (const [index, line] of lines.entries()) {
      const last = line[0] === 'bitmap' ? [file, `b${index}`] : [file];
      run('qemu-img', ...line, ...last);
    }
    return { name, content: readFileSync(file) };
  });
}
