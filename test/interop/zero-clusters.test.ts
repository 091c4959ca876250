/**
 * Zeros that do not fill their clusters, over random overlays: which of them become zero clusters and which data, by the
 * map, as with the real qemu-io. ZERO_CASES sets how many overlays, ZERO_SEED the first of their seeds.
 */
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect } from 'vitest';
import { TwoFolders } from '../support/cli.ts';
import { bothHere } from '../support/own-tools.ts';
import { ioCommands, run } from '../support/qemu.ts';
import { Seeded } from '../support/seeded.ts';
import { testSeeds } from '../support/seeds.ts';
import { haveQemu } from '../support/tools.ts';

const count = Number(process.env['ZERO_CASES'] ?? 20);
const first = Number(process.env['ZERO_SEED'] ?? 1);

interface Part {
  start: number;
  length: number;
  depth: number;
  zero: boolean;
  data: boolean;
}

/** What is where in the image, but for offsets in the file; neighbours that are alike are one. */
function mapOf(image: string): Part[] {
  const parts: Part[] = [];
  const extents = JSON.parse(run('qemu-img', 'map', '--output=json', image)) as Part[];
  for (const { start, length, depth, data, ...extent } of extents) {
    // Where the file has a hole in data is nobody's promise.
    const zero = extent.zero && !data;
    const before = parts.at(-1);
    if (before?.depth === depth && before.zero === zero && before.data === data) before.length += length;
    else parts.push({ start, length, depth, zero, data });
  }
  return parts;
}

describe.skipIf(!haveQemu)('zeros in parts of clusters', () => {
  let folders: TwoFolders;
  beforeAll(() => {
    folders = new TwoFolders();
  });
  afterAll(() => folders?.remove());

  testSeeds({ first, count, batch: 10 }, async (seed) => {
    const random = new Seeded(seed);
    const clusterBytes = random.pick([512, 4096, 65536]);
    const sectors = (bytes: number): number => random.below(bytes / 512) * 512;
    const range = (size: number): string => {
      const offset = sectors(size);
      return `${offset} ${Math.min((1 + random.below(6)) * random.pick([512, 4096, clusterBytes]), size - offset)}`;
    };
    const size = (4 + random.below(20)) * clusterBytes - random.pick([0, 512]);
    const base = random.pick([undefined, 'raw', 'qcow2']);
    const baseBytes = (2 + random.below(26)) * clusterBytes - random.pick([0, 512]);
    const written: string[] = [];
    if (base) {
      folders.prepare('qemu-img', 'create', '-q', '-f', base, 'base', String(baseBytes));
      for (let left = 1 + random.below(5); left > 0; left--)
        written.push(`${random.pick(['write -q -P 1', 'write -q -z', 'write -q -P 0'])} ${range(baseBytes)}`);
      folders.prepare('qemu-io', '-f', base, ...ioCommands(...written), 'base');
    }
    const compat = random.pick(['1.1', '1.1', '0.10']);
    const backing = base ? ['-b', 'base', '-F', base] : [];
    const options = `cluster_size=${clusterBytes},compat=${compat}`;
    folders.prepare(
      'qemu-img',
      'create',
      '-q',
      '-f',
      'qcow2',
      '-o',
      options,
      ...backing,
      'top',
      String(size),
    );
    const before = Array.from({ length: random.below(5) }, () => {
      return `${random.pick(['write -q -P 2', 'write -q -z', 'discard -q'])} ${range(size)}`;
    });
    folders.prepare('qemu-io', ...ioCommands(...before), 'top');
    const zeros = Array.from({ length: 1 + random.below(3) }, () => {
      const offset = random.below(size - 1);
      const bytes = 1 + random.below(Math.min(size - offset, 4 * clusterBytes));
      return `write -q ${random.pick(['-z', '-z -u'])} ${offset} ${bytes}`;
    });
    const what = JSON.stringify({ options, size, base, baseBytes, written, before, zeros });
    const { ours, theirs } = await bothHere(folders, 'qemu-io', [...ioCommands(...zeros), 'top']);
    expect(ours, what).toEqual(theirs);
    const [ourTop, theirTop] = [folders.ours, folders.theirs].map((folder) => join(folder, 'top')) as [
      string,
      string,
    ];
    expect(mapOf(ourTop), what).toEqual(mapOf(theirTop));
    run('qemu-img', 'check', ourTop);
    run('qemu-img', 'compare', ourTop, theirTop);
  });
});
