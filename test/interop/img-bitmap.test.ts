/**
 * `img bitmap` against the real one: its words, and the bitmaps that the image has afterwards, bit by bit. IMG_LINES sets
 * how many generated command lines there are, IMG_SEED the first.
 */
import { execFileSync } from 'node:child_process';
import { copyFileSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { bitmapsOf } from '../../host/bitmaps/node-bitmaps.ts';
import { drivers } from '../../host/drivers.ts';
import { createGraph } from '../../host/graph.ts';
import { nodePlatform } from '../../host/platform/node/index.ts';
import { TwoFolders, words } from '../support/cli.ts';
import { bothHere } from '../support/own-tools.ts';
import { Seeded } from '../support/seeded.ts';
import { testSeeds } from '../support/seeds.ts';
import { haveQemu } from '../support/tools.ts';

const count = Number(process.env['IMG_LINES'] ?? 20);
const firstSeed = Number(process.env['IMG_SEED'] ?? 1);

const images = ['a.qcow2', 'lost.qcow2', 'old.qcow2', 'r.raw'];

describe.skipIf(!haveQemu)('img bitmap', () => {
  let folders: TwoFolders;

  beforeAll(() => {
    folders = new TwoFolders();
    const { img, io } = folders;
    img('create -q -f qcow2 other.qcow2 1M');
    img('bitmap --add other.qcow2 sb');
    img('bitmap --add -g 4k other.qcow2 sg');
    img('bitmap --add --disable other.qcow2 sd');
    io('other.qcow2', 'write 0 100k', 'write 600k 1k');
    img('create -q -f qcow2 big.qcow2 2M');
    img('bitmap --add big.qcow2 bb');
    img('create -q -f qcow2 a.qcow2 1M');
    img('bitmap --add a.qcow2 b0');
    img('bitmap --add --disable -g 512 a.qcow2 b1');
    io('a.qcow2', 'write 128k 1k');
    img('create -q -f qcow2 -o compat=0.10 old.qcow2 1M');
    img('create -q -f raw r.raw 1M');
    img('create -q -f qcow2 lost.qcow2 1M');
    img('bitmap --add lost.qcow2 b0');
    folders.patch('lost.qcow2', markInUse);
    for (const folder of [folders.ours, folders.theirs]) {
      for (const image of images) copyFileSync(join(folder, image), join(folder, `${image}.kept`));
    }
  });
  afterAll(() => folders?.remove());

  beforeEach(() => restore());

  function restore(): void {
    for (const folder of [folders.ours, folders.theirs]) {
      for (const image of images) copyFileSync(join(folder, `${image}.kept`), join(folder, image));
    }
  }

  async function compareOutcome(line: string): Promise<void> {
    const { ours, theirs } = await bothHere(folders, 'qemu-img', words(line));
    expect(ours, line).toEqual(theirs);
    const info = await bothHere(folders, 'qemu-img', words('info --output=json a.qcow2'));
    expect(bitmapsIn(info.ours.stdout), line).toEqual(bitmapsIn(info.theirs.stdout));
    expect(await bitsIn(join(folders.ours, 'a.qcow2')), line).toEqual(
      await bitsIn(join(folders.theirs, 'a.qcow2')),
    );
    const check = execFileSync('qemu-img', ['check', 'a.qcow2'], { cwd: folders.ours, encoding: 'utf8' });
    expect(check).toContain('No errors');
  }

  test.each([
    'bitmap',
    'bitmap a.qcow2 n',
    'bitmap --add a.qcow2',
    'bitmap --add a.qcow2 n x',
    'bitmap --add a.qcow2 n',
    'bitmap --add a.qcow2 b0',
    "bitmap --add '' n",
    "bitmap --add a.qcow2 ''",
    'bitmap --add -g 4k a.qcow2 n',
    'bitmap --add -g 4000 a.qcow2 n',
    'bitmap --add -g 256 a.qcow2 n',
    'bitmap --add -g 0 a.qcow2 n',
    'bitmap --add -g 2G a.qcow2 n',
    'bitmap --add -g 4G a.qcow2 n',
    'bitmap --add -g 1E a.qcow2 n',
    'bitmap --clear -g 4k a.qcow2 b0',
    'bitmap -g 4k a.qcow2 b0',
    'bitmap --add --disable --enable --clear a.qcow2 n',
    'bitmap --remove a.qcow2 b0',
    'bitmap --remove a.qcow2 nope',
    'bitmap --clear a.qcow2 nope',
    'bitmap --enable a.qcow2 nope',
    'bitmap --disable a.qcow2 nope',
    'bitmap --enable a.qcow2 b1',
    'bitmap --disable a.qcow2 b0',
    'bitmap --clear a.qcow2 b0',
    'bitmap --merge b0 a.qcow2 b1',
    'bitmap --merge b0 a.qcow2 b0',
    'bitmap --merge nope a.qcow2 b0',
    'bitmap --merge b0 a.qcow2 nope',
    'bitmap --merge sb -b other.qcow2 a.qcow2 b0',
    'bitmap --merge sg -b other.qcow2 -F qcow2 a.qcow2 b0',
    'bitmap --merge sd -b other.qcow2 -F qcow2 a.qcow2 b1',
    'bitmap --merge bb -b big.qcow2 -F qcow2 a.qcow2 b1',
    'bitmap --merge sb -b other.qcow2 -F foo a.qcow2 b0',
    'bitmap --merge sb -b other.qcow2 -F raw a.qcow2 b0',
    'bitmap --merge sb -b nonex a.qcow2 b0',
    'bitmap --add --merge sb -b nonex a.qcow2 n',
    'bitmap --merge x -b nonex nonex2 b',
    'bitmap --add --merge b0 -b a.qcow2 a.qcow2 n',
    'bitmap --merge sb -F qcow2 a.qcow2 b0',
    'bitmap --add -b other.qcow2 a.qcow2 n',
    'bitmap --clear -F qcow2 -g 4k',
    'bitmap --clear -b other.qcow2 -F qcow2',
    'bitmap --clear --image-opts -f qcow2',
    'bitmap --add --merge b0 --merge b1 a.qcow2 n',
    'bitmap --remove --add a.qcow2 b0',
    'bitmap --remove --remove a.qcow2 b0',
    'bitmap --add --remove a.qcow2 n',
    'bitmap --add --add a.qcow2 n',
    'bitmap --disable --merge b0 --remove a.qcow2 b1',
    'bitmap --remove -f raw r.raw n',
    'bitmap --remove old.qcow2 n',
    'bitmap --clear lost.qcow2 b0',
    'bitmap --remove lost.qcow2 b0',
    'bitmap --add lost.qcow2 b0',
    'bitmap --merge b0 -b lost.qcow2 a.qcow2 b1',
    'bitmap --add -f foo a.qcow2 n',
    'bitmap --add nonex n',
    'bitmap --image-opts --add driver=qcow2,file.filename=a.qcow2 n',
    'bitmap --image-opts -f qcow2 --add a.qcow2 n',
    'bitmap --image-opts --add driver=qcow2,file.filename=a.qcow2,read-only=on n',
    'bitmap --ad a.qcow2 n',
    'bitmap --object foo --add a.qcow2 n',
    'bitmap --granularity 4k --source-file other.qcow2 --source-format qcow2 --add --merge sb a.qcow2 n',
  ])('%s', compareOutcome);

  describe('does the same by generated command lines, one after the other', () => {
    testSeeds({ first: firstSeed, count, batch: 10 }, async (seed) => {
      const random = new Seeded(seed);
      if (random.oneIn(3)) restore();
      const from = random.oneIn(3) ? '-b other.qcow2 ' : '';
      const sources = from === '' ? ['b0', 'b1', 'n'] : ['sb', 'sg', 'sd'];
      const one = () =>
        random.pick(['--add', '--remove', '--clear', '--enable', '--disable', '--merge', '--merge']);
      const operations = Array.from({ length: 1 + random.below(4) }, one);
      if (from !== '' && !operations.includes('--merge')) operations.push('--merge');
      const list = operations.map((name) => (name === '--merge' ? `--merge ${random.pick(sources)}` : name));
      const granularity = operations.includes('--add') ? `-g ${512 << random.below(9)} ` : '';
      await compareOutcome(
        `bitmap ${from}${granularity}${list.join(' ')} a.qcow2 ${random.pick(['b0', 'b1', 'n'])}`,
      );
    });
  });

  test('keeps the bitmap of a raw image in a file beside it, where the real one has no place for it', async () => {
    const { ours, theirs } = await bothHere(folders, 'qemu-img', words('bitmap --add -f raw r.raw n'));
    expect(theirs.stderr).toContain("Can't store persistent bitmaps");
    expect(ours).toEqual({ status: 0, stdout: '', stderr: '' });
    expect(readFileSync(join(folders.ours, 'r.raw.bitmaps')).length).toBeGreaterThan(0);
  });
});

/** As a program leaves the bitmaps of an image that it could not close. */
function markInUse(image: Buffer): Buffer {
  const bitmaps = 0x23852875;
  let at = image.readUInt32BE(100);
  while (image.readUInt32BE(at) !== bitmaps) at += 8 + Math.ceil(image.readUInt32BE(at + 4) / 8) * 8;
  const directory = Number(image.readBigUInt64BE(at + 24));
  image.writeUInt32BE(image.readUInt32BE(directory + 12) | 1, directory + 12);
  return image;
}

function bitmapsIn(info: string): unknown {
  return JSON.parse(info)['format-specific'].data.bitmaps;
}

/** Name and bits of each. */
async function bitsIn(path: string): Promise<[string | undefined, string][]> {
  const copy = `${path}.read`;
  writeFileSync(copy, readFileSync(path));
  const graph = createGraph({ platform: nodePlatform, drivers });
  const node = await graph.openFile(copy, { format: 'qcow2', flags: { readOnly: true } });
  const found = [...bitmapsOf(node)].map(({ name, bits }): [string | undefined, string] => [
    name,
    Buffer.from(bits.serialize()).toString('hex'),
  ]);
  await graph.unref(node);
  return found.sort();
}
