/**
 * How long image files become, and how much of the disk they take, next to the real tools: subcommands that write waste
 * nothing that the real ones do not.
 */
import { statSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { TwoFolders, words } from '../support/cli.ts';
import { bothHere } from '../support/own-tools.ts';
import { haveQemu } from '../support/tools.ts';

describe.skipIf(!haveQemu)('files are as long and take as much as those of the real tools:', () => {
  let folders: TwoFolders;
  beforeAll(() => {
    folders = new TwoFolders();
  });
  afterAll(() => folders?.remove());

  async function run(line: string): Promise<void> {
    const { ours, theirs } = await bothHere(folders, 'qemu-img', words(line));
    expect(ours, line).toEqual(theirs);
  }

  function expectEqualSizes(name: string, what: string): void {
    const ours = statSync(join(folders.ours, name));
    const theirs = statSync(join(folders.theirs, name));
    expect(ours.size, what).toBe(theirs.size);
    expect(ours.blocks, what).toBeLessThanOrEqual(theirs.blocks);
  }

  describe('resize', () => {
    const sizes = ['0', '512', '1M', '100M'];
    const growths = ['1M', '33M', '1G', '20G'];
    const cases = ['512', '4k', '64k', '2M'].flatMap((clusterSize) =>
      growths
        // Of 512 bytes, only what one refcount block can describe in a row: ours gives longer tables blocks of their own.
        .filter((growth) => clusterSize !== '512' || growth.endsWith('M'))
        .map((growth) => ({ clusterSize, growth })),
    );
    test.each(cases)('clusters of $clusterSize, $growth more', async ({ clusterSize, growth }) => {
      for (const size of sizes) {
        folders.img(`create -q -f qcow2 -o cluster_size=${clusterSize} grow.qcow2 ${size}`);
        await run(`resize -q -f qcow2 grow.qcow2 +${growth}`);
        expectEqualSizes('grow.qcow2', size);
      }
    });

    test('with its metadata mapped', async () => {
      for (const size of sizes) {
        folders.img(`create -q -f qcow2 mapped.qcow2 ${size}`);
        await run('resize -q -f qcow2 --preallocation=metadata mapped.qcow2 +33M');
        expectEqualSizes('mapped.qcow2', size);
      }
    });
  });
});
