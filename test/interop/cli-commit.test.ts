/** `img commit` against the real qemu-img: words, exit statuses, and what both images hold afterwards. */
import { createHash } from 'node:crypto';
import { mkdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { TwoFolders, withoutProgress, words } from '../support/cli.ts';
import { bothHere } from '../support/own-tools.ts';
import { haveQemu } from '../support/tools.ts';

const sha256 = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex');

describe.skipIf(!haveQemu)('img commit', () => {
  let folders: TwoFolders;
  beforeAll(() => {
    folders = new TwoFolders();
    folders.img('create -q -f raw r.raw 1M');
    folders.img('create -q -f qcow2 base.qcow2 1M');
    folders.img('create -q -f qcow2 -b base.qcow2 -F qcow2 o.qcow2');
    folders.img('create -q -f qcow2 -b o.qcow2 -F qcow2 over-o.qcow2');
    folders.img('create -q -f qcow2 -u -b nofile -F qcow2 lost.qcow2 1M');
    for (const folder of [folders.ours, folders.theirs]) mkdirSync(join(folder, 'd'));
    folders.img('create -q -f qcow2 d/a.qcow2 1M');
    folders.img('create -q -f qcow2 -b a.qcow2 -F qcow2 d/b.qcow2');
    folders.img('create -q -f qcow2 -b b.qcow2 -F qcow2 d/c.qcow2');
    folders.img('create -q -f qcow2 -o compat=0.10 old.qcow2 512k');
    folders.img('snapshot -c s old.qcow2');
    folders.img('create -q -f qcow2 -b old.qcow2 -F qcow2 longer.qcow2 1M');
  });
  afterAll(() => folders?.remove());

  /** With as much of progress as is always there. */
  async function compare(line: string): Promise<void> {
    const { ours, theirs } = await bothHere(folders, 'qemu-img', words(line));
    expect(withoutProgress(ours)).toEqual(withoutProgress(theirs));
  }

  test.each([
    'commit',
    'commit a b',
    'commit base.qcow2',
    'commit o.qcow2',
    'commit -p o.qcow2',
    'commit -q -p o.qcow2',
    'commit -b zz over-o.qcow2',
    "commit -b '' over-o.qcow2",
    'commit -b over-o.qcow2 over-o.qcow2',
    'commit -b base.qcow2 over-o.qcow2',
    'commit -b ./base.qcow2 over-o.qcow2',
    'commit -b o.qcow2 base.qcow2',
    'commit -b a.qcow2 d/c.qcow2',
    'commit -b d/a.qcow2 d/c.qcow2',
    'commit -b ../d/a.qcow2 d/c.qcow2',
    'commit -b file:a.qcow2 d/c.qcow2',
    'commit -t zz o.qcow2',
    'commit -f raw o.qcow2',
    'commit r.raw',
    'commit nofile',
    'commit lost.qcow2',
    'commit longer.qcow2',
    'commit -p longer.qcow2',
    'commit -r -1 o.qcow2',
    'commit -r zz o.qcow2',
    'commit -r 9223372036854775808 o.qcow2',
    'commit -r 1000k o.qcow2',
    'commit --image-opts -f qcow2 o.qcow2',
    'commit --image-opts driver=qcow2,file.filename=o.qcow2',
    'commit --object zz o.qcow2',
  ])('%s', compare);

  const allOptions = ['compat=1.1', 'compat=0.10', 'cluster_size=512', 'cluster_size=2M', 'refcount_bits=1'];
  const plain = ['cluster_size=64k'];
  test.each([
    ['base.qcow2', '-F qcow2', '1M', 'commit', allOptions],
    ['base.qcow2', '-F qcow2', '1M', 'commit -d', plain],
    ['base.qcow2', '-F qcow2', '700k', 'commit', plain],
    ['base.qcow2', '-F qcow2', '3M', 'commit', ['compat=0.10', 'cluster_size=512']],
    ['r.raw', '-F raw', '2M', 'commit -t none', plain],
    ['r.raw', '-F raw', '1M', 'commit -b r.raw', plain],
  ])('into %s (%s), %s long: %s', async (base, format, size, line, tried) => {
    for (const options of tried) {
      folders.img(`create -q ${format.replace('-F', '-f')} ${base} 1M`);
      folders.prepare('qemu-io', '-f', format.slice(3), '-c', 'write -P 1 0 600k', base);
      folders.img(`create -q -f qcow2 -o ${options} -b ${base} ${format} x.qcow2 ${size}`);
      folders.io(
        'x.qcow2',
        'write -P 2 100k 300k',
        'write -P 3 500k 30k',
        'write -P 0 560k 1k',
        'write -z 64k 32k',
      );
      await compare(`${line} x.qcow2`);
      expect(await fate(folders.ours, base), options).toEqual(await fate(folders.theirs, base));
    }
  });

  test.each([
    ['with a snapshot', ['snapshot -c s x.qcow2']],
    ['with a bitmap', ['bitmap --add x.qcow2 b']],
    ['after it has grown', ['resize -q x.qcow2 20M']],
  ])('an image is emptied %s', async (_what, lines) => {
    for (const options of ['cluster_size=64k', 'cluster_size=512']) {
      folders.img('create -q -f raw r.raw 20M');
      folders.img(`create -q -f qcow2 -o ${options} -b r.raw -F raw x.qcow2 1M`);
      folders.io('x.qcow2', 'write -P 2 0 300k');
      for (const line of lines) folders.img(line);
      folders.io('x.qcow2', 'write -P 3 100k 300k');
      await compare('commit x.qcow2');
      expect(await fate(folders.ours, 'r.raw'), options).toEqual(await fate(folders.theirs, 'r.raw'));
    }
  });

  /** By the real tool: what the overlay holds itself, its length and soundness, and what both disks read as. */
  async function fate(folder: string, base: string): Promise<object> {
    const tool = (name: 'qemu-img' | 'qemu-io', ...args: string[]) =>
      folder === folders.ours ? folders.realTool(name, ...args) : folders.theirTool(name, ...args);
    const own = `driver=qcow2,file.filename=x.qcow2,backing=`;
    const map = await tool('qemu-img', 'map', '--output=json', '--image-opts', own);
    const check = await tool('qemu-img', 'check', 'x.qcow2');
    const overlay = await tool('qemu-img', 'info', '--output=json', 'x.qcow2');
    const sums: string[] = [];
    for (const name of ['x.qcow2', base]) {
      await tool('qemu-img', 'convert', '-O', 'raw', name, 'content.raw');
      sums.push(sha256(readFileSync(join(folder, 'content.raw'))));
    }
    const { 'virtual-size': size } = JSON.parse(overlay.stdout) as Record<string, number>;
    const { size: bytes, blocks } = statSync(join(folder, 'x.qcow2'));
    // Tables that move leave a cluster or two in other places.
    expect(blocks * 512).toBeLessThan(bytes + 8192);
    const sectors = Math.ceil(bytes / 512);
    return { map: map.stdout.trim(), sectors, size, check: check.stdout.trim(), sums };
  }
});
