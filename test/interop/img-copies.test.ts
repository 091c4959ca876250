/**
 * `img dd` and `img convert` against the real ones: their words, what the target holds, how long it is and how much of
 * the disk it takes. IMG_LINES sets how many generated command lines there are, IMG_SEED the first.
 */
import { execFileSync } from 'node:child_process';
import { copyFileSync, existsSync, readFileSync, rmSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { TwoFolders, words } from '../support/cli.ts';
import { bothHere } from '../support/own-tools.ts';
import { Seeded } from '../support/seeded.ts';
import { testSeeds } from '../support/seeds.ts';
import { haveQemu } from '../support/tools.ts';

const count = Number(process.env['IMG_LINES'] ?? 20);
const firstSeed = Number(process.env['IMG_SEED'] ?? 1);

/** What command lines write onto; `o` is not there before. */
const targets = ['t.qcow2', 'marked.qcow2', 'old.qcow2', 't.raw'];
const failing = 'inject-error.0.event=none,inject-error.0.once=off,inject-error.0.sector=3';
const badRead = `driver=blkdebug,image.driver=file,image.filename=odd.raw,${failing},inject-error.0.iotype=read`;
const badStatus = `driver=blkdebug,image.driver=file,image.filename=odd.raw,inject-error.0.event=none,inject-error.0.once=off,inject-error.0.iotype=block-status`;

describe.skipIf(!haveQemu)('img', () => {
  let folders: TwoFolders;

  beforeAll(() => {
    folders = new TwoFolders();
    const { img, io } = folders;
    img('create -q -f qcow2 a.qcow2 2M');
    io('a.qcow2', 'write -P 1 0 128k', 'write -P 2 512k 64k', 'write -z 1M 128k');
    img('bitmap --add a.qcow2 b0');
    img('bitmap --add --disable -g 4k a.qcow2 b1');
    io('a.qcow2', 'write -P 3 1536k 64k');
    img('snapshot -c s1 a.qcow2');
    io('a.qcow2', 'write -P 4 0 64k');
    img('create -q -f qcow2 -b a.qcow2 -F qcow2 over.qcow2');
    io('over.qcow2', 'write -P 5 192k 64k', 'write -z 512k 64k');
    img('bitmap --add over.qcow2 ob');
    folders.write('odd.raw', 'every block device has its own way '.repeat(2857).slice(0, 99_990));
    folders.write('none.raw', '');
    img('create -q -f qcow2 small.qcow2 1M');
    img('create -q -f qcow2 big.qcow2 4M');
    img('create -q -f qcow2 t.qcow2 2M');
    io('t.qcow2', 'write -P 9 300k 400k');
    img('create -q -f qcow2 -o compat=0.10 old.qcow2 2M');
    img('create -q -f qcow2 marked.qcow2 2M');
    img('bitmap --add marked.qcow2 b0');
    img('create -q -f raw t.raw 2M');
    forBoth((folder) => {
      for (const name of targets) copyFileSync(join(folder, name), join(folder, `${name}.kept`));
    });
  });
  afterAll(() => folders?.remove());

  beforeEach(restore);

  function forBoth(act: (folder: string) => void): void {
    for (const folder of [folders.ours, folders.theirs]) act(folder);
  }

  function restore(): void {
    forBoth((folder) => {
      for (const name of targets) copyFileSync(join(folder, `${name}.kept`), join(folder, name));
      rmSync(join(folder, 'o'), { force: true });
    });
  }

  async function compareOutcome(line: string): Promise<void> {
    const { ours, theirs } = await bothHere(folders, 'qemu-img', words(line));
    expect(ours, line).toEqual(theirs);
    if (theirs.status === 0) compareTargets(line);
  }

  /** The last word names what was written. */
  function compareTargets(line: string): void {
    const name = /(?:of=|filename=|^)?([^=]*)$/.exec(words(line).at(-1) ?? '')?.[1] ?? '';
    const [ours, theirs] = [join(folders.ours, name), join(folders.theirs, name)];
    if (!existsSync(theirs)) return;
    // Space that is given up on the way is used again when that is durable, which is later than in the real one.
    if (name !== 't.qcow2') {
      // A table at the end of the file may be padded to its sector.
      expect(statSync(ours).size, line).toBeLessThan(statSync(theirs).size + 512);
      expect(statSync(ours).blocks, line).toBeLessThanOrEqual(statSync(theirs).blocks);
    }
    const isQcow2 = readFileSync(theirs).subarray(0, 3).toString() === 'QFI';
    const formats = isQcow2 ? ['-f', 'qcow2', '-F', 'qcow2'] : ['-f', 'raw', '-F', 'raw'];
    const cwd = folders.ours;
    execFileSync('qemu-img', ['compare', ...formats, ours, theirs], { cwd, stdio: 'pipe' });
    if (isQcow2) execFileSync('qemu-img', ['check', '-f', 'qcow2', ours], { cwd, stdio: 'pipe' });
  }

  describe('dd', () => {
    test.each([
      'dd',
      'dd if=a.qcow2',
      'dd if=a.qcow2 of=o',
      'dd if=a.qcow2 bs=0 of=o',
      'dd -f raw if=odd.raw bs=7 of=o',
      'dd if=a.qcow2 bs=3G of=o',
      'dd if=a.qcow2 foo=x of=o',
      'dd if=a.qcow2 foo of=o',
      'dd if=a.qcow2 =x of=o',
      'dd if=a.qcow2 bs=1000 count=3 of=o',
      'dd if=a.qcow2 bs=1.5k count=0x3 of=o',
      'dd if=a.qcow2 count=0 of=o',
      'dd if=a.qcow2 count=010 of=o',
      'dd if=a.qcow2 count=1k of=o',
      'dd if=a.qcow2 count=-1 of=o',
      'dd if=a.qcow2 skip=1000000000000000000000 of=o',
      'dd if=a.qcow2 skip=10000 of=o',
      'dd if=a.qcow2 skip=1 bs=1000001 of=o',
      'dd if=a.qcow2 skip=2 bs=1k count=3 of=o',
      'dd if=a.qcow2 skip=2048 bs=1k of=o',
      'dd if=a.qcow2 skip=2047 bs=1k count=5 of=o',
      'dd if=a.qcow2 skip=9007199254740993 bs=1k of=o',
      'dd -f raw bs=1000 skip=1 if=odd.raw of=o',
      'dd -O qcow2 if=odd.raw of=o',
      'dd -O qcow2 bs=1000 count=5 if=a.qcow2 of=o',
      'dd -O foo if=a.qcow2 of=o',
      'dd -O foo if=nonex of=o',
      'dd -f foo if=a.qcow2 of=o',
      'dd -O blkdebug if=a.qcow2 of=o',
      'dd --image-opts if=driver=qcow2,file.filename=a.qcow2 of=o',
      'dd -f raw --image-opts if=a.qcow2 of=o',
      'dd -U if=a.qcow2 of=o',
      'dd if=none.raw of=o',
      'dd if=a.qcow2 of=/nonex/x',
      'dd if=a.qcow2 of=a.qcow2',
      'dd if= of=o',
      'dd if=a.qcow2 of=',
      'dd if=a.qcow2 of=null-co://',
      'dd if=a.qcow2 of=t.raw',
      'dd if=over.qcow2 -O qcow2 of=t.qcow2',
      'dd if=a.qcow2 if=odd.raw bs=64k of=o',
      `dd --image-opts if=${badRead} of=o`,
    ])('%s', compareOutcome);
  });

  describe('convert', () => {
    test.each([
      'convert --bitmaps -O qcow2 a.qcow2 o',
      'convert --bitmaps a.qcow2 o',
      'convert --bitmaps -O qcow2 -f raw odd.raw o',
      'convert --bitmaps -O qcow2 a.qcow2 over.qcow2 o',
      'convert --bitmaps -O qcow2 -o compat=0.10 a.qcow2 o',
      'convert --bitmaps -O qcow2 old.qcow2 o',
      'convert --bitmaps -O qcow2 -B a.qcow2 -F qcow2 over.qcow2 o',
      'convert --bitmaps -n -O qcow2 a.qcow2 t.qcow2',
      'convert --bitmaps -n -O qcow2 a.qcow2 marked.qcow2',
      'convert --bitmaps -n -O qcow2 a.qcow2 big.qcow2',
      'convert --bitmaps -n -O qcow2 a.qcow2 old.qcow2',
      'convert --bitmaps -n -O raw a.qcow2 t.raw',
      'convert --bitmaps -l s1 -O qcow2 a.qcow2 o',
      'convert --bitmaps -c -O qcow2 -o cluster_size=4k a.qcow2 o',
      'convert --skip-broken-bitmaps -O qcow2 a.qcow2 o',
      'convert -C -O qcow2 over.qcow2 o',
      'convert -C -f raw odd.raw o',
      'convert -C -c -O qcow2 a.qcow2 o',
      'convert -C -S 4k a.qcow2 o',
      'convert -C --salvage a.qcow2 o',
      'convert -l snapshot.name=s1,snapshot.id=1 a.qcow2 o',
      'convert -l snapshot.name=s1,snapshot.id=2 a.qcow2 o',
      'convert -l s1 a.qcow2 a.qcow2 o',
      'convert -n --target-is-zero -O qcow2 a.qcow2 marked.qcow2',
      'convert -n --target-image-opts a.qcow2 driver=raw,file.filename=t.raw',
      'convert -O qcow2 -o preallocation=full a.qcow2 o',
      'convert -O qcow2 -o preallocation=falloc a.qcow2 o',
      'convert -O qcow2 -o preallocation=metadata a.qcow2 o',
      'convert -c -O qcow2 -o preallocation=metadata a.qcow2 o',
      'convert -c -O qcow2 -o cluster_size=512k a.qcow2 o',
      'convert -c -O qcow2 -o cluster_size=2M -m 1 odd.raw o',
      'convert -c -O qcow2 -o compression_type=zstd,cluster_size=1M -W a.qcow2 o',
      'convert -O qcow2 -f raw odd.raw odd.raw odd.raw o',
      `convert --salvage --image-opts ${badRead} o`,
      `convert --salvage -q --image-opts ${badRead} o`,
      `convert --image-opts ${badRead} o`,
      `convert --image-opts ${badStatus} o`,
    ])('%s', compareOutcome);

    test('keeps all space of a target that is preallocated', async () => {
      const { ours } = await bothHere(
        folders,
        'qemu-img',
        words('convert -O qcow2 -o preallocation=full a.qcow2 o'),
      );
      expect(ours.status).toBe(0);
      expect(statSync(join(folders.ours, 'o')).blocks * 512).toBeGreaterThan(2 << 20);
    });

    describe('does the same by generated command lines', () => {
      testSeeds({ first: firstSeed, count, batch: 10 }, async (seed) => {
        restore();
        await compareOutcome(randomConversion(new Seeded(seed)));
      });
    });
  });
});

function randomConversion(random: Seeded): string {
  const line = ['convert'];
  const often = (...add: string[]): void => void (random.oneIn(2) && line.push(...add));
  const seldom = (...add: string[]): void => void (random.oneIn(4) && line.push(...add));
  const sparse = ['0', '512', '4k', '64k', '1M'];
  seldom('-m', String(1 + random.below(16)));
  seldom('-W');
  seldom('-U');
  seldom('-S', random.pick(sparse));
  if (random.oneIn(3)) {
    seldom('--target-is-zero');
    const isRaw = random.oneIn(3);
    return [...line, '-n', '-O', isRaw ? 'raw' : 'qcow2', 'a.qcow2', isRaw ? 't.raw' : 'marked.qcow2'].join(
      ' ',
    );
  }
  if (random.oneIn(3)) {
    const source = random.pick([
      'a.qcow2',
      'over.qcow2',
      'odd.raw',
      'none.raw',
      'a.qcow2 odd.raw over.qcow2',
    ]);
    return [...line, '-O', 'raw', source, 'o'].join(' ');
  }
  const isCompressed = random.oneIn(2);
  if (isCompressed) line.push('-c');
  else seldom('-o', `preallocation=${random.pick(['metadata', 'falloc', 'full', 'off'])}`);
  line.push('-O', 'qcow2', '-o', `cluster_size=${512 << random.below(13)}`);
  seldom('-o', random.pick(['compat=0.10', 'refcount_bits=64', 'refcount_bits=1', 'lazy_refcounts=on']));
  seldom('-o', 'compression_type=zstd,compat=1.1');
  often('--bitmaps');
  const onBacking = random.oneIn(3);
  if (onBacking) line.push('-B', 'a.qcow2', '-F', 'qcow2', 'over.qcow2');
  else
    line.push(random.pick(['a.qcow2', 'over.qcow2', 'odd.raw', 'odd.raw odd.raw odd.raw', '-l s1 a.qcow2']));
  return [...line, 'o'].join(' ');
}
