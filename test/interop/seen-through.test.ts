/**
 * What `img` says of an image through the nodes above it, and which options of nodes that it does not open it refuses: by
 * the real qemu-img.
 */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { TwoFolders, withoutProgress, words } from '../support/cli.ts';
import { bothHere, runOwn } from '../support/own-tools.ts';
import { haveQemu } from '../support/tools.ts';

const raw = 'driver=raw,file.driver=qcow2,file.file.filename=over.qcow2';
const blkdebug = 'driver=blkdebug,image.driver=qcow2,image.file.filename=over.qcow2';

describe.skipIf(!haveQemu)('img', () => {
  let folders: TwoFolders;

  beforeAll(() => {
    folders = new TwoFolders();
    const { img, io } = folders;
    img('create -q -f qcow2 a.qcow2 2M');
    io('a.qcow2', 'write -P 1 0 128k', 'write -P 2 512k 64k');
    img('create -q -f qcow2 -b a.qcow2 -F qcow2 over.qcow2');
    io('over.qcow2', 'write -P 5 192k 64k', 'write -z 512k 64k');
    img('create -q -f qcow2 old.qcow2 -o compat=0.10 1M');
  });
  afterAll(() => folders?.remove());

  test.each([
    `map --output=json --image-opts ${raw}`,
    `map --image-opts ${raw}`,
    `map --output=json --image-opts ${raw},offset=64k,size=1M`,
    `map --output=json --image-opts ${blkdebug}`,
    `convert -O qcow2 -B a.qcow2 -F qcow2 --image-opts ${raw} o`,
    'map --output=json o',
    `convert -O qcow2 -B a.qcow2 -F qcow2 --image-opts ${blkdebug} o`,
    'map --output=json o',
    'info --image-opts driver=qcow2,file.filename=over.qcow2,backing.file.file.filename=x',
    'info --image-opts driver=qcow2,file.filename=over.qcow2,backing=x',
    'rebase -u -b a.qcow2 -F qcow2 --image-opts driver=qcow2,file.filename=over.qcow2,backing.driver=raw',
    'map --image-opts driver=raw,file.file.filename=a.qcow2',
    'map --image-opts driver=qcow2,file.locking=off',
  ])('%s', async (line) => {
    const { ours, theirs } = await bothHere(folders, 'qemu-img', words(line));
    expect(ours).toEqual(theirs);
  });

  test('amend -p tells of the steps of a downgrade', async () => {
    await runOwnHere('amend -o compat=1.1 old.qcow2');
    await runOwnHereIo('write -z 0 64k', 'write -z 512k 64k');
    const { stdout } = await runOwnHere('amend -p -o compat=0.10 old.qcow2');
    expect(stdout).toMatch(/^ {4}\(0\.00\/100%\)\r {4}\((?!100|0\.)\d+\.\d\d\/100%\)\r/);
    expect(withoutProgress({ status: 0, stdout, stderr: '' }).stdout).toBe('<progress>\n');
  });

  const runOwnHere = (line: string) => inFolder(() => runOwn('qemu-img', words(line)));
  const runOwnHereIo = (...commands: string[]) =>
    inFolder(() => runOwn('qemu-io', [...commands.flatMap((command) => ['-c', command]), 'old.qcow2']));

  async function inFolder<T>(act: () => Promise<T>): Promise<T> {
    const before = process.cwd();
    process.chdir(folders.ours);
    try {
      return await act();
    } finally {
      process.chdir(before);
    }
  }
});
