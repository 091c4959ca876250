/** What is written to a repository, real restic checks, restores, prunes and goes on writing to; what restic writes is read. */
import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test, vi } from 'vitest';
import { diskContent } from '../store/world.ts';
import type { Outcome } from '../support/cli.ts';
import { runOwn } from '../support/own-tools.ts';
import { Seeded } from '../support/seeded.ts';
import { haveRestic } from '../support/tools.ts';

let folder: string;
const path = (name: string): string => join(folder, name);
const backup = async (...args: string[]): Promise<Outcome> => {
  const outcome = await runOwn('blockyard backup', args);
  expect(outcome.stderr).toBe('');
  expect(outcome.status).toBe(0);
  return outcome;
};
const restic = (...args: string[]): string =>
  execFileSync('restic', ['--no-cache', ...args], { encoding: 'utf8', maxBuffer: 1 << 26 });
const dump = (id: string, file: string): Buffer =>
  execFileSync('restic', ['--no-cache', 'dump', id, file], { maxBuffer: 1 << 26 });

beforeAll(() => {
  vi.stubEnv('RESTIC_PASSWORD', 'secret');
});
afterAll(() => vi.unstubAllEnvs());
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'blockyard-restic-'));
  vi.stubEnv('RESTIC_REPOSITORY', path('repository'));
  mkdirSync(path('out'));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

const generations = Number(process.env['GENERATIONS'] ?? 4);

interface Snapshot {
  readonly id: string;
}

async function ids(): Promise<string[]> {
  const { stdout } = await backup('snapshots', '--output', 'json');
  return (JSON.parse(stdout) as Snapshot[]).map(({ id }) => id);
}

describe.skipIf(!haveRestic)('a repository', () => {
  test.each(['ours', 'restic'])(
    'made by %s holds generations that both read, also after a prune',
    async (maker) => {
      if (maker === 'ours') await backup('init');
      else restic('init', '--repository-version', '2');
      const seeded = new Seeded(maker.length);
      let content: Uint8Array = diskContent(6 << 20, 1);
      const written: Uint8Array[] = [];
      for (let generation = 0; generation < generations; generation++) {
        // Grows by a little that is no whole chunk, now and then.
        if (seeded.oneIn(2))
          content = Uint8Array.from(
            { length: content.length + 512 * seeded.below(999) },
            (_, i) => content[i] ?? 0,
          );
        for (let i = 0; i < 3; i++)
          content.fill(seeded.below(3), seeded.below(content.length), seeded.below(content.length));
        writeFileSync(path('hda.raw'), content);
        await backup('run', '-q', '-f', 'raw', '--machine', 'm', path('hda.raw'));
        written.push(content.slice());
      }
      expect(restic('check', '--read-data')).toContain('no errors were found');
      const before = await ids();
      for (const [i, id] of before.entries())
        expect(Buffer.compare(dump(id, '/m/hda.raw'), written[i]!)).toBe(0); // as many
      // The oldest goes; what the others need stays.
      restic('forget', '--prune', before[0]!);
      const after = await ids();
      expect(after).toEqual(before.slice(1));
      expect(restic('check', '--read-data')).toContain('no errors were found');
      await backup('check', '--read-data');
      for (const [i, id] of after.entries()) {
        await backup('restore', '-q', id, path('out'));
        expect(Buffer.compare(readFileSync(path('out/hda.raw')), written[i + 1]!)).toBe(0); // one less
        rmSync(path('out/hda.raw'));
      }
      // And on: after the prune, with an index that it has written anew.
      await backup('run', '-q', '-f', 'raw', '--machine', 'm', path('hda.raw'));
      expect(restic('check')).toContain('no errors were found');
    },
  );

  test('that restic writes to, with chunks of its own, is read', async () => {
    await backup('init');
    writeFileSync(path('hda.raw'), diskContent(20 << 20, 7));
    restic('backup', '-q', path('hda.raw'));
    expect(JSON.parse((await backup('snapshots', '--output', 'json')).stdout)).toMatchObject([
      { disks: [{ name: 'hda.raw', size: 20 << 20 }] },
    ]);
    await backup('restore', '-q', 'latest', path('out'));
    expect(Buffer.compare(readFileSync(path('out/hda.raw')), readFileSync(path('hda.raw')))).toBe(0);
    restic('rebuild-index', '-q');
    await backup('check', '--read-data');
  });

  test('is opened by a password that restic has added', async () => {
    await backup('init');
    writeFileSync(path('new'), 'another');
    restic('key', 'add', '--new-password-file', path('new'));
    vi.stubEnv('RESTIC_PASSWORD', 'another');
    await backup('snapshots');
    vi.stubEnv('RESTIC_PASSWORD', 'secret');
    await backup('snapshots');
  });

  test('is not pruned while it is held', async () => {
    await backup('init');
    writeFileSync(path('hda.raw'), diskContent(1 << 20, 7));
    await backup('run', '-q', '-f', 'raw', '--machine', 'm', path('hda.raw'));
    const { RepositoryLock } = await import('../../host/store/lock.ts');
    const { LocalStore } = await import('../../host/store/local-store.ts');
    const { Repository } = await import('../../host/store/repository.ts');
    const { nodePlatform } = await import('../../host/platform/node/index.ts');
    const { owner, platform } = await import('../store/world.ts');
    const { files, folders } = nodePlatform;
    const repository = await Repository.open(
      platform,
      new LocalStore(path('repository'), files, folders!),
      'secret',
    ); // Node has them
    const lock = await RepositoryLock.take(repository, owner);
    expect(() => restic('prune')).toThrow('repository is already locked');
    await lock.release();
    restic('prune');
  });
});
