/**
 * A file system that is full at any moment of a subcommand of `img`: it says so in one line, nothing of the images is
 * lost, no cluster leaks, and what a failed creation had begun is gone. Where space is reserved in bulk:
 * test/sim/disk-full.test.ts.
 *
 * The file system has room for some pages more than it holds, from none to where the command succeeds.
 */
import { describe, expect, test } from 'vitest';
import type { CreateValues } from '../../../host/block/driver.ts';
import type { SimStorage } from '../../../host/platform/sim/index.ts';
import { changesFor, prepare, shapes } from './changes.ts';
import { runImg } from './simulated-img.ts';
import { Checker, contentOf, instantly, look, makeStorage, names } from './subject.ts';

const pageBytes = 4096;
/** Up to so many, every number of pages is tried; beyond, one in 19. */
const closelyPages = 10;
/** More pages than any of the commands needs. */
const enoughPages = 600;
/** What there is to say beside the error: what a check finds, and that bitmaps suffer from the same. */
const alsoSaid =
  /^(Leaked|ERROR|Repairing|Rebuilding|Persistent bitmaps of node|qemu-img: Lost persistent bitmaps)/;

/** A bitmap, which is stored last. */
const cannotStore =
  /qemu-img: Lost persistent bitmaps during inactivation of node '#block\d+': .*No space left on device\nqemu-img: Error while closing the image: Invalid argument\n/;

function expectOneError(stderr: string): void {
  const lines = stderr.split('\n').filter((line) => line !== '' && !alsoSaid.test(line));
  expect(lines).toEqual([expect.stringMatching(/^qemu-img: .*No space left on device$/)]);
}

/** Tries a line with ever more room, until it succeeds. What is left of each failure is looked at by `examine`. */
async function tryWithLittleRoom(
  original: SimStorage,
  line: string,
  examine: (storage: SimStorage, stderr: string) => Promise<void>,
): Promise<SimStorage> {
  for (let pages = 0; pages < enoughPages; pages += pages < closelyPages ? 1 : 19) {
    const storage = original.clone();
    const simulation = instantly(storage, storage.allocatedBytes + pages * pageBytes);
    const { status, stderr } = await runImg(simulation, line);
    expect(simulation.openFiles).toEqual([]);
    // A check may leave what it is not asked to repair.
    if (status !== 1) return storage;
    try {
      await examine(storage, stderr);
    } catch (error) {
      throw new Error(`with room for ${pages} pages: ${(error as Error).message}`, { cause: error });
    }
  }
  return expect.fail('it never succeeded');
}

/** Lines that make an image or more in an image, and what an image that is new is called. */
const makers: readonly { line: string; isLeft?: true }[] = [
  { line: 'create -q -f qcow2 /new 1M' },
  { line: 'create -q -f qcow2 -o preallocation=metadata,cluster_size=512 /new 100k' },
  { line: `convert -O raw ${names.disk} /new` },
  { line: `convert -O qcow2 -o cluster_size=512 ${names.disk} /new` },
  { line: `convert -c -O qcow2 -o cluster_size=4k ${names.disk} /new` },
  { line: `convert -O qcow2 -B ${names.base} -F qcow2 ${names.disk} /new` },
  { line: `dd -O raw if=${names.disk} of=/new bs=512`, isLeft: true },
  { line: `dd -O qcow2 if=${names.disk} of=/new bs=4k`, isLeft: true },
];

describe.each(shapes)('a full disk, with an image of %j', (options: CreateValues) => {
  const checker = new Checker();
  const named = changesFor(options).map((change) => ({ name: change.line, ...change }));

  test.each(named)('leaves the image as it was: $name', { timeout: 120_000 }, async (change) => {
    const { storage: original, before } = await prepare(await makeStorage(options, 1), change, 1);
    const found = await checker.findings(original, names.disk);
    await tryWithLittleRoom(original, change.line, async (storage, stderr) => {
      if (change.line.startsWith('bitmap')) expect(stderr).toMatch(cannotStore);
      else expectOneError(stderr);
      expect(contentOf(storage, names.disk).equals(before.content)).toBe(true);
      const findings = await checker.findings(storage, names.disk);
      if (change.repairs) expect(findings.length).toBeLessThanOrEqual(found.length);
      else expect(findings).toEqual([]);
      expect((await look(storage, names.disk)).content.equals(before.content)).toBe(true);
    });
  });

  test.each(makers)('leaves no half of an image: $line', { timeout: 120_000 }, async ({ line, isLeft }) => {
    const original = await makeStorage(options, 1);
    await tryWithLittleRoom(original, line, async (storage, stderr) => {
      expectOneError(stderr);
      // As of the real one, part of the copy is there.
      if (isLeft && storage.find('/new')?.size) {
        if (line.includes('qcow2 if')) expect(await checker.findings(storage, '/new')).toEqual([]);
        return;
      }
      expect(storage.paths().sort()).toEqual(original.paths().sort());
    });
  });
});
