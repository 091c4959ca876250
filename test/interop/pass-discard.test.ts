/**
 * Which freed clusters become holes of the file, under the options of the qcow2 driver, next to real QEMU.
 */
import { copyFileSync, readFileSync, truncateSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { RawImage } from '../sim/raw-qcow2.ts';
import { run } from '../support/qemu.ts';
import {
  type Message,
  type QmpSession,
  runScript,
  startOurs,
  startStorageDaemon,
} from '../support/qmp-sessions.ts';
import { scratchDirectory } from '../support/scratch.ts';
import { haveQemu } from '../support/tools.ts';

const scratch = scratchDirectory();
const clusterBytes = 65_536;

/** Whether the cluster at each offset is a hole of the file. */
function holes(file: string, offsets: readonly number[]): boolean[] {
  const extents = JSON.parse(run('qemu-img', 'map', '-f', 'raw', '--output=json', file)) as {
    start: number;
    length: number;
    data: boolean;
  }[];
  return offsets.map((offset) =>
    extents.some(
      ({ start, length, data }) => !data && start <= offset && offset + clusterBytes <= start + length,
    ),
  );
}

/** A script on a copy of the image, and which of the clusters are holes then. */
async function holesAfter(
  start: (cwd: string) => QmpSession,
  image: string,
  { options, commands, offsets }: { options: object; commands: Message[]; offsets: number[] },
): Promise<boolean[]> {
  const copy = `${image}.copy`;
  copyFileSync(image, copy);
  const session = start(scratch('.'));
  const file = { driver: 'file', filename: copy, discard: 'unmap' };
  const answers = await runScript(session, [
    {
      execute: 'blockdev-add',
      arguments: { driver: 'qcow2', 'node-name': 'n', discard: 'unmap', file, ...options },
    },
    ...commands,
    { execute: 'blockdev-del', arguments: { 'node-name': 'n' } },
  ]);
  await session.close();
  expect(answers.filter(({ error }) => error !== undefined)).toEqual([]);
  return holes(copy, offsets);
}

async function compare(image: string, script: Parameters<typeof holesAfter>[2]): Promise<boolean[]> {
  const theirs = await holesAfter(startStorageDaemon, image, script);
  expect(await holesAfter(startOurs, image, script)).toEqual(theirs);
  return theirs;
}

describe.skipIf(!haveQemu)('what is freed', () => {
  test('of an L1 table that moved is given back with pass-discard-other', async () => {
    const image = scratch('l1');
    run('qemu-img', 'create', '-q', '-f', 'qcow2', image, '2G');
    run('qemu-io', '-c', 'write -q 0 64k', image);
    const l1 = new RawImage(readFileSync(image)).l1.offset;
    const commands = [{ execute: 'block_resize', arguments: { 'node-name': 'n', size: 2 ** 32 } }];
    for (const other of [undefined, false, true]) {
      const options = other === undefined ? {} : { 'pass-discard-other': other };
      expect(await compare(image, { options, commands, offsets: [l1] })).toEqual([other === true]);
    }
  });

  test('of a bitmap is given back always, its table and the directory with pass-discard-other', async () => {
    const image = scratch('bitmap');
    run('qemu-img', 'create', '-q', '-f', 'qcow2', image, '1G');
    run('qemu-img', 'bitmap', '--add', image, 'b');
    run('qemu-io', '-c', 'write -q 0 64k', image);
    const bytes = readFileSync(image);
    // Whole clusters only are looked at, and the last may end within.
    truncateSync(image, Math.ceil(bytes.length / clusterBytes) * clusterBytes);
    const stored = new RawImage(bytes);
    const directory = directoryOf(stored);
    const table = Number(stored.entry(directory));
    const data = Number(stored.entry(table));
    const commands = [{ execute: 'block-dirty-bitmap-remove', arguments: { node: 'n', name: 'b' } }];
    for (const other of [false, true]) {
      const script = {
        options: { 'pass-discard-other': other },
        commands,
        offsets: [data, table, directory],
      };
      expect(await compare(image, script)).toEqual([true, other, other]);
    }
  });
});

/** Offset of the bitmap directory. */
function directoryOf({ view }: RawImage): number {
  let at = view.getUint32(100);
  while (view.getUint32(at) !== 0x23852875) at += 8 + Math.ceil(view.getUint32(at + 4) / 8) * 8;
  return Number(view.getBigUint64(at + 8 + 16));
}
