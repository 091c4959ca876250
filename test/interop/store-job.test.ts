/**
 * x-store-backup in a machine that is killed at any moment, whose store fails, and whose job is cancelled: every snapshot is what the disks
 * were at one instant, and what comes next goes on from there.
 */
import { mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, expect, test, vi } from 'vitest';
import type { Outcome } from '../support/cli.ts';
import { LiveDaemon, type LiveDisk } from '../support/live-daemon.ts';
import { LiveModel, stateOf } from '../support/live-model.ts';
import { runOwn } from '../support/own-tools.ts';
import { run } from '../support/qemu.ts';
import { Seeded } from '../support/seeded.ts';
import { builtProgram } from '../support/system-program.ts';
import { haveRestic } from '../support/tools.ts';
import { kib, mib } from '../support/units.ts';

const own = builtProgram();
/** `LIVE_LIVES`, `LIVE_SEED`: how often something goes wrong, and in which order. */
const lives = Number(process.env['LIVE_LIVES'] ?? 4);
const seed = Number(process.env['LIVE_SEED'] ?? 1);
const diskBytes = 5 * mib + 64 * kib;
const folder = mkdtempSync(join(tmpdir(), 'blockyard-store-job-'));
const path = (name: string): string => join(folder, name);
const disks: readonly LiveDisk[] = [
  { name: 'a', file: path('a.qcow2'), format: 'qcow2' },
  { name: 'b', file: path('b.raw'), format: 'raw' },
];
let daemon: LiveDaemon;

const backup = (...args: string[]): Promise<Outcome> => runOwn('blockyard backup', args);

beforeAll(async () => {
  vi.stubEnv('RESTIC_PASSWORD', 'secret');
  vi.stubEnv('RESTIC_REPOSITORY', path('repository'));
  expect(await backup('init')).toMatchObject({ status: 0 });
});
beforeEach(async () => {
  for (const { file, format } of disks)
    expect(
      await runOwn('blockyard img', ['create', '-q', '-f', format, file, String(diskBytes)]),
    ).toMatchObject({ status: 0 });
  mkdirSync(path('scratch'), { recursive: true });
});
afterEach(() => daemon.kill());
afterAll(() => {
  vi.unstubAllEnvs();
  rmSync(folder, { recursive: true });
});

async function start(): Promise<void> {
  daemon = await LiveDaemon.start({ kind: 'system', command: [...own(), 'system'], folder, disks });
  await daemon.qmp.run('object-add', { 'qom-type': 'secret', id: 'key', data: 'secret' });
}

/** Settles when the job is there. */
async function startJob(): Promise<void> {
  await daemon.qmp.run('x-store-backup', {
    ...{ repository: path('repository'), 'password-secret': 'key', machine: 'm', scratch: path('scratch') },
    // Little room in memory, so that some of it comes from the scratch file.
    'x-cbw-buffer': 64 * kib,
    disks: disks.map(({ name }) => ({ device: name })),
  });
}

async function jobIsThere(): Promise<boolean> {
  return ((await daemon.qmp.run('query-jobs')) as unknown as unknown[]).length > 0;
}

async function restored(id: string): Promise<string> {
  rmSync(path('out'), { recursive: true, force: true });
  mkdirSync(path('out'));
  expect(await backup('restore', '-q', id, path('out'))).toMatchObject({ status: 0, stderr: '' });
  return stateOf(new Map(disks.map(({ name }) => [name, readFileSync(path(`out/${name}.raw`))])));
}

async function snapshots(): Promise<string[]> {
  const { stdout } = await backup('snapshots', '--output', 'json');
  return (JSON.parse(stdout) as { id: string }[]).map(({ id }) => id);
}

/** What is written goes nowhere while `act` runs. */
async function withoutStore(act: () => Promise<void>): Promise<void> {
  renameSync(path('repository/data'), path('data'));
  writeFileSync(path('repository/data'), '');
  try {
    await act();
  } finally {
    rmSync(path('repository/data'));
    renameSync(path('data'), path('repository/data'));
  }
}

test('every snapshot is one instant, whoever is killed, fails or is cancelled', async () => {
  await start();
  const model = new LiveModel(['a', 'b'], diskBytes);
  const seeded = new Seeded(seed);
  await model.writeRandomly(daemon, seeded, 6);
  for (let life = 0; life < lives; life++) {
    await model.resizeRandomly(daemon, seeded);
    const fate = (['kill', 'cancel', 'failure', 'none'] as const)[(life + seed) % 4];
    const wait = (): Promise<void> => new Promise((resolve) => setTimeout(resolve, seeded.below(120)));
    if (fate === 'failure') {
      // It may fail to begin, too.
      const isBegun = seeded.oneIn(2);
      if (isBegun) await startJob();
      await withoutStore(async () => {
        if (!isBegun) await startJob().catch(() => {});
        await model.writeRandomly(daemon, seeded, 3);
        await vi.waitUntil(async () => !(await jobIsThere()), { timeout: 60_000 });
      });
    } else {
      await startJob();
      await Promise.all([model.writeRandomly(daemon, seeded, 3), wait()]);
      if (fate === 'kill') {
        await daemon.kill();
        await start();
      } else if (fate === 'cancel' && (await jobIsThere()))
        // It may be over by now.
        await daemon.qmp.run('block-job-cancel', { device: 'm' }).catch(() => {});
    }
    await vi.waitUntil(async () => !(await jobIsThere()), { timeout: 60_000 });
    await model.writeRandomly(daemon, seeded, 2);
  }
  await startJob();
  await vi.waitUntil(async () => !(await jobIsThere()), { timeout: 60_000 });
  const ids = await snapshots();
  expect(await restored(ids.at(-1)!)).toBe(model.states.at(-1)); // there is one
  for (const id of ids) expect(model.states).toContain(await restored(id));
  expect(await daemon.traces()).toEqual({ nodes: [], exports: [], jobs: [] });
  expect(await daemon.bitmaps('a')).toHaveLength(2);
  expect(await backup('check', '--read-data')).toMatchObject({ status: 0 });
  if (!haveRestic) return;
  run('restic', '-q', '--no-cache', 'unlock');
  run('restic', '-q', '--no-cache', 'check', '--read-data');
}, 300_000);
