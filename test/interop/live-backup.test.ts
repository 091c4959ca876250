/**
 * `backup run --qmp`: disks of machines and storage daemons, ours and QEMU's, while they are written to. What is restored is what the disks
 * were at one instant, whatever happens meanwhile, and nothing is left in the daemon.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { cpSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test, vi } from 'vitest';
import { attachUser } from '../../host/cli/shared/open-image.ts';
import { drivers } from '../../host/drivers.ts';
import { createGraph } from '../../host/graph.ts';
import { nodePlatform } from '../../host/platform/node/index.ts';
import type { Outcome } from '../support/cli.ts';
import { type DaemonKind, LiveDaemon, type LiveDisk } from '../support/live-daemon.ts';
import { LiveModel, stateOf } from '../support/live-model.ts';
import { runOwn } from '../support/own-tools.ts';
import { run } from '../support/qemu.ts';
import { Seeded } from '../support/seeded.ts';
import { builtProgram } from '../support/system-program.ts';
import { haveQemu, haveQemuSystem, haveRestic } from '../support/tools.ts';
import { kib, mib } from '../support/units.ts';

const own = builtProgram();
type Case = 'restart' | 'cut' | 'kill' | 'failure';
const kinds: readonly {
  name: string;
  kind: DaemonKind;
  isThere: boolean;
  /** What is tried every time; by hand, when LIVE_LIVES says something, everything is with each. */
  usual: readonly Case[];
  command: () => readonly string[];
}[] = [
  {
    name: 'our machine',
    kind: 'system',
    isThere: true,
    usual: ['cut', 'failure', 'kill'],
    command: () => [...own(), 'system'],
  },
  {
    name: 'our storage daemon',
    kind: 'storage-daemon',
    isThere: true,
    usual: [],
    command: () => [...own(), 'storage-daemon'],
  },
  {
    name: "QEMU's machine",
    kind: 'system',
    isThere: haveQemuSystem,
    usual: ['restart', 'kill'],
    command: () => ['qemu-system-x86_64'],
  },
  {
    name: "QEMU's storage daemon",
    kind: 'storage-daemon',
    isThere: haveQemu,
    usual: [],
    command: () => ['qemu-storage-daemon'],
  },
];

const isByHand = process.env['LIVE_LIVES'] !== undefined;
/** `LIVE_LIVES`, `LIVE_SEED`: how often somebody is killed, and in which order. */
const lives = Number(process.env['LIVE_LIVES'] ?? 2);
const seed = Number(process.env['LIVE_SEED'] ?? 1);
const diskBytes = 5 * mib + 64 * kib;
let folder: string;
let daemon: LiveDaemon | undefined;
const path = (name: string): string => join(folder, name);
const backup = (...args: string[]): Promise<Outcome> => runOwn('blockyard backup', args);
const disks = (): readonly LiveDisk[] => [
  { name: 'a', file: path('a.qcow2'), format: 'qcow2' },
  { name: 'b', file: path('b.raw'), format: 'raw' },
];

const empty = mkdtempSync(join(tmpdir(), 'blockyard-empty-'));

beforeAll(async () => {
  vi.stubEnv('RESTIC_PASSWORD', 'secret');
  expect(await backup('init', '-r', join(empty, 'repository'))).toMatchObject({ status: 0 });
});
afterAll(() => {
  vi.unstubAllEnvs();
  rmSync(empty, { recursive: true });
});
beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), 'blockyard-live-'));
  vi.stubEnv('RESTIC_REPOSITORY', path('repository'));
  mkdirSync(path('scratch'));
  for (const { file, format } of disks())
    expect(
      await runOwn('blockyard img', ['create', '-q', '-f', format, file, String(diskBytes)]),
    ).toMatchObject({ status: 0 });
  cpSync(join(empty, 'repository'), path('repository'), { recursive: true });
});
afterEach(async () => {
  await daemon?.kill();
  daemon = undefined;
  rmSync(folder, { recursive: true, force: true });
});

const newModel = (): LiveModel => new LiveModel(['a', 'b'], diskBytes);

