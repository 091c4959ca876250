/**
 * Internal snapshots of qcow2 images that real QEMU and we use in turns: what either makes, applies or deletes, the other
 * reads right and finds consistent.
 */
import { execFileSync, spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import type { BlockBackend } from '../../host/block/backend.ts';
import type { BlockNode } from '../../host/block/node.ts';
import { Perm } from '../../host/block/permissions.ts';
import type { InternalSnapshot, SnapshotStorage } from '../../host/block/snapshot-storage.ts';
import { applySnapshot, describeSnapshot, findSnapshot, viewSnapshot } from '../../host/block/snapshots.ts';
import { drivers } from '../../host/drivers.ts';
import { createGraph } from '../../host/graph.ts';
import { nodePlatform } from '../../host/platform/node/index.ts';
import { attachAlone } from '../support/attach.ts';
import { firstDifference } from '../support/bytes.ts';
import { scratchDirectory } from '../support/scratch.ts';
import { Seeded } from '../support/seeded.ts';
import { haveQemu, haveQemuSystem } from '../support/tools.ts';
import { kib } from '../support/units.ts';

const scratch = scratchDirectory();

function qemu(tool: 'qemu-img' | 'qemu-io', ...args: string[]): string {
  return execFileSync(tool, args, { encoding: 'utf8', stdio: 'pipe', timeout: 20_000 });
}

interface Image {
  node: BlockNode;
  backend: BlockBackend;
  storage: SnapshotStorage;
}

/** Opens the image, does something with it, and closes it. */
async function withImage<T>(path: string, act: (image: Image) => Promise<T>, readOnly = false): Promise<T> {
  const graph = createGraph({ platform: nodePlatform, drivers });
  const node = await graph.openFile(path, { format: 'qcow2', flags: { readOnly, discard: true } });
  const backend = await attachAlone(node, readOnly ? Perm.consistentRead : Perm.all);
  try {
    return await act({ node, backend, storage: node.driver.snapshots! });
  } finally {
    await backend.close();
  }
}

async function readAll(backend: BlockBackend): Promise<Uint8Array> {
  const bytes = new Uint8Array(backend.length);
  await backend.read(0, bytes);
  return bytes;
}

const made = (name: string, vmStateBytes = 0) => ({
  name,
  dateSeconds: 1_700_000_000,
  dateNanoseconds: 0,
  vmClockNs: 5_000_000_123n,
  vmStateBytes,
  icount: undefined,
});

const find = (storage: SnapshotStorage, id: string): InternalSnapshot => findSnapshot(storage, { id })!;

/** One disk with its snapshots, as it must be. */
class Turns {
  disk: Uint8Array;
  readonly kept: { id: string; name: string; disk: Uint8Array }[] = [];
  private names = 0;

  constructor(
    private readonly path: string,
    private readonly random: Seeded,
    size: number,
  ) {
    this.disk = new Uint8Array(size);
  }

  async step(): Promise<void> {
    const ours = this.random.oneIn(2);
    switch (this.random.below(6)) {
      case 0:
      case 1:
        return this.create(ours);
      case 2:
        return this.apply(ours);
      case 3:
        return this.kept.length > 3 ? this.delete(ours) : this.write(ours);
      default:
        return this.write(ours);
    }
  }

  private async write(ours: boolean): Promise<void> {
    const { random, disk, path } = this;
    const commands: string[] = [];
    const changes: { offset: number; data: Uint8Array }[] = [];
    for (let count = 1 + random.below(4); count > 0; count--) {
      const offset = random.below(disk.length / 512 - 1) * 512;
      const bytes = Math.min(disk.length - offset, (1 + random.below(100)) * 512);
      const pattern = random.below(4) === 0 ? 0 : 1 + random.below(255);
      changes.push({ offset, data: new Uint8Array(bytes).fill(pattern) });
      commands.push(
        '-c',
        pattern === 0 ? `write -z -u ${offset} ${bytes}` : `write -P ${pattern} ${offset} ${bytes}`,
      );
    }
    if (ours) {
      await withImage(path, async ({ backend }) => {
        for (const { offset, data } of changes) {
          if (data[0] === 0) await backend.writeZeroes(offset, data.length, { mayUnmap: true });
          else await backend.write(offset, data);
        }
      });
    } else qemu('qemu-io', '-d', 'unmap', ...commands, path);
    for (const { offset, data } of changes) disk.set(data, offset);
  }

  private async create(ours: boolean): Promise<void> {
    const name = `s${this.names++}`;
    if (ours) await withImage(this.path, ({ storage }) => storage.create(made(name)));
    else qemu('qemu-img', 'snapshot', '-c', name, this.path);
    const id = await withImage(this.path, async ({ storage }) => findSnapshot(storage, { name })!.id, true);
    this.kept.push({ id, name, disk: this.disk.slice() });
  }

  private async apply(ours: boolean): Promise<void> {
    if (this.kept.length === 0) return;
    const { id, name, disk } = this.random.pick(this.kept);
    if (ours) await withImage(this.path, ({ node, storage }) => applySnapshot(node, find(storage, id)));
    else qemu('qemu-img', 'snapshot', '-a', name, this.path);
    this.disk = disk.slice();
  }

  private async delete(ours: boolean): Promise<void> {
    const { id, name } = this.kept.splice(this.random.below(this.kept.length), 1)[0]!;
    if (ours) await withImage(this.path, ({ storage }) => storage.delete(find(storage, id)));
    else qemu('qemu-img', 'snapshot', '-d', name, this.path);
  }

  async verify(): Promise<void> {
    const { path } = this;
    expect(qemu('qemu-img', 'check', path)).toContain('No errors were found on the image.');
    expect(await withImage(path, ({ backend }) => readAll(backend), true)).toEqualBytes(this.disk);
    for (const [index, { id, name, disk }] of this.kept.entries()) {
      const seen = await withImage(
        path,
        async ({ node, backend, storage }) => {
          await viewSnapshot(node, find(storage, id));
          return readAll(backend);
        },
        true,
      );
      expect(seen).toEqualBytes(disk);
      // A process each: not all of them every time.
      if (index !== this.random.below(this.kept.length)) continue;
      const out = `${path}.out`;
      qemu('qemu-img', 'convert', '-l', `snapshot.name=${name}`, '-O', 'raw', path, out);
      expect(readFileSync(out)).toEqualBytes(disk);
    }
  }
}

expect.extend({
  toEqualBytes(received: Uint8Array, expected: Uint8Array) {
    const at = firstDifference(received, expected);
    return {
      pass: at < 0,
      message: () =>
        `${received.length} bytes instead of ${expected.length}, or different from byte ${at} on`,
    };
  },
});

declare module 'vitest' {
  interface Matchers<T> {
    toEqualBytes(expected: Uint8Array): T;
  }
}

describe.skipIf(!haveQemu)('a qcow2 image that real QEMU and we use in turns', () => {
  test.each([
    { seed: 1, options: 'cluster_size=4k', size: 256 * kib },
    { seed: 2, options: 'cluster_size=512', size: 100 * kib },
    { seed: 3, options: 'cluster_size=64k', size: 1024 * kib },
    { seed: 4, options: 'cluster_size=1k,compat=0.10', size: 256 * kib },
    { seed: 5, options: 'cluster_size=2k,refcount_bits=4', size: 256 * kib },
    { seed: 6, options: 'cluster_size=4k,lazy_refcounts=on,refcount_bits=64', size: 256 * kib },
  ])('has the data of every snapshot: $options', { timeout: 120_000 }, async ({ seed, options, size }) => {
    const path = scratch(`turns-${seed}.qcow2`);
    qemu('qemu-img', 'create', '-q', '-f', 'qcow2', '-o', options, path, String(size));
    const turns = new Turns(path, new Seeded(seed), size);
    for (let i = 0; i < 20; i++) {
      await turns.step();
      await turns.verify();
    }
  });

  test('lists snapshots with the same members', async () => {
    const path = scratch('list.qcow2');
    qemu('qemu-img', 'create', '-q', '-f', 'qcow2', path, '1M');
    qemu('qemu-img', 'snapshot', '-c', 'theirs', path);
    await withImage(path, ({ storage }) => storage.create(made('ours')));
    const { snapshots } = JSON.parse(qemu('qemu-img', 'info', '--output=json', path)) as {
      snapshots: object[];
    };
    const listed = await withImage(path, async ({ storage }) => storage.list().map(describeSnapshot), true);
    expect(listed).toEqual(snapshots);
    expect(Object.keys(listed[0]!)).toEqual(Object.keys(snapshots[0]!));
  });

  test('goes back to the length that the disk had', async () => {
    const path = scratch('length.qcow2');
    qemu('qemu-img', 'create', '-q', '-f', 'qcow2', '-o', 'cluster_size=512', path, '40k');
    qemu('qemu-io', '-c', 'write -P 1 0 40k', path);
    await withImage(path, async ({ node, backend, storage }) => {
      const small = await storage.create(made('small'));
      await backend.truncate(400 * kib);
      await backend.write(300 * kib, new Uint8Array(100 * kib).fill(2));
      await storage.create(made('large'));
      await applySnapshot(node, small);
      expect(backend.length).toBe(40 * kib);
    });
    expect(qemu('qemu-img', 'check', path)).toContain('No errors');
    qemu('qemu-img', 'snapshot', '-a', 'large', path);
    const large = new Uint8Array(400 * kib).fill(1, 0, 40 * kib).fill(2, 300 * kib);
    expect(await withImage(path, ({ backend }) => readAll(backend))).toEqualBytes(large);
    await withImage(path, ({ node, storage }) => applySnapshot(node, find(storage, '1')));
    qemu('qemu-img', 'convert', '-O', 'raw', path, `${path}.out`);
    expect(readFileSync(`${path}.out`)).toEqualBytes(new Uint8Array(40 * kib).fill(1));
  });
});

/** The machine emulator without a machine runs these human commands on the disk: what it printed. */
function machine(path: string, ...commands: string[]): string {
  const lines = ['{"execute":"qmp_capabilities"}'];
  for (const command of commands) {
    const args = { 'command-line': command };
    lines.push(JSON.stringify({ execute: 'human-monitor-command', arguments: args }));
  }
  lines.push('{"execute":"quit"}', '');
  const options = ['-M', 'none', '-nodefaults', '-display', 'none', '-qmp', 'stdio'];
  const { stdout } = spawnSync(
    'qemu-system-x86_64',
    [...options, '-drive', `if=none,id=d,file=${path},format=qcow2`],
    { input: lines.join('\n'), encoding: 'utf8', timeout: 20_000, killSignal: 'SIGKILL' },
  );
  return stdout
    .split('\n')
    .filter((line) => line.startsWith('{"return": "'))
    .map((line) => (JSON.parse(line) as { return: string }).return)
    .join('');
}

test.skipIf(!haveQemu || !haveQemuSystem)(
  'VM state that QEMU saved can be read here and loaded from a copy',
  async () => {
    const [theirs, ours] = [scratch('vm.qcow2'), scratch('vm-copy.qcow2')];
    for (const path of [theirs, ours]) {
      qemu('qemu-img', 'create', '-q', '-f', 'qcow2', '-o', 'cluster_size=4k', path, '1M');
      qemu('qemu-io', '-c', 'write -P 3 0 1M', path);
    }
    expect(machine(theirs, 'savevm one')).toBe('');
    const state = await withImage(
      theirs,
      async ({ storage }) => {
        const snapshot = findSnapshot(storage, { name: 'one' })!;
        const bytes = new Uint8Array(Number(snapshot.vmStateBytes));
        await storage.loadVmState(snapshot, 0, bytes);
        return bytes;
      },
      true,
    );
    expect(new TextDecoder().decode(state.subarray(0, 4))).toBe('QEVM');
    await withImage(ours, async ({ backend, storage }) => {
      for (let at = 0; at < state.length; at += 3000)
        await storage.saveVmState(at, state.subarray(at, at + 3000));
      await storage.create(made('one', state.length));
      await backend.write(0, new Uint8Array(4096));
    });
    expect(qemu('qemu-img', 'check', ours)).toContain('No errors');
    expect(machine(ours, 'loadvm one')).toBe('');
    expect(qemu('qemu-img', 'check', ours)).toContain('No errors');
    expect(await withImage(ours, ({ backend }) => readAll(backend))).toEqualBytes(
      new Uint8Array(1024 * kib).fill(3),
    );
  },
);

test.skipIf(!haveQemu || !haveQemuSystem)(
  'VM state that QEMU leaves on the disk does not show when it grows',
  async () => {
    const path = scratch('grow.qcow2');
    qemu('qemu-img', 'create', '-q', '-f', 'qcow2', '-o', 'cluster_size=512', path, '64k');
    expect(machine(path, 'savevm one', 'loadvm one')).toBe('');
    const grown = await withImage(path, async ({ backend }) => {
      await backend.truncate(256 * kib);
      return readAll(backend);
    });
    expect(grown).toEqualBytes(new Uint8Array(256 * kib));
    expect(qemu('qemu-img', 'check', path)).toContain('No errors');
  },
);
