/** `img rebase` against the real qemu-img: words, exit statuses, and what the image holds afterwards. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { statSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { TwoFolders, words } from '../support/cli.ts';
import { bothHere } from '../support/own-tools.ts';
import { haveQemu } from '../support/tools.ts';

describe.skipIf(!haveQemu)('img rebase', () => {
  let folders: TwoFolders;

  beforeAll(() => {
    folders = new TwoFolders();
    folders.img('create -q -f raw r.raw 1M');
    folders.img('create -q -f qcow2 small.qcow2 500k');
    folders.io('small.qcow2', 'write -P 5 0 500k');
    folders.img('create -q -f qcow2 base.qcow2 1M');
    folders.io(
      'base.qcow2',
      'write -P 1 0 128k',
      'write -P 0 128k 64k',
      'write -z 192k 64k',
      'write -P 2 320k 4k',
    );
    folders.img('create -q -f qcow2 big.qcow2 2M');
    folders.io(
      'big.qcow2',
      'write -P 5 480k 64k',
      'write -P 6 768k 64k',
      'write -z 1200k 64k',
      'write 1M 100k',
    );
    folders.img('create -q -f qcow2 other.qcow2 512k');
    folders.io(
      'other.qcow2',
      'write -P 1 0 64k',
      'write -P 3 64k 4k',
      'write -P 7 128k 128k',
      'write 448k 64k',
    );
    folders.img('create -q -f qcow2 -b base.qcow2 -F qcow2 middle.qcow2');
    folders.io('middle.qcow2', 'write -P 1 0 64k', 'write -P 9 64k 64k');
    folders.img('create -q -f qcow2 -b base.qcow2 -F qcow2 o.qcow2');
    folders.img('create -q -f qcow2 -b o.qcow2 -F qcow2 over-o.qcow2');
    folders.img('create -q -f qcow2 -u -b nofile -F qcow2 lost.qcow2 1M');
    folders.img('create -q -f qcow2 -o cluster_size=512 tiny.qcow2 1M');
  });
  afterAll(() => folders?.remove());

  async function compare(line: string): Promise<void> {
    const { ours, theirs } = await bothHere(folders, 'qemu-img', words(line));
    expect(ours).toEqual(theirs);
  }

  test.each([
    'rebase',
    'rebase o.qcow2',
    'rebase a b',
    'rebase -b nofile o.qcow2',
    'rebase -b nofile -F qcow2 o.qcow2',
    'rebase -b nofile -u o.qcow2',
    'rebase -b r.raw o.qcow2',
    'rebase -b r.raw -F zz o.qcow2',
    'rebase -c -u -f raw -b x -F zz r.raw',
    "rebase -f raw -u -b '' r.raw",
    'rebase -f raw -u -b x r.raw',
    'rebase -f raw -b base.qcow2 -F qcow2 r.raw',
    'rebase -t zz o.qcow2',
    "rebase -t zz -b '' o.qcow2",
    "rebase -T zz -b '' o.qcow2",
    "rebase -T zz -b '' nofile",
    "rebase --image-opts -f qcow2 -b '' driver=qcow2,file.filename=o.qcow2",
    "rebase -b '' nofile",
    'rebase -b ./nofile -F qcow2 o.qcow2',
    "rebase -b '' lost.qcow2",
    'rebase -b base.qcow2 -F qcow2 lost.qcow2',
    'rebase -u -b base.qcow2 -F qcow2 lost.qcow2',
    'rebase -b base.qcow2 -F qcow2 base.qcow2',
    'rebase -b over-o.qcow2 -F qcow2 base.qcow2',
    `rebase -u -b ${'x'.repeat(450)} -F qcow2 tiny.qcow2`,
    `rebase -u -b ${'x'.repeat(1100)} -F qcow2 o.qcow2`,
    'rebase -u -b x:y -F raw lost.qcow2',
    'rebase -q -u -b base.qcow2 -F qcow2 lost.qcow2',
    'rebase --object zz -b base.qcow2 -F qcow2 o.qcow2',
    'rebase -u -F raw lost.qcow2',
  ])('%s', compare);

  const plain = [''];
  const every = ['', ',compat=0.10', ',cluster_size=4k', ',cluster_size=512k'];
  const header = ['backing_file', 'backing_fmt'];
  test.each([
    ['base.qcow2', '2M', "rebase -p -b ''"],
    ['base.qcow2', '2M', "rebase -c -b ''"],
    ['base.qcow2', '5M', "rebase -p -b ''"],
    ['base.qcow2', '6M', 'rebase -p -q -b other.qcow2 -F qcow2'],
    ['base.qcow2', '2M', 'rebase -b other.qcow2 -F qcow2', every],
    ['base.qcow2', '2M', 'rebase -c -b other.qcow2 -F qcow2', every],
    ['small.qcow2', '2M', 'rebase -b big.qcow2 -F qcow2', every],
    ['small.qcow2', '2M', 'rebase -c -b big.qcow2 -F qcow2 -T none -t none'],
    ['small.qcow2', '2M', 'rebase -U -t unsafe -b ./big.qcow2 -F qcow2'],
    ['small.qcow2', '300k', 'rebase -b big.qcow2 -F qcow2'],
    ['middle.qcow2', '1M', 'rebase -b base.qcow2 -F qcow2'],
    ['middle.qcow2', '1M', 'rebase -b middle.qcow2 -F qcow2'],
    ['middle.qcow2', '1M', 'rebase -b r.raw -F raw'],
    ['big.qcow2', '2M', 'rebase -p -u -b other.qcow2 -F qcow2'],
    ['big.qcow2', '2M', 'rebase -u'],
  ])('on %s, %s long: %s', async (base, size, line, tried = plain) => {
    for (const options of tried) {
      const create = `create -q -f qcow2 -o backing_file=${base},backing_fmt=qcow2${options} x.qcow2 ${size}`;
      folders.prepare('qemu-img', ...words(create));
      folders.prepare('qemu-io', '-c', 'write -P 8 192k 10k', '-c', 'write -z 256k 32k', 'x.qcow2');
      await compare(`${line} x.qcow2`);
      expect(await fate(folders.ours), options).toEqual(await fate(folders.theirs));
    }
  });

  /** By the real tool: what `x.qcow2` holds, its backing file, its length, and whether it is sound. */
  async function fate(folder: string): Promise<object> {
    const tool = (...args: string[]) =>
      folder === folders.ours
        ? folders.realTool('qemu-img', ...args)
        : folders.theirTool('qemu-img', ...args);
    const map = await tool('map', '--output=json', 'x.qcow2');
    const info = JSON.parse((await tool('info', '--output=json', 'x.qcow2')).stdout) as Record<
      string,
      unknown
    >;
    const check = await tool('check', 'x.qcow2');
    return {
      map: map.stdout.trim(),
      backing: header.map(
        (name) => info[name.replace('_file', '-filename').replace('_fmt', '-filename-format')],
      ),
      bytes: statSync(join(folder, 'x.qcow2')).size,
      check: check.stdout.trim(),
    };
  }

  test('what cannot be read is told', async () => {
    const fault = '"inject-error":[{"event":"none","iotype":"read","errno":5}]';
    const base = '"image":{"driver":"file","filename":"r.raw"}';
    const broken = `json:{"driver":"raw","file":{"driver":"blkdebug",${base},${fault}}}`;
    folders.io('r.raw', 'write -q 0 64k');
    folders.img('create -q -f qcow2 x.qcow2 1M');
    await compare(`rebase -b ${broken} -F raw x.qcow2`);
    folders.img(`rebase -u -b ${broken} -F raw x.qcow2`);
    await compare("rebase -b '' x.qcow2");
  });

  test('without a backing file: version 2 cannot hold zeros without data, and keeps them all the same', async () => {
    folders.prepare('qemu-img', ...words('create -q -f qcow2 -o compat=0.10 x.qcow2 2M'));
    folders.prepare('qemu-img', ...words('convert -O raw x.qcow2 before.raw'));
    await compare('rebase -b big.qcow2 -F qcow2 x.qcow2');
    const { stdout } = await folders.realTool('qemu-img', 'compare', '-f', 'raw', 'before.raw', 'x.qcow2');
    expect(stdout).toContain('Images are identical.');
  });

  test('the format that is named counts, also for an image that is in the chain already', async () => {
    folders.prepare('qemu-img', ...words('create -q -f qcow2 -b middle.qcow2 -F qcow2 x.qcow2'));
    folders.prepare('qemu-img', ...words('convert -O raw x.qcow2 before.raw'));
    await compare('rebase -b base.qcow2 -F raw x.qcow2');
    const { stdout } = await folders.realTool('qemu-img', 'compare', '-f', 'raw', 'before.raw', 'x.qcow2');
    expect(stdout).toContain('Images are identical.');
  });

  test('while the image, or the new backing file, is open elsewhere, the lock is told', async () => {
    for (const name of ['held', 'free'])
      folders.img(`create -q -f qcow2 -b base.qcow2 -F qcow2 ${name}.qcow2`);
    const holders = [folders.ours, folders.theirs].map((cwd) => spawn('qemu-io', ['held.qcow2'], { cwd }));
    try {
      // It prompts when it has the image.
      for (const { stdout } of holders) await once(stdout, 'data');
      await compare("rebase -b '' held.qcow2");
      await compare("rebase -u -U -b '' held.qcow2");
      await compare('rebase -b held.qcow2 -F qcow2 free.qcow2');
      await compare('rebase -U -b held.qcow2 -F qcow2 free.qcow2');
      await compare("rebase -u -b '' base.qcow2");
      await compare('commit held.qcow2');
      await compare('commit base.qcow2');
      await compare('amend -o size=2M held.qcow2');
    } finally {
      for (const holder of holders) {
        holder.stdin.end('quit\n');
        await once(holder, 'exit');
      }
    }
  });

  test.each(['-u', '-U'])('a chain that would close on itself is refused: %s', async (how) => {
    const line = `rebase ${how} -b ./over-o.qcow2 -F qcow2 o.qcow2`;
    const { stderr, status } = await folders.ourTool('qemu-img', ...words(line));
    expect({ stderr, status }).toEqual({
      stderr: "qemu-img: Backing file './o.qcow2' creates an infinite loop.\n",
      status: 1,
    });
  });
});