/** Of the latest snapshot, or that with the id. */
async function restored(id = 'latest'): Promise<string> {
  mkdirSync(path('out'));
  expect(await backup('restore', '-q', id, path('out'))).toMatchObject({ status: 0, stderr: '' });
  const content = new Map(disks().map(({ name }) => [name, readFileSync(path(`out/${name}.raw`))]));
  rmSync(path('out'), { recursive: true });
  return stateOf(content);
}

const nothing = { nodes: [], exports: [], jobs: [] };

describe.each(kinds)('backup run --qmp of $name', ({ kind, isThere, usual, command }) => {
  /** For a case that is tried with this one; what is not is no test, rather than one that is skipped. */
  const testOf = (what: Case, name: string, body: () => Promise<void>): void => {
    if (isByHand || usual.includes(what)) test.skipIf(!isThere)(name, body);
  };
  const start = async (): Promise<LiveDaemon> => {
    daemon = await LiveDaemon.start({ kind, command: command(), folder, disks: disks() });
    return daemon;
  };
  const live = async (...more: string[]): Promise<Outcome> =>
    backup('run', '--machine', 'm', ...daemon!.options, '--scratch', path('scratch'), ...more); // it was started

  test.skipIf(!isThere)(
    'shows one instant of disks that are written to, and then reads only what has changed',
    async () => {
      const running = await start();
      const model = newModel();
      const seeded = new Seeded(7);
      await model.writeRandomly(daemon!, seeded, 12);
      for (let generation = 0; generation < 2; generation++) {
        const before = model.states.length - 1;
        const [outcome] = await Promise.all([live(), model.writeRandomly(daemon!, seeded, 6)]);
        expect(outcome).toMatchObject({ status: 0, stderr: '' });
        expect(outcome.stdout).toContain(generation === 0 ? 'a: read' : 'written since');
        expect(model.states.slice(before)).toContain(await restored());
        expect(await running.traces()).toEqual(nothing);
        expect(readdirSync(path('scratch'))).toEqual([]);
        expect(await running.bitmaps('a')).toHaveLength(2);
      }
      const still = await live();
      expect(still).toMatchObject({ status: 0, stderr: '' });
      await running.write('a', 9, 2 * mib, 512);
      const { stdout } = await live();
      expect(stdout).toMatch(
        /^a: read 1(\.\d+)? MiB of .*\nb: read (0 B|64 KiB) of .*, written since .*\nsnapshot /,
      );
      expect(await backup('check', '--read-data')).toMatchObject({ status: 0 });
    },
  );

  testOf(
    'restart',
    'goes on where it stopped after the daemon has been restarted, and reads all when it was killed',
    async () => {
      const running = await start();
      const model = newModel();
      const seeded = new Seeded(11);
      await model.writeRandomly(daemon!, seeded, 5);
      expect(await live()).toMatchObject({ status: 0 });
      await model.writeRandomly(daemon!, seeded, 3);
      await running.stop();
      await start();
      await model.writeRandomly(daemon!, seeded, 3);
      const { stdout } = await live();
      // Of raw images nothing is kept beyond the daemon's life.
      expect(stdout).toMatch(/a: read .* written since \w{8}\nb: read .*, all\n/);
      expect(await restored()).toBe(model.states.at(-1));
      await model.writeRandomly(daemon!, seeded, 3);
      await daemon!.kill(); // it was started again
      await start();
      expect(await live()).toMatchObject({ status: 0 });
      expect(await restored()).toBe(model.states.at(-1));
    },
  );

  if (kind === 'system')
    testOf('cut', 'is not misled by a disk that was cut and has grown again', async () => {
      const running = await start();
      const model = newModel();
      for (const disk of ['a', 'b']) {
        await running.write(disk, 5, 0, diskBytes);
        model.apply(disk, 5, 0, diskBytes);
      }
      expect(await live()).toMatchObject({ status: 0 });
      for (const bytes of [3 * mib, diskBytes + mib])
        for (const disk of ['a', 'b']) await model.resize(running, disk, bytes);
      expect(await live()).toMatchObject({ status: 0, stderr: '' });
      expect(await restored()).toBe(model.states.at(-1));
    });

  testOf('kill', 'leaves nothing wrong when it, or the daemon, is killed at any moment', async () => {
    await start();
    const model = newModel();
    const seeded = new Seeded(seed);
    await model.writeRandomly(daemon!, seeded, 6);
    for (let life = 0; life < lives; life++) {
      // What a run has left that was killed stands in the way of it.
      if (kind === 'system' && JSON.stringify(await daemon!.traces()) === JSON.stringify(nothing))
        await model.resizeRandomly(daemon!, seeded); // it was started
      const [program = '', ...first] = own();
      const args = [
        'backup',
        'run',
        '-q',
        '--machine',
        'm',
        ...daemon!.options,
        '--scratch',
        path('scratch'),
      ]; // it runs
      const runner = spawn(program, [...first, ...args], { stdio: ['ignore', 'pipe', 'pipe'] });
      const ended = once(runner, 'exit');
      // From the first thing that it makes in the daemon on, which is the time that matters.
      while (runner.exitCode === null && JSON.stringify(await daemon!.traces()) === JSON.stringify(nothing));
      const victim = seeded.below(4);
      await new Promise((resolve) => setTimeout(resolve, seeded.below(150)));
      if (victim === 0) {
        await daemon!.kill();
        await ended;
        await start();
      } else if (victim === 1) runner.kill('SIGTERM');
      else if (victim === 2) runner.kill('SIGKILL');
      await model.writeRandomly(daemon!, seeded, 3);
      await ended;
      if (victim === 1 || victim === 3) {
        expect(await daemon!.traces()).toEqual(nothing);
      }
    }
    expect(await live()).toMatchObject({ status: 0, stderr: '' });
    expect(await daemon!.traces()).toEqual(nothing);
    expect(await restored()).toBe(model.states.at(-1));
    const { stdout } = await backup('snapshots', '--output', 'json');
    for (const { id } of JSON.parse(stdout) as { id: string }[])
      expect(model.states).toContain(await restored(id));
    expect(await backup('check', '--read-data')).toMatchObject({ status: 0 });
    if (!haveRestic) return;
    // Locks of those that were killed: restic does not look at them by itself.
    run('restic', '-q', '--no-cache', 'unlock');
    run('restic', '-q', '--no-cache', 'check', '--read-data');
  });

  testOf('failure', 'takes everything down when it cannot be', async () => {
    const running = await start();
    const model = newModel();
    await model.writeRandomly(daemon!, new Seeded(3), 4);
    expect(await live('a', 'nobody')).toMatchObject({
      status: 1,
      stderr: expect.stringContaining("there is no device or node 'nobody'"),
    });
    expect(await live('x=a', 'x=b')).toMatchObject({
      status: 1,
      stderr: expect.stringContaining("called 'x'"),
    });
    rmSync(path('repository/data'), { recursive: true });
    writeFileSync(path('repository/data'), '');
    expect(await live()).toMatchObject({ status: 1 });
    expect(await running.traces()).toEqual(nothing);
    expect(await running.bitmaps('a')).toEqual([]);
    expect(readdirSync(path('scratch'))).toEqual([]);
  });
});

