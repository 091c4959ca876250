/** `img create` and `img resize` against the real ones: words, and how long the files are and what they take. */
import { copyFileSync, existsSync, rmSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { TwoFolders, words } from '../support/cli.ts';
import { bothHere } from '../support/own-tools.ts';
import { haveQemu } from '../support/tools.ts';

/** What is resized. */
const images = ['a.qcow2', 'old.qcow2', 'over.qcow2', 'snap.qcow2', 'marked.qcow2', 'r.raw'];

describe.skipIf(!haveQemu)('img', () => {
  let folders: TwoFolders;

  beforeAll(() => {
    folders = new TwoFolders();
    const { img, io } = folders;
    img('create -q -f qcow2 a.qcow2 2M');
    io('a.qcow2', 'write 0 200k', 'write -z 1M 128k');
    img('create -q -f qcow2 -o compat=0.10 old.qcow2 2M');
    img('snapshot -c s old.qcow2');
    img('create -q -f qcow2 -b a.qcow2 -F qcow2 over.qcow2 1M');
    img('create -q -f qcow2 snap.qcow2 2M');
    io('snap.qcow2', 'write 0 2M');
    img('snapshot -c s snap.qcow2');
    img('create -q -f qcow2 marked.qcow2 2M');
    img('bitmap --add marked.qcow2 b');
    img('create -q -f raw r.raw 100000');
    forBoth((folder) => {
      for (const name of images) copyFileSync(join(folder, name), join(folder, `${name}.kept`));
    });
  });
  afterAll(() => folders?.remove());

  beforeEach(() => {
    forBoth((folder) => {
      for (const name of images) copyFileSync(join(folder, `${name}.kept`), join(folder, name));
      rmSync(join(folder, 'o'), { force: true });
    });
  });

  function forBoth(act: (folder: string) => void): void {
    for (const folder of [folders.ours, folders.theirs]) act(folder);
  }

  async function compareOutcome(line: string): Promise<void> {
    const { ours, theirs } = await bothHere(folders, 'qemu-img', words(line));
    expect(ours, line).toEqual(theirs);
    for (const name of [...images, 'o']) {
      const [here, there] = [join(folders.ours, name), join(folders.theirs, name)];
      expect(existsSync(here), line).toBe(existsSync(there));
      if (!existsSync(there)) continue;
      // A table at the end of the file may be padded to its sector.
      expect(statSync(here).size, line).toBeLessThan(statSync(there).size + 512);
      expect(statSync(here).blocks, line).toBeLessThanOrEqual(statSync(there).blocks);
    }
  }

  test.each([
    'create o 8E',
    'create -f raw o 1001',
    'create -f qcow2 o 1001',
    'create -f qcow2 o 2P',
    'create -f qcow2 o 8P',
    'create -f qcow2 -o cluster_size=512 o 200G',
    'create -f qcow2 -b a.qcow2 -F foo o',
    'create -f qcow2 -u -b nonex -F qcow2 o',
    'create -f qcow2 -u -b nonex -F qcow2 o 1M',
    'create -f qcow2 -u -b nonex o 1M',
    'create -f qcow2 -u -b nonex -F foo o 1M',
    'create -f qcow2 -F foo o 1M',
    'create -f qcow2 -F qcow2 o 1M',
    'create -f raw -F qcow2 o 1M',
    'create -f raw -b a.qcow2 -F qcow2 o 1M',
    "create -f qcow2 -b '' o 1M",
    "create -f raw -b '' o 1M",
    "create -f qcow2 -b a.qcow2 -F '' o 1M",
    'create -f qcow2 -o backing_file= o 1M',
    'create -f qcow2 -u -b a=b -F raw o 1M',
    "create -f qcow2 -u -b it's -F raw o 1M",
    'create -f qcow2 -u -b a,b;c -F raw o 1M',
    'create -f qcow2 -o preallocation=metadata,cluster_size=4k o 33M',
    'create -f qcow2 -o preallocation=full,cluster_size=4k o 1M',
    'create -f qcow2 -o preallocation=falloc,cluster_size=2M o 9M',
    'create -f raw -o preallocation=full o 1M',
    'create -f qcow2 -o cluster_size=4k -o lazy_refcounts=on o 1M',
    'create -f qcow2 -o backing_file=a.qcow2,backing_fmt=qcow2 -b r.raw -F raw o',
  ])('%s', compareOutcome);

  test.each([
    'resize a.qcow2 3P',
    'resize a.qcow2 2097153',
    'resize a.qcow2 +512',
    'resize --shrink a.qcow2 1M',
    'resize --preallocation=metadata a.qcow2 3M',
    'resize --preallocation=falloc a.qcow2 3M',
    'resize --preallocation=full a.qcow2 3M',
    'resize --preallocation=full --shrink a.qcow2 1M',
    'resize --image-opts driver=qcow2,file.filename=a.qcow2 3M',
    'resize --image-opts driver=raw,offset=512,file.filename=r.raw 3M',
    'resize old.qcow2 3M',
    'resize over.qcow2 2M',
    'resize --preallocation=metadata over.qcow2 3M',
    'resize --shrink over.qcow2 512k',
    'resize snap.qcow2 3M',
    'resize snap.qcow2 3G',
    'resize --shrink snap.qcow2 512k',
    'resize marked.qcow2 3M',
    'resize --shrink marked.qcow2 1M',
    'resize -f raw r.raw +1',
    'resize -f raw --shrink r.raw 100',
    'resize --preallocation=falloc -f raw r.raw 1M',
    'resize --preallocation=metadata -f raw r.raw 1M',
  ])('%s', compareOutcome);
});
