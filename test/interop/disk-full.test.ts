/**
 * A small file system that gets full: what `img` says is what the real qemu-img says, in one line, and what is left is
 * the image from before, or nothing. The simulator tries every moment (test/sim/disk-full.test.ts).
 */
import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeEach, describe, expect, test } from 'vitest';
import { runOwn } from '../support/own-tools.ts';
import { run } from '../support/qemu.ts';
import { scratchDirectory } from '../support/scratch.ts';
import { haveQemu } from '../support/tools.ts';

const scratch = scratchDirectory();

/** With room for 2 MiB; undefined where nothing may be mounted. `.ci/run` lets such tests skip. */
function mountSmall(): string | undefined {
  const folder = mkdtempSync(join(tmpdir(), 'blockyard-small-'));
  const { status } = spawnSync('mount', ['-t', 'tmpfs', '-o', 'size=2m', 'none', folder], {
    stdio: 'ignore',
  });
  if (status === 0) return folder;
  rmSync(folder, { recursive: true });
  return undefined;
}

const small = mountSmall();

describe.skipIf(!haveQemu || small === undefined)('a full disk, where file systems can be mounted', () => {
  const at = (name: string): string => join(small!, name); // skipped without

  beforeEach(() => {
    for (const name of readdirSync(small!)) rmSync(at(name)); // as above
  });
  afterAll(() => {
    if (small === undefined) return;
    spawnSync('umount', [small]);
    rmSync(small, { recursive: true });
  });

  test.each([
    'create -q -f raw -o preallocation=falloc disk 4M',
    'create -q -f raw -o preallocation=full disk 4M',
    'create -q -f qcow2 -o preallocation=falloc disk 4M',
    'create -q -f qcow2 -o preallocation=full disk 4M',
  ])('%s leaves no file', async (line) => {
    const args = line.replace('disk', at('disk')).split(' ');
    const { status, stderr } = await runOwn('qemu-img', args);
    expect(status).toBe(1);
    expect(existsSync(at('disk'))).toBe(false);
    expect(stderr).toBe(spawnSync('qemu-img', args, { encoding: 'utf8' }).stderr);
  });

  test.each([
    ['raw', 'falloc'],
    ['raw', 'full'],
    ['qcow2', 'falloc'],
    ['qcow2', 'full'],
  ])('resize of %s with %s leaves the image as it was', async (format, preallocation) => {
    run('qemu-img', 'create', '-q', '-f', format, at('disk'), '1M');
    run('qemu-io', '-f', format, '-c', 'write 100k 70k', at('disk'));
    const before = readFileSync(at('disk'));
    const args = ['resize', '-f', format, `--preallocation=${preallocation}`, at('disk'), '4M'];
    const ours = await runOwn('qemu-img', args);
    expect(readFileSync(at('disk')).equals(before)).toBe(true);
    const { status, stdout, stderr } = spawnSync('qemu-img', args, { encoding: 'utf8' });
    expect(ours).toEqual({ status, stdout, stderr });
  });

  test.each([
    ['-O', 'raw'],
    ['-O', 'qcow2'],
    ['-c', '-O', 'qcow2'],
  ])('convert %s %s leaves no file', async (...how) => {
    const source = scratch('source');
    // Not to be compressed much.
    const content = Buffer.alloc(4 << 20);
    for (let i = 0, x = 1; i < content.length; i++) content[i] = x = (x * 75 + 74) % 65537;
    writeFileSync(source, content);
    const { status, stderr } = await runOwn('qemu-img', ['convert', '-f', 'raw', ...how, source, at('disk')]);
    expect(status).toBe(1);
    expect(stderr).toMatch(/^qemu-img: error while writing at byte \d+: No space left on device\n$/);
    expect(readdirSync(small!)).toEqual([]); // skipped without
  });

  test('a snapshot leaves the image as it was', async () => {
    run('qemu-img', 'create', '-q', '-f', 'qcow2', '-o', 'preallocation=full', at('disk'), '1M');
    const before = readFileSync(at('disk'));
    writeFileSync(at('ballast'), '');
    try {
      writeFileSync(at('ballast'), Buffer.alloc(2 << 20));
    } catch {
      // Now it is full.
    }
    expect(statSync(at('ballast')).size).toBeGreaterThan(0);
    const { status, stderr } = await runOwn('qemu-img', ['snapshot', '-c', 's', at('disk')]);
    expect([status, stderr]).toEqual([
      1,
      "qemu-img: Could not create snapshot 's': No space left on device\n",
    ]);
    expect(readFileSync(at('disk')).equals(before)).toBe(true);
  });
});