describe('backup run of images that nobody has open', () => {
  const closed = (more = ''): Promise<Outcome> =>
    backup('run', '--machine', 'm', '--image-opts', `a=driver=qcow2,file.filename=${path('a.qcow2')}${more}`);
  const write = async (model: LiveModel, pattern: number, offset: number): Promise<void> => {
    const command = `write -P ${pattern} ${offset} 64k`;
    expect(await runOwn('qemu-io', ['-f', 'qcow2', '-c', command, path('a.qcow2')])).toMatchObject({
      status: 0,
    });
    model.apply('a', pattern, offset, 64 * kib);
  };
  const start = async (): Promise<LiveDaemon> => {
    const disk = disks().slice(0, 1);
    daemon = await LiveDaemon.start({ kind: 'system', command: [...own(), 'system'], folder, disks: disk });
    return daemon;
  };
  const live = (): Promise<Outcome> =>
    backup('run', '--machine', 'm', ...daemon!.options, '--scratch', path('scratch')); // it was started
  const latest = async (): Promise<string> => {
    mkdirSync(path('out'));
    expect(await backup('restore', '-q', 'latest', path('out'))).toMatchObject({ status: 0, stderr: '' });
    const content = new Map([['a', readFileSync(path('out/a.raw'))]]);
    rmSync(path('out'), { recursive: true });
    return stateOf(content);
  };

  test('goes on from the bitmap that one has, and others go on from it', async () => {
    const model = new LiveModel(['a'], diskBytes);
    const running = await start();
    await model.writeRandomly(running, new Seeded(17), 6);
    expect(await live()).toMatchObject({ status: 0, stderr: '' });
    await running.stop();
    await write(model, 3, mib);
    const first = await closed();
    expect(first).toMatchObject({ status: 0, stderr: '' });
    // And the last chunk, in any case, unless that is known to be zero.
    expect(first.stdout).toMatch(/^a: read 1(\.06)? MiB of 5\.06 MiB, written since \w{8}\nsnapshot /);
    expect(await latest()).toBe(model.states.at(-1));
    expect((await closed()).stdout).toMatch(/^a: read (64 KiB|0 B) of /);
    await write(model, 4, 3 * mib);
    // Used, and left as it is.
    for (let time = 0; time < 2; time++)
      expect((await closed(',read-only=on')).stdout).toMatch(/^a: read 1(\.06)? MiB of /);
    expect(await latest()).toBe(model.states.at(-1));
    const again = await start();
    expect(await again.bitmaps('a')).toHaveLength(2);
    await again.write('a', 5, 2 * mib, 512);
    model.apply('a', 5, 2 * mib, 512);
    expect((await live()).stdout).toMatch(/^a: read 2(\.06)? MiB of .*, written since /);
    expect(await latest()).toBe(model.states.at(-1));
    await again.stop();
    expect(await backup('check', '--read-data')).toMatchObject({ status: 0 });
  });

  test('leaves the bitmap as it is when it cannot be written, and loses nothing', async () => {
    const model = new LiveModel(['a'], diskBytes);
    const running = await start();
    await model.writeRandomly(running, new Seeded(18), 6);
    expect(await live()).toMatchObject({ status: 0 });
    await running.stop();
    await write(model, 3, mib);
    // Somebody else reads it, and lets nobody write.
    const graph = createGraph({ platform: nodePlatform, drivers });
    const node = await graph.openFile(path('a.qcow2'), { format: 'qcow2', flags: { readOnly: true } });
    const reader = await attachUser(node, { exclusive: true });
    const held = await closed();
    expect(held.status).toBe(0);
    expect(held.stderr).toContain("the bitmap of 'a' was not advanced, so that more is read the next time");
    await reader.close();
    expect(await latest()).toBe(model.states.at(-1));
    await write(model, 4, 3 * mib);
    const { stdout, stderr } = await closed();
    expect({ stdout, stderr }).toEqual({
      stdout: expect.stringMatching(/^a: read 2(\.06)? MiB of .*, written since /),
      stderr: '',
    });
    expect(await latest()).toBe(model.states.at(-1));
    expect(await backup('check', '--read-data')).toMatchObject({ status: 0 });
  });

  test('reads all of an image that was shortened, and of one whose bitmap is another repository’s', async () => {
    const model = new LiveModel(['a'], diskBytes);
    const running = await start();
    await running.write('a', 7, 0, diskBytes);
    expect(await live()).toMatchObject({ status: 0 });
    await running.stop();
    for (const size of [3 * mib, diskBytes])
      expect(
        await runOwn('blockyard img', ['resize', '-f', 'qcow2', '--shrink', path('a.qcow2'), String(size)]),
      ).toMatchObject({ status: 0 });
    model.apply('a', 7, 0, 3 * mib);
    const { stdout } = await closed();
    expect(stdout).toMatch(/^snapshot /);
    expect(await latest()).toBe(model.states.at(-1));
    vi.stubEnv('RESTIC_REPOSITORY', path('another'));
    expect(await backup('init')).toMatchObject({ status: 0 });
    expect((await closed()).stdout).toMatch(/^snapshot /);
    expect(await latest()).toBe(model.states.at(-1));
  });
});

describe('backup run --qmp refuses', () => {
  test('a socket where nobody listens, and images', async () => {
    const at = (...args: string[]): Promise<Outcome> => backup('run', '--machine', 'm', ...args);
    expect((await at('--qmp', path('none'))).stderr).toContain('Failed to connect');
    expect((await at('--qmp', path('none'), '-f', 'raw')).stderr).toContain('devices and nodes, not images');
    expect((await at('--scratch', path('none'), path('b.raw'))).stderr).toContain('of use only with --qmp');
  });
});
