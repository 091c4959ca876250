/**
 * discard-no-unref: discarded clusters of qcow2 keep their place, next to the real qemu-io. What is mapped where, what the
 * check counts and how much space the file has are compared.
 */
import { statSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeEach, describe, expect, test } from 'vitest';
import { TwoFolders } from '../support/cli.ts';
import { bothHere } from '../support/own-tools.ts';
import { haveQemu } from '../support/tools.ts';

describe.skipIf(!haveQemu)('discard-no-unref', () => {
  const folders = haveQemu ? new TwoFolders() : undefined;
  afterAll(() => folders?.remove());

  beforeEach(() => {
    folders!.prepare('qemu-img', 'create', '-q', '-f', 'qcow2', 'd.qcow2', '1M');
    folders!.prepare('qemu-io', '-c', 'write -P 1 0 512k', '-c', 'write -c -P 2 512k 64k', 'd.qcow2');
  });

  async function same(...args: string[]): Promise<void> {
    const { ours, theirs } = await bothHere(folders!, 'qemu-io', args);
    expect(ours).toEqual(theirs);
  }

  test.each([
    ['discard=unmap', 'discard 0 1M'],
    ['discard=unmap', 'write -z -u 0 1M'],
    ['discard=unmap', 'write -z 0 1M'],
    ['discard=unmap', 'discard 4k 128k'],
    ['discard=unmap,pass-discard-request=off', 'discard 0 1M'],
    ['discard=ignore', 'discard 0 1M'],
  ])('%s: %s', async (options, command) => {
    const image = `driver=qcow2,file.filename=d.qcow2,discard-no-unref=on,${options}`;
    // What is written again goes where it was.
    await same('--image-opts', image, '-c', command, '-c', 'write -P 9 128k 64k', '-c', 'read -P 9 128k 64k');
    for (const look of [
      ['map', '--output=json', 'd.qcow2'],
      ['check', 'd.qcow2'],
    ]) {
      const { ours, theirs } = await bothHere(folders!, 'qemu-img', look);
      expect(ours).toEqual(theirs);
    }
    const [own, real] = [folders!.ours, folders!.theirs].map(
      (folder) => statSync(join(folder, 'd.qcow2')).blocks,
    ) as [number, number];
    // The file system may count a block more for the file's own tree.
    expect(Math.abs(own - real)).toBeLessThanOrEqual(16);
  });

  test('leaves a snapshot its data', async () => {
    folders!.prepare('qemu-img', 'snapshot', '-c', 's', 'd.qcow2');
    const image = 'driver=qcow2,file.filename=d.qcow2,discard-no-unref=on,discard=unmap';
    await folders!.ourTool('qemu-io', '--image-opts', image, '-c', 'discard 0 1M');
    const { stdout } = await folders!.realTool('qemu-img', 'snapshot', '-a', 's', 'd.qcow2');
    expect(stdout).toBe('');
    const read = await folders!.realTool('qemu-io', '-c', 'read -P 1 0 512k', 'd.qcow2');
    expect(read.stdout).not.toContain('failed');
    expect((await folders!.realTool('qemu-img', 'check', 'd.qcow2')).status).toBe(0);
  });

  test('is for version 3 alone', async () => {
    folders!.prepare('qemu-img', 'create', '-q', '-f', 'qcow2', '-o', 'compat=0.10', 'old.qcow2', '1M');
    await same('--image-opts', 'driver=qcow2,file.filename=old.qcow2,discard-no-unref=on', '-c', 'length');
  });
});
