/**
 * `img check -r` on copies of random damaged images, judged by the real qemu-img check: it leaves no more than the real
 * repair leaves, and what could be read before reads as before. DAMAGE_CASES sets how many images, DAMAGE_SEED the first
 * of their seeds.
 */
import { copyFileSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { TwoFolders, words } from '../support/cli.ts';
import { bothHere, runOwn } from '../support/own-tools.ts';
import { ioCommands } from '../support/qemu.ts';
import { Seeded } from '../support/seeded.ts';
import { testSeeds } from '../support/seeds.ts';
import { haveQemu } from '../support/tools.ts';

const count = Number(process.env['DAMAGE_CASES'] ?? 10);
const first = Number(process.env['DAMAGE_SEED'] ?? 1);

const offsetMask = 0x00fffffffffffe00n;
const copied = 1n << 63n;
const zero = 1n;
/** Where the header has its fields (specification: qcow2, section 1.1). */
const field = { l1Entries: 36, l1: 40, refcountTable: 48, incompatible: 72, autoclear: 88 };

/** Changes one entry or count of the image, or a field of its header; says what. */
function damage(image: Buffer, random: Seeded, clusterBytes: number, version: number): string {
  const entryAt = (at: number): bigint => image.readBigUInt64BE(at);
  const set = (at: number, entry: bigint): string => {
    image.writeBigUInt64BE(entry, at);
    return `${at.toString(16)}: ${entry.toString(16)}`;
  };
  const l1 = Number(entryAt(field.l1));
  const tables = Array.from({ length: image.readUInt32BE(field.l1Entries) }, (_, index) =>
    Number(entryAt(l1 + index * 8) & offsetMask),
  ).filter((at) => at > 0 && at + clusterBytes <= image.length);
  const block = Number(entryAt(Number(entryAt(field.refcountTable))));
  switch (random.below(version < 3 ? 4 : 6)) {
    case 0:
      image[block + random.below(Math.min(clusterBytes, (2 * image.length) / clusterBytes))] = random.pick([
        0, 1, 2, 255,
      ]);
      return 'a refcount';
    case 4:
      return set(field.autoclear, 1n << BigInt(8 + random.below(50)));
    case 5:
      return set(field.incompatible, BigInt(1 + random.below(3)));
    default: {
      if (tables.length === 0) return 'nothing';
      const at = random.pick(tables) + 8 * random.below(Math.min(clusterBytes / 8, 16));
      const entry = entryAt(at);
      return set(
        at,
        random.pick([
          entry ^ copied,
          // Version 2 knows no zero clusters, and QEMU's check says nothing of one.
          version < 3 ? entry : entry | zero,
          (entry & ~0x1ffn) | 0x200n | zero,
          entry ^ (1n << 57n),
          // The data of another one: tables do not read as they did, when they are repaired.
          copied |
            (entryAt(random.pick(tables) + 8 * random.below(Math.min(clusterBytes / 8, 16))) & offsetMask),
          0n,
        ]),
      );
    }
  }
}

describe.skipIf(!haveQemu)('check -r', () => {
  let folders: TwoFolders;
  beforeAll(() => {
    folders = new TwoFolders();
  });
  afterAll(() => folders?.remove());

  const real = (line: string) => folders.theirTool('qemu-img', ...words(line));

  /** What each cluster reads as, undefined where it cannot be read. */
  async function clustersOf(
    name: string,
    clusters: number,
    clusterBytes: number,
  ): Promise<(string | undefined)[]> {
    const reads = Array.from({ length: clusters }, (_, index) => `read -v ${index * clusterBytes} 512`);
    const { stdout } = await folders.theirTool('qemu-io', '-r', ...ioCommands(...reads), name);
    return stdout
      .split(/^(?=00|read failed)/m)
      .filter((part) => /^(0|read failed)/.test(part))
      .reduce<string[]>((parts, part) => {
        // A dump has a line for each 16 bytes; the one that starts a cluster is told by its offset.
        const offset = Number.parseInt(part, 16);
        if (Number.isNaN(offset) || offset % clusterBytes === 0)
          parts.push(part.startsWith('read') ? '' : part);
        else parts[parts.length - 1] += part;
        return parts;
      }, [])
      .map((part) => (part === '' ? undefined : part.replace(/^read .*\n.*TIME\n?/gm, '')));
  }

  testSeeds({ first, count, batch: 10 }, async (seed) => {
    const random = new Seeded(seed);
    const clusterBytes = random.pick([512, 4096, 65536]);
    const clusters = 4 + random.below(20);
    const version = random.pick([2, 3]);
    const size = clusters * clusterBytes;
    const options = `cluster_size=${clusterBytes},compat=${version === 2 ? '0.10' : '1.1'}`;
    folders.prepare('qemu-img', 'create', '-q', '-f', 'qcow2', '-o', options, 'image', String(size));
    const written = Array.from({ length: 1 + random.below(5) }, () => {
      const offset = random.below(clusters) * clusterBytes;
      return `${random.pick(['write -q -P 2', 'write -q -P 3', 'write -q -z'])} ${offset} ${Math.min(size - offset, (1 + random.below(4)) * clusterBytes)}`;
    });
    folders.prepare('qemu-io', ...ioCommands(...written), 'image');
    const image = readFileSync(join(folders.theirs, 'image'));
    const bytes = Buffer.concat([image, Buffer.alloc(-image.length & (clusterBytes - 1))]);
    const done = Array.from({ length: 1 + random.below(3) }, () =>
      damage(bytes, random, clusterBytes, version),
    );
    for (const name of ['damaged', 'ours', 'theirs']) writeFileSync(join(folders.theirs, name), bytes);
    const what = JSON.stringify({ options, size, written, done });

    await runOwn('qemu-img', ['check', '-q', '-r', 'all', join(folders.theirs, 'ours')]);
    await real('check -q -r all theirs');
    const [ours, theirs] = [await real('check ours'), await real('check theirs')];
    if (ours.status !== 0) expect(ours, what).toEqual(theirs);
    const before = await clustersOf('damaged', clusters, clusterBytes);
    const after = await clustersOf('ours', clusters, clusterBytes);
    for (const [index, content] of before.entries()) {
      if (content !== undefined) expect(after[index], `${what}, cluster ${index}`).toBe(content);
    }
    const features = (name: string) =>
      readFileSync(join(folders.theirs, name)).subarray(field.incompatible, 96);
    if (version === 3 && theirs.status === 0) expect(features('ours'), what).toEqual(features('theirs'));
  });

  test('clears autoclear bits that nobody knows', async () => {
    folders.prepare('qemu-img', 'create', '-q', '-f', 'qcow2', 'auto', '1M');
    folders.patch('auto', (image) => {
      image.writeBigUInt64BE(1n << 40n, field.autoclear);
      return image;
    });
    for (const mode of ['leaks', 'all']) {
      copyFileSync(join(folders.ours, 'auto'), join(folders.ours, 'copy'));
      await runOwn('qemu-img', ['check', '-r', mode, join(folders.ours, 'copy')]);
      expect(readFileSync(join(folders.ours, 'copy')).readBigUInt64BE(field.autoclear)).toBe(0n);
    }
  });

  test('makes an unaligned zero cluster of version 2 one that reads as zeros', async () => {
    folders.prepare('qemu-img', 'create', '-q', '-f', 'qcow2', '-o', 'compat=0.10', 'old', '1M');
    folders.prepare('qemu-io', '-c', 'write -q 0 128k', 'old');
    folders.patch('old', (image) => {
      const table = Number(image.readBigUInt64BE(Number(image.readBigUInt64BE(field.l1))) & offsetMask);
      image.writeBigUInt64BE(image.readBigUInt64BE(table + 8) | 0x201n, table + 8);
      return image;
    });
    const { ours, theirs } = await bothHere(folders, 'qemu-img', ['check', '-r', 'all', 'old']);
    expect(ours).toEqual(theirs);
    const { status } = await runOwn('qemu-io', ['-c', 'read -P 0 64k 64k', join(folders.ours, 'old')]);
    expect(status).toBe(0);
  });
});
