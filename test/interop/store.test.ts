/** Disks of a repository with other programs: restored to their exports, and started in a machine from where they are. */
import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import { diskContent } from '../store/world.ts';
import { runOwn } from '../support/own-tools.ts';
import { scratchDirectory } from '../support/scratch.ts';
import { builtProgram } from '../support/system-program.ts';
import { haveQemu } from '../support/tools.ts';
import { installedV86 } from '../support/v86.ts';

const scratch = scratchDirectory();
const program = builtProgram();
const content = diskContent((2 << 20) + 4096, 4);

beforeAll(async () => {
  vi.stubEnv('RESTIC_PASSWORD', 'secret');
  vi.stubEnv('RESTIC_REPOSITORY', scratch('repository'));
  mkdirSync(scratch('out'));
  for (const name of ['hda', 'hdb']) writeFileSync(scratch(`${name}.raw`), content);
  for (const args of [
    ['init'],
    ['run', '--machine', 'm', '-f', 'raw', scratch('hda.raw'), scratch('hdb.raw')],
  ])
    expect(await runOwn('blockyard backup', args)).toMatchObject({ status: 0 });
});
afterAll(() => vi.unstubAllEnvs());

describe.skipIf(!haveQemu)('a disk of a repository', () => {
  test('is restored to an export of qemu-nbd, and in place of what is there', async () => {
    const old = content.slice().fill(0xee, 100, 200);
    writeFileSync(scratch('served.raw'), old);
    const args = ['-t', '-k', scratch('socket'), '-f', 'raw', scratch('served.raw')];
    const server = spawn('qemu-nbd', args, { stdio: 'ignore' });
    try {
      await vi.waitUntil(() => existsSync(scratch('socket')) || server.exitCode !== null, {
        timeout: 20_000,
      });
      const target = `hda=nbd+unix:///?socket=${scratch('socket')}`;
      const restored = await runOwn('blockyard backup', ['restore', '-n', '-O', 'raw', 'latest', target]);
      expect(restored).toMatchObject({ status: 0, stderr: '' });
      expect(restored.stdout).toContain('1 MiB of 2 MiB differed');
      expect(await runOwn('blockyard backup', ['restore', 'latest', target])).toMatchObject({ status: 0 });
    } finally {
      server.kill();
      await once(server, 'exit');
    }
    expect(Buffer.compare(readFileSync(scratch('served.raw')), content)).toBe(0);
  }, 60_000);
});

describe.skipIf(!installedV86)('a machine of a repository', () => {
  const check = async (...args: string[]): Promise<{ code: number; stdout: string; stderr: string }> => {
    const [node, main] = program();
    return promisify(execFile)(node, [main, 'backup', 'check', ...args]).then(
      (done) => ({ code: 0, ...done }),
      (error: { code: number; stdout: string; stderr: string }) => error,
    );
  };

  test('starts, and is said to have started when it says what it is to say', async () => {
    const { code, stdout, stderr } = await check('--boot', 'records on two disks');
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    expect(stdout).toMatch(/^No errors were found: .*\nm, snapshot [0-9a-f]{8} starts\n$/);
  }, 120_000);

  test('that says something else does not start, and one that ends says why', async () => {
    const silent = await check('--boot', 'welcome to another', '--boot-timeout', '5');
    expect(silent.code).toBe(1);
    expect(silent.stderr).toMatch(
      /m, snapshot \w+: the machine has not said 'welcome to another' within 5 s/,
    );
    const ended = await check('--boot', 'x', '--', '-nonsense');
    expect(ended.code).toBe(1);
    expect(ended.stderr).toContain('-nonsense');
    expect(silent.stderr + ended.stderr).not.toContain('secret ');
  }, 120_000);
});
