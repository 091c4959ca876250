/** Our image locks and QEMU's keep each other out, both ways. */
import { type ChildProcess, execFileSync, spawn, spawnSync } from 'node:child_process';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { Driver } from '../../host/block/driver.ts';
import { Perm } from '../../host/block/permissions.ts';
import { nodePlatform } from '../../host/platform/node/index.ts';
import { libc } from '../../host/platform/node/libc.ts';
import { file } from '../../host/protocols/file/driver.ts';
import { openDriver } from '../support/open-driver.ts';
import { scratchDirectory } from '../support/scratch.ts';
import { haveQemu, requireAll } from '../support/tools.ts';

const scratch = scratchDirectory();
let image: string;
let counter = 0;
const running: ChildProcess[] = [];
const opened: Driver[] = [];

/** What a writable qcow2 node, and a read-only one, do to their file. */
const writing = {
  perm: Perm.consistentRead | Perm.write | Perm.resize,
  shared: Perm.all & ~(Perm.write | Perm.resize),
};
const reading = { perm: Perm.consistentRead, shared: writing.shared };

beforeEach(() => {
  image = scratch(`image-${counter++}.qcow2`);
  if (haveQemu) execFileSync('qemu-img', ['create', '-q', '-f', 'qcow2', image, '1M']);
});

afterEach(async () => {
  for (const driver of opened.splice(0)) await driver.close();
  for (const child of running.splice(0)) {
    await new Promise((resolve) => {
      child.once('exit', resolve);
      child.stdin!.end('quit\n');
    });
  }
});

async function take({ perm, shared }: typeof writing, flags = {}): Promise<void> {
  const { driver } = await openDriver(file, nodePlatform, { filename: image }, flags);
  opened.push(driver);
  await driver.checkPermissions!(perm, shared);
  await driver.setPermissions!(perm, shared);
}

/** A qemu-io that has opened the image, and keeps it open. */
async function startQemuIo(...args: string[]): Promise<void> {
  const child = spawn('qemu-io', [...args, image], { stdio: ['pipe', 'pipe', 'inherit'] });
  running.push(child);
  child.stdin.write('length\n');
  await new Promise<void>((resolve, reject) => {
    let seen = '';
    child.stdout.on('data', (data: Buffer) => {
      seen += data.toString();
      if (seen.includes('1 MiB')) resolve();
    });
    child.once('exit', () => reject(new Error(`qemu-io ended: ${seen}`)));
  });
}

function qemu(tool: string, ...args: string[]): string {
  const { stderr, stdout } = spawnSync(tool, args, { encoding: 'utf8' });
  return stderr || stdout;
}

const hint = (): string => `Is another process using the image [${image}]?`;

describe.skipIf(!haveQemu || (!libc() && !requireAll))('while we have an image open', () => {
  test('for writing, QEMU neither writes nor reads it', async () => {
    await take(writing);
    expect(qemu('qemu-io', '-c', 'quit', image)).toBe(
      `qemu-io: can't open device ${image}: Failed to get "write" lock\n${hint()}\n`,
    );
    expect(qemu('qemu-img', 'info', image)).toBe(
      `qemu-img: Could not open '${image}': Failed to get shared "write" lock\n${hint()}\n`,
    );
    expect(qemu('qemu-img', 'create', '-q', '-f', 'raw', image, '1M')).toBe(
      `qemu-img: ${image}: Failed to get "write" lock\n${hint()}\n`,
    );
  });

  test('for writing, QEMU looks at it when told to share', async () => {
    await take(writing);
    expect(qemu('qemu-img', 'info', '-U', image)).toContain('file format: qcow2');
  });

  test('for reading, QEMU reads but does not write it', async () => {
    await take(reading, { readOnly: true });
    expect(qemu('qemu-img', 'info', image)).toContain('file format: qcow2');
    expect(qemu('qemu-io', '-c', 'quit', image)).toContain('Failed to get "write" lock');
  });

  test('and closed it again, QEMU may do what it likes', async () => {
    await take(writing);
    await opened.pop()!.close();
    expect(qemu('qemu-io', '-c', 'write 0 64k', image)).toContain('wrote 65536/65536');
  });
});

describe.skipIf(!haveQemu || (!libc() && !requireAll))('while QEMU has an image open', () => {
  test('for writing, we neither write nor read it, nor make a new one in its place', async () => {
    await startQemuIo();
    await expect(take(writing)).rejects.toMatchObject({
      message: 'Failed to get "write" lock',
      hint: hint(),
    });
    await expect(take(reading, { readOnly: true })).rejects.toMatchObject({
      message: 'Failed to get shared "write" lock',
      hint: hint(),
    });
    await expect(file.create!.createFile!(nodePlatform, image, { size: 0 })).rejects.toThrow(
      'Failed to get "write" lock',
    );
    expect(qemu('qemu-img', 'check', '-U', image)).toContain('No errors');
  });

  test('for writing, we look at it when told to share', async () => {
    await startQemuIo();
    await take(reading, { readOnly: true, forceShare: true });
  });

  test('for reading, we read but do not write it', async () => {
    await startQemuIo('-r');
    await take(reading, { readOnly: true });
    await expect(take(writing)).rejects.toThrow('Failed to get "write" lock');
  });
});
