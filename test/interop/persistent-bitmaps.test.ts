/**
 * Persistent dirty bitmaps go back and forth between real QEMU and ours: what one has stored, the other loads, records
 * into and stores again, and the image is clean all the way.
 */
import { spawnSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { Perm } from '../../host/block/permissions.ts';
import { attach } from '../support/attach.ts';
import { run } from '../support/qemu.ts';
import { type QmpSession, startOurs, startQemu } from '../support/qmp-sessions.ts';
import { scratchDirectory } from '../support/scratch.ts';
import { haveQemu, haveQemuSystem } from '../support/tools.ts';
import { kib, mib } from '../support/units.ts';

const scratch = scratchDirectory();

interface BitmapState {
  name: string;
  recording: boolean;
  persistent: boolean;
  granularity: number;
  count: number;
  inconsistent?: true;
}

/** One monitor with the image open as node `n`. */
class Side {
  private constructor(
    private readonly session: QmpSession,
    private readonly writeBytes: (offset: number, bytes: number) => Promise<void>,
  ) {}

  static async real(image: string, options: object = {}): Promise<Side> {
    const side: Side = new Side(startQemu(scratch('.')), async (offset, bytes) => {
      const line = `qemu-io n "write ${offset} ${bytes}"`;
      await side.execute('human-monitor-command', { 'command-line': line });
    });
    return side.open(image, options);
  }

  static async ours(image: string, options: object = {}): Promise<Side> {
    const session = startOurs(scratch('.'));
    const side = new Side(session, async (offset, bytes) => {
      const backend = await attach(session.server.graph.getNode('n'), Perm.write);
      await backend.write(offset, new Uint8Array(bytes).fill(1));
      await backend.close();
    });
    return side.open(image, options);
  }

  private async open(image: string, options: object): Promise<this> {
    await this.session.next();
    await this.execute('qmp_capabilities');
    const file = { driver: 'file', filename: image };
    await this.execute('blockdev-add', { driver: 'qcow2', 'node-name': 'n', file, ...options });
    return this;
  }

  async tryTo(execute: string, args: object = {}): Promise<{ return?: unknown; error?: { desc: string } }> {
    this.session.send(JSON.stringify({ execute, arguments: args }));
    for (;;) {
      const line = await this.session.next();
      if (!line.startsWith('{')) continue;
      const answer = JSON.parse(line) as { return?: unknown; error?: { desc: string } };
      if ('return' in answer || 'error' in answer) return answer;
    }
  }

  async execute<T>(execute: string, args: object = {}): Promise<T> {
    const answer = await this.tryTo(execute, args);
    if (answer.error) throw new Error(`${execute}: ${answer.error.desc}`);
    return answer.return as T;
  }

  write(offset: number, bytes: number): Promise<void> {
    return this.writeBytes(offset, bytes);
  }

  bitmap(command: string, name: string, more: object = {}): Promise<unknown> {
    return this.execute(`block-dirty-bitmap-${command}`, { node: 'n', name, ...more });
  }

  async node(): Promise<Record<string, unknown>> {
    const nodes = await this.execute<Record<string, unknown>[]>('query-named-block-nodes', { flat: true });
    return nodes.find((node) => node['node-name'] === 'n')!;
  }

  /** All bitmaps in the order of the query, with the hashes of those that have one. */
  async bitmaps(): Promise<(BitmapState & { sha256?: string })[]> {
    const list = ((await this.node())['dirty-bitmaps'] ?? []) as BitmapState[];
    const result: (BitmapState & { sha256?: string })[] = [];
    for (const state of list) {
      if (state.inconsistent) result.push(state);
      else {
        const args = { node: 'n', name: state.name };
        const { sha256 } = await this.execute<{ sha256: string }>('x-debug-block-dirty-bitmap-sha256', args);
        result.push({ ...state, sha256 });
      }
    }
    return result;
  }

  async storedBitmaps(): Promise<unknown> {
    const { image } = (await this.node()) as {
      image: { 'format-specific': { data: { bitmaps?: unknown } } };
    };
    return image['format-specific'].data.bitmaps;
  }

  /** Takes the node away in good order, which stores what is persistent. */
  async close(): Promise<void> {
    await this.execute('blockdev-del', { 'node-name': 'n' });
    await this.kill();
  }

  kill(): Promise<void> {
    return this.session.close();
  }
}

const sides = [
  { name: 'QEMU', open: Side.real, other: Side.ours },
  { name: 'ours', open: Side.ours, other: Side.real },
];

function createImage(name: string, size: string, ...options: string[]): string {
  const image = scratch(`${name}.qcow2`);
  run('qemu-img', 'create', '-q', '-f', 'qcow2', ...options, image, size);
  return image;
}

function storedIn(image: string): unknown {
  const info = JSON.parse(run('qemu-img', 'info', '--output=json', image));
  return info['format-specific'].data.bitmaps;
}

function checkClean(image: string): void {
  expect(run('qemu-img', 'check', image)).toContain('No errors were found on the image.');
}

const sorted = <T extends { name: string }>(list: readonly T[]): T[] =>
  [...list].sort((a, b) => (a.name < b.name ? -1 : 1));

describe.skipIf(!haveQemu || !haveQemuSystem)('persistent bitmaps', () => {
  for (const { name, open, other } of sides) {
    test(`that ${name} has stored come up the same on the other side, and back`, async () => {
      const image = createImage(`there-and-back-${name}`, '64M');
      const first = await open(image);
      await first.bitmap('add', 'fine', { granularity: 512, persistent: true });
      await first.bitmap('add', 'coarse', { granularity: mib, persistent: true });
      await first.bitmap('add', 'off', { persistent: true, disabled: true });
      await first.bitmap('add', 'transient', {});
      await first.write(0, 512);
      await first.write(5 * mib + 512, 100 * kib);
      await first.write(64 * mib - 512, 512);
      const stored = (await first.bitmaps()).filter(({ persistent }) => persistent);
      await first.close();
      checkClean(image);
      expect(storedIn(image)).toHaveLength(3);

      const second = await other(image);
      expect(sorted(await second.bitmaps())).toEqual(sorted(stored));
      await second.write(20 * mib, mib);
      await second.bitmap('enable', 'off');
      await second.bitmap('remove', 'coarse');
      const changed = await second.bitmaps();
      await second.close();
      checkClean(image);

      const third = await open(image);
      expect(sorted(await third.bitmaps())).toEqual(sorted(changed));
      await third.bitmap('clear', 'fine');
      await third.close();
      checkClean(image);
      expect(storedIn(image)).toHaveLength(2);
    });

    test(`that ${name} did not come to store are inconsistent on the other side`, async () => {
      const image = createImage(`killed-${name}`, '64M');
      const first = await open(image);
      await first.bitmap('add', 'b', { persistent: true });
      await first.close();
      const second = await open(image, { 'force-share': false });
      await second.write(0, 512);
      await second.bitmap('add', 'never stored', { persistent: true });
      expect(await second.storedBitmaps()).toEqual([
        { flags: ['in-use', 'auto'], name: 'b', granularity: 65536 },
      ]);
      // Ours has no process of its own to kill: what it leaves behind at this moment is what it has written.
      const left = scratch(`left-${name}.qcow2`);
      run('cp', image, left);
      await second.kill();
      checkClean(left);

      const third = await other(left);
      expect(await third.bitmaps()).toMatchObject([
        { name: 'b', inconsistent: true, recording: false, count: 0 },
      ]);
      expect(await third.tryTo('block-dirty-bitmap-clear', { node: 'n', name: 'b' })).toMatchObject({
        error: { desc: "Bitmap 'b' is inconsistent and cannot be used" },
      });
      await third.close();
      expect(storedIn(left)).toMatchObject([{ flags: ['in-use', 'auto'], name: 'b' }]);
      const fourth = await other(left);
      await fourth.bitmap('remove', 'b');
      await fourth.close();
      expect(storedIn(left)).toBeUndefined();
      checkClean(left);
    });
  }

  test('of many clusters and an odd size survive the way there and back', async () => {
    const image = createImage(
      'small-clusters',
      `${37 * mib + 512}`,
      '-o',
      'cluster_size=512,refcount_bits=1',
    );
    const real = await Side.real(image);
    for (let index = 0; index < 40; index++) {
      await real.bitmap('add', `bitmap ${index} with a name of some length`, {
        granularity: 512,
        persistent: true,
      });
      await real.write(index * mib, 3 * 512);
    }
    const stored = await real.bitmaps();
    await real.close();
    const ours = await Side.ours(image);
    expect(sorted(await ours.bitmaps())).toEqual(sorted(stored));
    await ours.write(37 * mib, 512);
    const changed = await ours.bitmaps();
    await ours.close();
    checkClean(image);
    const again = await Side.real(image);
    expect(sorted(await again.bitmaps())).toEqual(sorted(changed));
    await again.close();
  });

  test('refuse the same things with the same words', async () => {
    const answers: unknown[] = [];
    for (const { name, open } of sides) {
      const image = createImage(`refusals-${name}`, '10M');
      run('qemu-img', 'bitmap', '--add', image, 'b');
      const log: unknown[] = [];
      const side = await open(image, { 'read-only': true });
      for (const [command, bitmap, more] of [
        ['add', 'b', { persistent: true }],
        ['remove', 'b', {}],
        ['clear', 'b', {}],
        ['disable', 'b', {}],
        ['enable', 'b', {}],
        ['add', 'e', { persistent: true }],
        ['remove', 'e', {}],
        ['add', 'n'.repeat(1024), { persistent: true }],
      ] as const) {
        log.push(await side.tryTo(`block-dirty-bitmap-${command}`, { node: 'n', name: bitmap, ...more }));
      }
      await side.close();
      expect(storedIn(image)).toMatchObject([{ flags: ['auto'], name: 'b' }]);
      const old = createImage(`refusals-old-${name}`, '10M', '-o', 'compat=0.10');
      const second = await open(old);
      log.push(await second.tryTo('block-dirty-bitmap-add', { node: 'n', name: 'b', persistent: true }));
      await second.close();
      const large = createImage(`refusals-large-${name}`, '8T');
      const third = await open(large);
      const args = { node: 'n', name: 'b', persistent: true, granularity: 512 };
      log.push(await third.tryTo('block-dirty-bitmap-add', args));
      await third.close();
      answers.push(log);
    }
    expect(answers[1]).toEqual(answers[0]);
  });

  test('go through transactions, reopens and resizes with the same outcomes', async () => {
    const outcomes: unknown[] = [];
    for (const { name, open } of sides) {
      const image = createImage(`life-${name}`, '10M');
      run('qemu-img', 'bitmap', '--add', image, 'a');
      run('qemu-img', 'bitmap', '--add', image, 'b');
      const log: unknown[] = [];
      const side = await open(image);
      const look = async (): Promise<void> => {
        log.push(await side.bitmaps(), await side.storedBitmaps());
      };
      const transaction = async (...actions: [type: string, data: object][]): Promise<void> => {
        const list = actions.map(([type, data]) => ({ type, data: { node: 'n', ...data } }));
        log.push(await side.tryTo('transaction', { actions: list }));
        await look();
      };
      const remove = 'block-dirty-bitmap-remove';
      const add = 'block-dirty-bitmap-add';
      const fail: [string, object] = ['block-dirty-bitmap-clear', { name: 'no such' }];
      await side.write(0, mib);
      await transaction([remove, { name: 'a' }], fail);
      await transaction([remove, { name: 'a' }], [add, { name: 'a', persistent: true }]);
      await transaction([add, { name: 'new', persistent: true }], fail);
      await transaction([add, { name: 'new', persistent: true }], [remove, { name: 'b' }]);
      const reopen = async (readOnly: boolean): Promise<void> => {
        const file = { driver: 'file', filename: image };
        const options = [{ driver: 'qcow2', 'node-name': 'n', 'read-only': readOnly, file }];
        log.push(await side.tryTo('blockdev-reopen', { options }));
        await look();
      };
      await reopen(true);
      checkClean(image);
      await side.bitmap('disable', 'new');
      log.push(await side.tryTo('block-dirty-bitmap-clear', { node: 'n', name: 'a' }));
      await reopen(false);
      await side.write(5 * mib, mib);
      await look();
      log.push(await side.tryTo('block_resize', { 'node-name': 'n', size: 20 * mib }));
      await side.write(15 * mib, mib);
      await look();
      log.push(await side.tryTo('block_resize', { 'node-name': 'n', size: 512 * kib }));
      await look();
      await side.close();
      checkClean(image);
      log.push(storedIn(image));
      const again = await open(image);
      log.push(await again.bitmaps());
      await again.close();
      outcomes.push(log);
    }
    expect(outcomes[1]).toEqual(outcomes[0]);
  });

  test('that are inconsistent are refused with the same words', async () => {
    const image = createImage('lost', '10M');
    run('qemu-img', 'bitmap', '--add', image, 'b');
    run('qemu-img', 'bitmap', '--add', image, 'another');
    spawnSync('qemu-io', ['-c', 'write 0 1k', '-c', 'abort', image]);
    const outcomes: unknown[] = [];
    for (const { name, open } of sides) {
      const copy = scratch(`lost-${name}.qcow2`);
      run('cp', image, copy);
      const log: unknown[] = [];
      for (const readOnly of [true, false]) {
        const side = await open(copy, { 'read-only': readOnly });
        for (const command of ['add', 'clear', 'enable', 'disable', 'remove']) {
          const args = { node: 'n', name: 'b', ...(command === 'add' ? { persistent: true } : {}) };
          if (command === 'remove')
            log.push(await side.tryTo('block_resize', { 'node-name': 'n', size: 20 * mib }));
          log.push(await side.tryTo(`block-dirty-bitmap-${command}`, args), await side.storedBitmaps());
        }
        await side.close();
      }
      checkClean(copy);
      outcomes.push(log);
    }
    expect(outcomes[1]).toEqual(outcomes[0]);
  });

  test('are forgotten, with a warning, when a program that does not know them has written', async () => {
    const image = createImage('stale', '10M');
    run('qemu-img', 'bitmap', '--add', image, 'b');
    const bytes = readFileSync(image);
    bytes[95] = 0; // autoclear bit 0: the bitmaps extension is valid
    writeFileSync(image, bytes);
    const ours = await Side.ours(image);
    expect(await ours.bitmaps()).toEqual([]);
    await ours.bitmap('add', 'b', { persistent: true });
    await ours.write(0, 512);
    const stored = await ours.bitmaps();
    await ours.close();
    run('qemu-img', 'check', '-q', '-r', 'leaks', image);
    const real = await Side.real(image);
    expect(await real.bitmaps()).toEqual(stored);
    await real.close();
    checkClean(image);
  });
});
