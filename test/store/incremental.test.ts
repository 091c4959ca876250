/** What an incremental backup takes over, and what the check of a repository says of it. */
import { describe, expect, test } from 'vitest';
import { checkRepository } from '../../host/store/check.ts';
import { type BackedUpDisk, disksOf, putMachine } from '../../host/store/machine.ts';
import { findParents, unchangedChunks } from '../../host/store/parent-disk.ts';
import type { Repository } from '../../host/store/repository.ts';
import { RepositoryWriter } from '../../host/store/repository-writer.ts';
import { diskContent, newRepository, owner } from './world.ts';

const chunkBytes = 4096;
const content = diskContent(10 * chunkBytes + 512, 3);

/** A snapshot of machine `m` with one disk. Settles with its id. */
async function put(repository: Repository, facts: Partial<BackedUpDisk> = {}): Promise<string> {
  const writer = await RepositoryWriter.start(repository);
  const ids: Uint8Array[] = [];
  for (let at = 0; at < content.length; at += chunkBytes)
    ids.push(await writer.add('data', content.subarray(at, at + chunkBytes)));
  const disk = { name: 'a', size: content.length, chunkBytes, format: 'raw', content: Buffer.concat(ids) };
  const author = { username: owner.username, program: 'test' };
  return putMachine(repository, writer, 'm', [{ ...disk, ...facts }], author);
}

const bitmap = (generation: string): Pick<BackedUpDisk, 'bitmap'> => ({
  bitmap: { name: `bitmap-${generation}`, generation },
});

describe('an incremental backup', () => {
  test('goes on from the snapshot of the generation that it has, and from no other', async () => {
    const { repository } = await newRepository();
    const first = await put(repository, bitmap('one'));
    await put(repository, bitmap('two'));
    await put(repository);
    const parents = (...generations: string[]) =>
      findParents(repository, 'm', new Map([['a', new Set(generations)]]));
    expect((await parents('one')).get('a')).toMatchObject({ snapshot: first, bitmap: 'bitmap-one' });
    expect((await parents('one', 'two')).get('a')).toMatchObject({ generation: 'two' });
    expect((await parents('three')).size).toBe(0);
    expect((await findParents(repository, 'other', new Map([['a', new Set(['one'])]]))).size).toBe(0);
    expect((await findParents(repository, 'm', new Map([['b', new Set(['one'])]]))).size).toBe(0);
  });

  test('takes over what was not written, but never the end of the disk', async () => {
    const { repository } = await newRepository();
    await put(repository, bitmap('one'));
    const parent = (await findParents(repository, 'm', new Map([['a', new Set(['one'])]]))).get('a')!; // it is there
    const written = new Uint8Array(11);
    written[2] = 1;
    const known = (diskBytes: number): number[] => {
      const unchanged = unchangedChunks(parent, written, diskBytes);
      return Array.from({ length: 20 }, (_, chunk) => chunk).filter((chunk) => unchanged(chunk));
    };
    expect(known(content.length)).toEqual([0, 1, 3, 4, 5, 6, 7, 8, 9]);
    expect(known(100 * chunkBytes)).toEqual([0, 1, 3, 4, 5, 6, 7, 8, 9]);
    expect(known(4 * chunkBytes + 512)).toEqual([0, 1, 3]);
  });
});

describe('the check of a repository', () => {
  const errorsOf = async (repository: Repository): Promise<string> =>
    (await checkRepository(repository, { readData: 0 })).errors.join('\n');

  test('finds what was taken over by the bitmap of another snapshot', async () => {
    const { repository, store } = await newRepository();
    const first = await put(repository, bitmap('one'));
    const second = await put(repository, {
      ...bitmap('two'),
      parent: { snapshot: first, generation: 'one' },
    });
    expect(await errorsOf(repository)).toBe('');
    const [disk] = await disksOf(repository, await repository.readSnapshot(second));
    expect(disk!.facts).toMatchObject({ parent: { snapshot: first, generation: 'one' } });
    await put(repository, { parent: { snapshot: first, generation: 'two' } });
    expect(await errorsOf(repository)).toMatch(`by a bitmap that snapshot ${first} does not know`);
    // One that has been forgotten tells nothing any more.
    store.files.delete(`snapshots/${first}`);
    expect(await errorsOf(repository)).toBe('');
  });

  test('finds a disk that is not cut where it is said to be', async () => {
    const { repository } = await newRepository();
    await put(repository, { chunkBytes: 2 * chunkBytes });
    expect(await errorsOf(repository)).toContain('is not cut every 8192 bytes: chunk 1 is at 4096');
  });
});
