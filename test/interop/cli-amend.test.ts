/** `img amend` against the real qemu-img: words, exit statuses, and what the image is and holds afterwards. */
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { TwoFolders, withoutProgress, words } from '../support/cli.ts';
import { bothHere } from '../support/own-tools.ts';
import { haveQemu } from '../support/tools.ts';

const sha256 = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex');

describe.skipIf(!haveQemu)('img amend', () => {
  let folders: TwoFolders;
  beforeAll(() => {
    folders = new TwoFolders();
    folders.img('create -q -f raw r.raw 1M');
    folders.img('create -q -f qcow2 base.qcow2 1M');
    folders.io('base.qcow2', 'write -P 1 0 1M');
    folders.img('create -q -f qcow2 -b base.qcow2 -F qcow2 o.qcow2');
    folders.img('create -q -f qcow2 n.qcow2 1M');
    folders.img('create -q -f qcow2 -o compat=0.10 old.qcow2 1M');
    folders.img('create -q -f qcow2 -o refcount_bits=8 narrow.qcow2 1M');
    folders.img('create -q -f qcow2 -o compression_type=zstd z.qcow2 1M');
    folders.io('z.qcow2', 'write -c 0 64k');
    folders.img('create -q -f qcow2 many.qcow2 1M');
    folders.io('many.qcow2', 'write 0 64k');
    for (const name of ['a', 'b', 'c', 'd']) folders.img(`snapshot -c ${name} many.qcow2`);
    folders.img('create -q -f qcow2 grown.qcow2 1M');
    folders.img('snapshot -c a grown.qcow2');
    folders.img('resize -q grown.qcow2 2M');
  });
  afterAll(() => folders?.remove());

  async function compare(line: string): Promise<void> {
    const { ours, theirs } = await bothHere(folders, 'qemu-img', words(line));
    expect(withoutProgress(ours)).toEqual(withoutProgress(theirs));
  }

  test.each([
    'amend',
    'amend n.qcow2',
    'amend -o help',
    'amend -o compat=v2',
    'amend -o compat=v2 a b',
    'amend -f qcow2 -o help',
    'amend -f raw -o help',
    'amend -f zz -o help',
    'amend -o help n.qcow2',
    'amend -o ? n.qcow2',
    'amend -o help nofile',
    'amend -f raw -o help n.qcow2',
    'amend -f raw -o size=1M r.raw',
    'amend --image-opts -f qcow2 -o size=1M x',
    'amend -o size=1M nofile',
    'amend -t zz -o size=1M n.qcow2',
    "amend -o '' n.qcow2",
    'amend -o , n.qcow2',
    'amend -o size=1M,, n.qcow2',
    ...[
      ...[
        'zz=1',
        'nocow=on',
        'cluster_size=64k',
        'cluster_size=zz',
        'compression_type=zlib',
        'extended_l2=off',
      ],
      ...['preallocation=off', 'encryption=off', 'encrypt.format=luks', 'encrypt.key-secret=zz'],
      ...['encrypt.state=active', 'encrypt.keyslot=1', 'encrypt.new-secret=x'],
      ...['compat=zz', 'compat=', 'compat=2', 'refcount_bits=3', 'refcount_bits=128', 'refcount_bits=0'],
      ...['refcount_bits=zz', 'lazy_refcounts=zz', 'size=zz', 'size=100', 'data_file=zz', 'data_file='],
      ...['data_file_raw=on', 'data_file_raw=off', 'backing_file=zz', 'backing_file=', 'backing_fmt=raw'],
      ...['compat=0.10,lazy_refcounts=on', 'compat=0.10,refcount_bits=8', 'size=0'],
    ].map((options) => `amend -o ${options} n.qcow2`),
    'amend -o backing_file=base.qcow2 o.qcow2',
    'amend -o backing_file=base.qcow2,backing_fmt=qcow2 o.qcow2',
    'amend -o backing_file=./base.qcow2,backing_fmt=qcow2 o.qcow2',
    'amend -o lazy_refcounts=on old.qcow2',
    'amend -o refcount_bits=8 old.qcow2',
    'amend -o compat=0.10 narrow.qcow2',
    'amend -o compat=0.10 z.qcow2',
    'amend -o compat=0.10 grown.qcow2',
    'amend -o refcount_bits=1 many.qcow2',
    'amend -o refcount_bits=2 many.qcow2',
  ])('%s', compare);

  test.each([
    ['compat=1.1', ['-p -o size=3M', '-q -o size=512k --force']],
    ['compat=1.1', ['-p -o compat=0.10', '-o compat=v3']],
    ['compat=0.10', ['-o compat=1.1,refcount_bits=1,lazy_refcounts=on', '-o compat=0.10,refcount_bits=16']],
    ['refcount_bits=64', ['-p -o refcount_bits=2', '-o refcount_bits=32,size=1M']],
    ['cluster_size=512', ['-o refcount_bits=1', '-o refcount_bits=64,lazy_refcounts=on']],
    ['lazy_refcounts=on', ['-o lazy_refcounts=off', '-o compat=v2']],
    ['compression_type=zstd', ['-o compat=0.10', '-o compat=1.1']],
    ['compat=1.1,backing_file=base.qcow2,backing_fmt=qcow2', ['-o compat=0.10', '-o compat=1.1']],
  ])('of an image with %s: %j', async (options, lines) => {
    folders.img(`create -q -f qcow2 -o ${options} x.qcow2 1M`);
    folders.io(
      'x.qcow2',
      'write -P 3 100k 200k',
      'write -z 500k 100k',
      'write -P 7 700k 64k',
      'write -z 700k 64k',
    );
    for (const line of lines) {
      await compare(`amend ${line} x.qcow2`);
      expect(await fate(folders.ours), line).toEqual(await fate(folders.theirs));
    }
  });

  test('snapshots stay, also those without the extra data of version 3', async () => {
    folders.img('create -q -f qcow2 -o compat=0.10 x.qcow2 1M');
    folders.io('x.qcow2', 'write -P 3 100k 200k');
    folders.img('snapshot -c a x.qcow2');
    folders.img('convert -O raw x.qcow2 snapshot.raw');
    folders.io('x.qcow2', 'write -P 4 0 200k');
    for (const options of ['compat=1.1,refcount_bits=8', 'compat=0.10,refcount_bits=16']) {
      await compare(`amend -o ${options} x.qcow2`);
      await compare('convert -O raw -l a x.qcow2 a.raw');
      await compare('compare a.raw snapshot.raw');
      expect(await fate(folders.ours), options).toEqual(await fate(folders.theirs));
    }
  });

  test('bitmaps go with version 3, and leave nothing behind', async () => {
    folders.img('create -q -f qcow2 x.qcow2 1M');
    folders.img('bitmap --add x.qcow2 b');
    await compare('amend -o compat=0.10 x.qcow2');
    const { stdout, status } = await folders.realTool('qemu-img', 'check', 'x.qcow2');
    expect({ stdout: stdout.split('\n')[0], status }).toEqual({
      stdout: 'No errors were found on the image.',
      status: 0,
    });
  });

  test('bitmaps stay through everything else', async () => {
    folders.img('create -q -f qcow2 x.qcow2 1M');
    folders.img('bitmap --add x.qcow2 b');
    for (const options of ['size=2M,refcount_bits=8', 'lazy_refcounts=on,size=512k']) {
      await compare(`amend -o ${options} x.qcow2`);
      expect(await fate(folders.ours), options).toEqual(await fate(folders.theirs));
    }
  });

  /** By the real tool. */
  async function fate(folder: string): Promise<object> {
    const tool = (...args: string[]) =>
      folder === folders.ours
        ? folders.realTool('qemu-img', ...args)
        : folders.theirTool('qemu-img', ...args);
    const info = JSON.parse((await tool('info', '--output=json', 'x.qcow2')).stdout) as Record<
      string,
      unknown
    >;
    await tool('convert', '-O', 'raw', 'x.qcow2', 'content.raw');
    return {
      size: info['virtual-size'],
      backing: info['backing-filename'],
      specific: info['format-specific'],
      check: (await tool('check', 'x.qcow2')).stdout.split('\n')[0],
      content: sha256(readFileSync(join(folder, 'content.raw'))),
    };
  }
});
