/**
 * A small file system that gets full: what `img` says is what the real qemu-img says, in one line, and what is left is
 * the image from before, or nothing. The simulator tries every moment (test/sim/disk-full.test.ts).
 */
import { spawnSync } from 'node:child_process';
import { existsSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeEach, describe, expect, test } from 'vitest';
import { runOwn } from '../support/own-tools.ts';
import { run } from '../support/qemu.ts';
import { scratchDirectory } from '../support/scratch.ts';
import { mountSmall, unmount } from '../support/small-file-system.ts';
import { haveQemu } from '../support/tools.ts';

const scratch = scratchDirectory();

const small = mountSmall();

describe.skipIf(!haveQemu || small === undefined)('a full disk, where file systems can be mounted', () => {
  const at = (name: string): string => join(small!, name); // skipped without

  beforeEach(() => {
    for (const name of readdirSync(small!)) rmSync(at(name)); // as above
  });
  afterAll(() => unmount(small));

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

  /** No byte more than there is. */
  function fill(): void {
    try {
      writeFileSync(at('ballast'), Buffer.alloc(2 << 20));
    } catch {
      // Now it is full.
    }
  }

  const one = (): void => {
    run('qemu-img', 'create', '-q', '-f', 'qcow2', at('disk'), '8M');
    run('qemu-io', '-c', 'write 0 64k', at('disk'));
  };
  const two = (): void => {
    run('qemu-img', 'create', '-q', '-f', 'qcow2', at('base'), '8M');
    run('qemu-io', '-c', 'write 0 192k', at('base'));
    run('qemu-img', 'create', '-q', '-f', 'qcow2', '-b', at('base'), '-F', 'qcow2', at('disk'), '8M');
    run('qemu-io', '-c', 'write 1M 192k', at('disk'));
  };

  test.each([
    { line: 'rebase -b  DISK', prepare: two },
    { line: 'commit DISK', prepare: two },
    { line: 'amend -o refcount_bits=64 DISK', prepare: one },
    { line: 'resize DISK 80G', prepare: one },
    { line: 'bitmap --add DISK b', prepare: one },
  ])('$line leaves the image as it was', async ({ line, prepare }) => {
    prepare();
    fill();
    const args = line.split(' ').map((word) => (word === 'DISK' ? at('disk') : word));
    const content = (): Buffer => {
      run('qemu-img', 'convert', '-O', 'raw', at('disk'), scratch('content'));
      return readFileSync(scratch('content'));
    };
    const before = content();
    const ours = await runOwn('qemu-img', args);
    expect(content().equals(before)).toBe(true);
    expect(run('qemu-img', 'check', at('disk'))).toContain('No errors');
    const { status, stdout, stderr } = spawnSync('qemu-img', args, { encoding: 'utf8' });
    const masked = (text: string) => text.replace(/#block\d+/g, '#block');
    expect({ ...ours, stderr: masked(ours.stderr) }).toEqual({ status, stdout, stderr: masked(stderr) });
  });

  test.each(['raw', 'qcow2'])('dd to %s says what the real one says, and leaks nothing', async (format) => {
    one();
    run('qemu-io', '-c', 'write 0 1200k', at('disk'));
    const args = ['dd', '-O', format, `if=${at('disk')}`, `of=${at('copy')}`, 'bs=64k'];
    const ours = await runOwn('qemu-img', args);
    if (format === 'qcow2') expect(run('qemu-img', 'check', at('copy'))).toContain('No errors');
    rmSync(at('copy'));
    const { status, stdout, stderr } = spawnSync('qemu-img', args, { encoding: 'utf8' });
    expect(ours).toEqual({ status, stdout, stderr });
  });

  test('a repair that has no room leaves the contents', async () => {
    one();
    const image = readFileSync(at('disk'));
    image.writeBigUInt64BE(0n, 64 << 10); // the refcount table leads to no block
    writeFileSync(at('disk'), image);
    fill();
    const { status, stderr } = await runOwn('qemu-img', ['check', '-r', 'all', at('disk')]);
    expect(status).toBe(1);
    expect(stderr).toMatch(/\nqemu-img: Check failed: No space left on device\n$/);
    expect(readFileSync(at('disk')).subarray(0, image.length).equals(image)).toBe(true);
  });

  test('a guest that writes loses nothing, and nothing leaks', async () => {
    one();
    fill();
    const commands = ['-c', 'write 1M 192k', '-c', 'write -P 3 0 64k', '-c', 'flush'];
    const { status, stdout } = await runOwn('qemu-io', [...commands, at('disk')]);
    expect(status).toBe(1);
    expect(stdout).toMatch(/^write failed: No space left on device\nwrote 65536/);
    expect(run('qemu-img', 'check', at('disk'))).toContain('No errors');
    run('qemu-io', '-c', 'read -P 3 0 64k', at('disk'));
  });
});
