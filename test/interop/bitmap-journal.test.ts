/**
 * Persistent bitmaps of a process that is killed, on real files: the next process has them with every write. Real QEMU
 * opens the image in between and sees what its own rules allow; what it has written to is not believed any more.
 */
import { existsSync } from 'node:fs';
import { afterEach, describe, expect, test } from 'vitest';
import { bundle } from '../support/cli.ts';
import { run } from '../support/qemu.ts';
import { type QmpSession, startProgram, startQemu } from '../support/qmp-sessions.ts';
import { scratchDirectory } from '../support/scratch.ts';
import { haveQemu, haveQemuSystem } from '../support/tools.ts';
import { mib } from '../support/units.ts';

const scratch = scratchDirectory();
const sessions: QmpSession[] = [];
afterEach(async () => {
  for (const session of sessions.splice(0)) await session.close();
});
let images = 0;

interface BitmapState {
  name: string;
  recording: boolean;
  count: number;
  inconsistent?: true;
}

/** A process with the image open as node `n`. */
class Process {
  private constructor(private readonly session: QmpSession) {}

  static async start(session: QmpSession, driver: string, image: string): Promise<Process> {
    sessions.push(session);
    const started = new Process(session);
    await session.next();
    await started.execute('qmp_capabilities');
    const file = { driver: 'file', filename: image };
    await started.execute('blockdev-add', { driver, 'node-name': 'n', file });
    return started;
  }

  static ours(driver: string, image: string): Promise<Process> {
    const options = [
      bundle,
      'system',
      '-nodefaults',
      '-display',
      'none',
      '-qmp',
      'stdio',
      '-machine',
      'none',
    ];
    return Process.start(startProgram(process.execPath, options, scratch('.')), driver, image);
  }

  static real(driver: string, image: string): Promise<Process> {
    return Process.start(startQemu(scratch('.')), driver, image);
  }

  async execute<T>(execute: string, args: object = {}): Promise<T> {
    this.session.send(JSON.stringify({ execute, arguments: args }));
    for (;;) {
      const line = await this.session.next();
      // What qemu-io says goes there too.
      if (!line.startsWith('{')) continue;
      const answer = JSON.parse(line) as { return?: T; error?: { desc: string } };
      if (answer.error) throw new Error(`${execute}: ${answer.error.desc}`);
      if ('return' in answer) return answer.return as T;
    }
  }

  bitmap(command: string, name: string, more: object = {}): Promise<unknown> {
    return this.execute(`block-dirty-bitmap-${command}`, { node: 'n', name, ...more });
  }

  async write(offset: number, bytes: number): Promise<void> {
    const line = `qemu-io n "write ${offset} ${bytes}"`;
    await this.execute('human-monitor-command', { 'command-line': line });
  }

  async bitmaps(): Promise<BitmapState[]> {
    type Node = { 'node-name': string; 'dirty-bitmaps'?: BitmapState[] };
    const nodes = await this.execute<Node[]>('query-named-block-nodes', { flat: true });
    return nodes.find((node) => node['node-name'] === 'n')!['dirty-bitmaps'] ?? [];
  }

  async close(): Promise<void> {
    await this.execute('blockdev-del', { 'node-name': 'n' });
    await this.kill();
  }

  kill(): Promise<void> {
    return this.session.close();
  }
}

function makeImage(format: string): { image: string; journal: string } {
  const image = scratch(`disk${images++}.${format}`);
  run('qemu-img', 'create', '-q', '-f', format, image, '64M');
  return { image, journal: `${image}.bitmaps` };
}

/** A bitmap that was stored, and then a life that ends by SIGKILL. */
async function liveAndDie(format: string, image: string): Promise<void> {
  const first = await Process.ours(format, image);
  await first.bitmap('add', 'b', { persistent: true, granularity: 65_536 });
  await first.write(10 * mib, 65_536);
  await first.close();
  const second = await Process.ours(format, image);
  expect(await second.bitmaps()).toMatchObject([{ name: 'b', count: 65_536 }]);
  await second.write(20 * mib, 65_536);
  await second.kill();
}

describe.skipIf(!haveQemu || !haveQemuSystem)(
  'bitmaps of a process that was killed',
  { timeout: 60_000 },
  () => {
    for (const format of ['qcow2', 'raw']) {
      test(`${format}: are usable and have every write`, async () => {
        const { image, journal } = makeImage(format);
        await liveAndDie(format, image);
        expect(existsSync(journal)).toBe(true);
        const next = await Process.ours(format, image);
        // What was stored, and the whole region of what was written since.
        const [state] = await next.bitmaps();
        expect(state).toMatchObject({ name: 'b', recording: true, count: mib + 65_536 });
        expect(state).not.toHaveProperty('inconsistent');
        await next.close();
        expect(existsSync(journal)).toBe(format === 'raw');
        const last = await Process.ours(format, image);
        expect(await last.bitmaps()).toMatchObject([{ name: 'b', count: mib + 65_536 }]);
        await last.bitmap('remove', 'b');
        expect(existsSync(journal)).toBe(false);
        await last.close();
      });
    }

    test('are in use to real QEMU, and no longer believed when it has written to the image', async () => {
      const { image, journal } = makeImage('qcow2');
      await liveAndDie('qcow2', image);
      const info = JSON.parse(run('qemu-img', 'info', '--output=json', image)) as {
        'format-specific': { data: { bitmaps: unknown } };
      };
      expect(info['format-specific'].data.bitmaps).toEqual([
        { flags: ['in-use', 'auto'], name: 'b', granularity: 65_536 },
      ]);
      expect(run('qemu-img', 'check', image)).toContain('No errors were found');
      // Who only reads changes nothing.
      const reader = await Process.ours('qcow2', image);
      expect((await reader.bitmaps())[0]).not.toHaveProperty('inconsistent');
      await reader.kill();

      const real = await Process.real('qcow2', image);
      expect(await real.bitmaps()).toMatchObject([{ name: 'b', inconsistent: true }]);
      // Over what is allocated: nothing in the metadata tells of it.
      await real.write(20 * mib, 65_536);
      await real.close();
      expect(existsSync(journal)).toBe(true);
      const ours = await Process.ours('qcow2', image);
      expect(await ours.bitmaps()).toMatchObject([{ name: 'b', inconsistent: true }]);
      await ours.bitmap('remove', 'b');
      await ours.bitmap('add', 'b', { persistent: true });
      await ours.kill();
      const next = await Process.ours('qcow2', image);
      expect(await next.bitmaps()).toMatchObject([{ name: 'b', count: 0 }]);
      await next.close();
      // What a kill leaks is all that there may be.
      run('qemu-img', 'check', '-q', '-r', 'leaks', image);
    });

    test('of a raw image that another program wrote to after a clean close are inconsistent', async () => {
      const image = scratch('changed.raw');
      run('qemu-img', 'create', '-q', '-f', 'raw', image, '64M');
      const first = await Process.ours('raw', image);
      await first.bitmap('add', 'b', { persistent: true });
      await first.close();
      run('qemu-io', '-f', 'raw', '-c', 'write 0 4k', image);
      const next = await Process.ours('raw', image);
      expect(await next.bitmaps()).toMatchObject([{ name: 'b', inconsistent: true }]);
      await next.close();
    });
  },
);
