/**
 * The subcommands of `img`: name, synopsis, and where the code is. Each is loaded only when it runs.
 */
import type { OptionSpec } from '../shared/getopt.ts';
import type { Tool } from '../shared/tool.ts';

export interface ImgCommand {
  name: string;
  help: string;
  synopsis: string;
  /** What it takes beside options and file names, and what that means. */
  operands?: readonly (readonly [operand: string, help: string])[];
  load(): Promise<{
    run(tool: Tool, argv: string[]): Promise<number>;
    readonly specs: readonly OptionSpec[];
  }>;
}

export const commands: readonly ImgCommand[] = [
  {
    name: 'amend',
    help: 'change options of an image that its format lets change',
    synopsis: '[--image-opts] [-p] [-q] [-f fmt] [-t cache] [--force] -o options filename',
    load: () => import('./amend.ts'),
  },
  {
    name: 'bench',
    help: 'measure how fast an image can be read or written',
    synopsis:
      '[-c count] [-d depth] [-f fmt] [--flush-interval=flush_interval] [-i aio] [-n] [--no-drain] [-o offset] [--pattern=pattern] [-q] [-s buffer_size] [-S step_size] [-t cache] [-w] [-U] filename',
    load: () => import('./bench.ts'),
  },
  {
    name: 'bitmap',
    help: 'make, remove and change a dirty bitmap that an image keeps',
    synopsis:
      '(--merge source | --add | --remove | --clear | --enable | --disable)... [-b source_file [-F source_fmt]] [-g granularity] [--image-opts] [-f fmt] filename bitmap',
    load: () => import('./bitmap.ts'),
  },
  {
    name: 'check',
    help: 'check the consistency of an image, and repair it',
    synopsis: '[--image-opts] [-q] [-f fmt] [--output=ofmt] [-r [leaks | all]] [-T src_cache] [-U] filename',
    load: () => import('./check.ts'),
  },
  {
    name: 'commit',
    help: 'bring what an image holds into its backing file',
    synopsis: '[--image-opts] [-q] [-f fmt] [-t cache] [-b base] [-r rate_limit] [-d] [-p] filename',
    load: () => import('./commit.ts'),
  },
  {
    name: 'compare',
    help: 'tell whether two images have the same content',
    synopsis: '[--image-opts] [-f fmt] [-F fmt] [-T src_cache] [-p] [-q] [-s] [-U] filename1 filename2',
    load: () => import('./compare.ts'),
  },
  {
    name: 'convert',
    help: 'copy an image, to another format if that is asked for',
    synopsis:
      '[--image-opts] [--target-image-opts] [--target-is-zero] [--bitmaps [--skip-broken-bitmaps]] [--atomic] [-U] [-C] [-c] [-p] [-q] [-n] [-f fmt] [-t cache] [-T src_cache] [-O output_fmt] [-B backing_file [-F backing_fmt]] [-o options] [-l snapshot_param] [-S sparse_size] [-r rate_limit] [-m num_coroutines] [-W] [--salvage] filename [filename2 [...]] output_filename',
    load: () => import('./convert.ts'),
  },
  {
    name: 'create',
    help: 'make an image',
    synopsis: '[-q] [-f fmt] [-b backing_file [-F backing_fmt]] [-u] [-o options] filename [size]',
    load: () => import('./create.ts'),
  },
  {
    name: 'dd',
    help: 'copy blocks of an image into a new one',
    synopsis:
      '[--image-opts] [-f fmt] [-O output_fmt] [-U] [bs=size] [count=blocks] [skip=blocks] if=input of=output',
    operands: [
      ['if=FILE', 'the image that is read'],
      ['of=FILE', 'the image that is made'],
      ['bs=SIZE', 'the length of a block, in bytes (512)'],
      ['count=BLOCKS', 'where in the input to stop'],
      ['skip=BLOCKS', 'where in the input to begin'],
    ],
    load: () => import('./dd.ts'),
  },
  {
    name: 'info',
    help: 'tell what an image is',
    synopsis: '[--image-opts] [-f fmt] [--output=ofmt] [--backing-chain] [-U] filename',
    load: () => import('./info.ts'),
  },
  {
    name: 'map',
    help: 'tell where the data of an image are',
    synopsis:
      '[--image-opts] [-f fmt] [--start-offset=offset] [--max-length=len] [--output=ofmt] [-U] filename',
    load: () => import('./map.ts'),
  },
  {
    name: 'measure',
    help: 'tell how large the file of a new image becomes',
    synopsis:
      '[--output=ofmt] [-O output_fmt] [-o options] [--size=size | [--image-opts] [-f fmt] [-l snapshot_param] [-U] filename]',
    load: () => import('./measure.ts'),
  },
  {
    name: 'rebase',
    help: 'give an image another backing file, or none',
    synopsis:
      '[--image-opts] [-U] [-q] [-f fmt] [-t cache] [-T src_cache] [-p] [-u] [-c] [-b backing_file [-F backing_fmt]] filename',
    load: () => import('./rebase.ts'),
  },
  {
    name: 'resize',
    help: 'change the size of the disk in an image',
    synopsis: '[--image-opts] [-f fmt] [--preallocation=prealloc] [-q] [--shrink] filename [+ | -]size',
    load: () => import('./resize.ts'),
  },
  {
    name: 'snapshot',
    help: 'list, make, delete and go back to snapshots inside an image',
    synopsis: '[--image-opts] [-f fmt] [-U] [-q] [-l | -a snapshot | -c snapshot | -d snapshot] filename',
    load: () => import('./snapshot.ts'),
  },
];
