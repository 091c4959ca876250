/** koffi is optional: what is left where it was not installed. */
import { describe, expect, test, vi } from 'vitest';
import { files } from '../../../host/platform/node/files.ts';
import { nodePlatform } from '../../../host/platform/node/index.ts';
import { file } from '../../../host/protocols/file/driver.ts';
import { openDriver } from '../../support/open-driver.ts';
import { scratchDirectory } from '../../support/scratch.ts';

vi.mock('node:module', () => ({
  createRequire: () => () => {
    throw Object.assign(new Error("Cannot find module 'koffi'"), { code: 'MODULE_NOT_FOUND' });
  },
}));
// Nor is its addon where npm puts it.
vi.spyOn(process, 'dlopen').mockImplementation(() => {
  throw new Error('cannot open shared object file');
});

const scratch = scratchDirectory();

describe('without koffi', () => {
  test('files work, but know no holes, give no space back and have no locks', async () => {
    const opened = await files.open(scratch('file'), { write: true, create: 'exclusive' });
    await opened.truncate(1 << 20);
    expect(opened.locks).toBeUndefined();
    expect(await opened.extent(4096)).toEqual({ type: 'data', bytes: (1 << 20) - 4096 });
    expect(await opened.zero(0, 4096, { unmap: true })).toBe(false);
    expect(await opened.discard(0, 4096)).toBe(false);
    expect(await opened.allocate(0, 4096)).toBe(false);
    await opened.write(0, new Uint8Array(4096).fill(1));
    const buffer = new Uint8Array(4096);
    await opened.read(0, buffer);
    expect(buffer[4095]).toBe(1);
    await opened.close();
  });

  test('direct access is refused by name', async () => {
    await expect(files.open(scratch('file'), { write: true, direct: true })).rejects.toThrow(
      'cache.direct=on needs O_DIRECT and the optional package koffi',
    );
  });

  test('the file driver warns that images are not locked', async () => {
    await file.create!.createFile!(nodePlatform, scratch('image'), {
      size: 1 << 20,
      preallocation: 'falloc',
    });
    const { driver, warnings } = await openDriver(file, nodePlatform, { filename: scratch('image') });
    expect(warnings).toHaveLength(1);
    expect(await driver.getAllocatedBytes!()).toBeGreaterThanOrEqual(1 << 20);
    await driver.close();
  });
});
