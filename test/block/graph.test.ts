import { beforeEach, describe, expect, test } from 'vitest';
import { BlockError } from '../../host/base/errors.ts';
import { BlockBackend } from '../../host/block/backend.ts';
import { BlockGraph } from '../../host/block/graph.ts';
import { unobserved } from '../../host/block/graph-observer.ts';
import { Perm } from '../../host/block/permissions.ts';
import { type ArrayDisk, arrayGraph, arrayProtocol } from '../support/array-driver.ts';

let disks: ArrayDisk[];
let graph: BlockGraph;

beforeEach(() => {
  ({ graph, disks } = arrayGraph());
});

const user = (perm: number, shared: number = Perm.all, name = 'root') => ({
  name,
  description: `user '${name}'`,
  perm,
  shared,
});

describe('names', () => {
  test('are unique', async () => {
    await graph.open({ driver: 'array', 'node-name': 'a' });
    await expect(graph.open({ driver: 'array', 'node-name': 'a' })).rejects.toThrow(
      "Duplicate nodes with node-name='a'",
    );
  });

  test.each([
    ['', "Invalid node-name: ''"],
    ['1a', "Invalid node-name: '1a'"],
    ['a b', "Invalid node-name: 'a b'"],
    [`a${'b'.repeat(31)}`, 'Node name too long'],
  ])('refuse %j', async (name, message) => {
    await expect(graph.open({ driver: 'array', 'node-name': name })).rejects.toThrow(message);
    expect(graph.nodes()).toEqual([]);
  });

  test('are made up when none is given', async () => {
    const node = await graph.open({ driver: 'array' });
    expect(node.name).toMatch(/^#block\d{3}$/);
  });
});

describe('opening', () => {
  test('refuses an unknown driver and unknown options by name', async () => {
    await expect(graph.open({ driver: 'zz' })).rejects.toThrow("Unknown driver 'zz'");
    await expect(graph.open({ driver: 'array', foo: 1 })).rejects.toThrow(
      "Block protocol 'array' doesn't support the option 'foo'",
    );
  });

  test('closes the children it opened when it fails', async () => {
    await expect(graph.open({ driver: 'pass', file: { driver: 'array' }, 'node-name': '1' })).rejects.toThrow(
      'Invalid node-name',
    );
    await expect(graph.open({ driver: 'pass', file: { driver: 'array' }, bar: 1 })).rejects.toThrow('bar');
    expect(graph.nodes()).toEqual([]);
  });

  test('keeps a node as long as somebody references it', async () => {
    const base = await graph.open({ driver: 'array', 'node-name': 'base' });
    const top = await graph.open({ driver: 'pass', 'node-name': 'top', file: 'base' });
    await graph.unref(base);
    expect(graph.findNode('base')).toBe(base);
    await graph.unref(top);
    expect(graph.nodes()).toEqual([]);
    expect(disks[0]!.log.at(-1)).toBe('close');
  });
});

describe('closing', () => {
  test('closes the driver although what belongs to the node could not be kept', async () => {
    const lost = new BlockError('ENOSPC');
    const keeper = { ...unobserved, nodeClosing: () => Promise.reject(lost) };
    const { platform } = graph;
    const observed = new BlockGraph({ platform, drivers: [arrayProtocol(disks)], observer: keeper });
    const node = await observed.open({ driver: 'array' });
    await expect(observed.unref(node)).rejects.toBe(lost);
    expect(disks.at(-1)!.log.at(-1)).toBe('close');
    expect(observed.nodes()).toEqual([]);
  });
});

describe('permissions', () => {
  test('of one user must be shared by every other', async () => {
    const node = await graph.open({ driver: 'array', 'node-name': 'n' });
    await BlockBackend.attach(node, user(Perm.write, Perm.all & ~Perm.write, 'a'));
    await expect(BlockBackend.attach(node, user(Perm.write | Perm.resize, Perm.all, 'b'))).rejects.toThrow(
      "Permission conflict on node 'n': permissions 'write' are both required by user 'b' " +
        "(uses node 'n' as 'b' child) and unshared by user 'a' (uses node 'n' as 'a' child).",
    );
    expect(node.parents.size).toBe(1);
  });

  test('pass through filters to the node below', async () => {
    const base = await graph.open({ driver: 'array', 'node-name': 'base' });
    const top = await graph.open({ driver: 'pass', 'node-name': 'top', file: 'base' });
    await BlockBackend.attach(top, user(Perm.consistentRead, Perm.consistentRead));
    await expect(BlockBackend.attach(base, user(Perm.write))).rejects.toThrow(
      "by node 'top' (uses node 'base'",
    );
  });

  test('are given back by closing', async () => {
    const node = await graph.open({ driver: 'array', 'node-name': 'n' });
    const first = await BlockBackend.attach(node, user(Perm.write, Perm.none, 'a'));
    await first.close();
    await BlockBackend.attach(node, user(Perm.write, Perm.all, 'b'));
  });

  test('to write are refused on a read-only node', async () => {
    const node = await graph.open({ driver: 'array', 'read-only': true });
    await expect(BlockBackend.attach(node, user(Perm.write))).rejects.toThrow('Block node is read-only');
  });

  test('are needed for writing', async () => {
    const node = await graph.open({ driver: 'array' });
    const reader = await BlockBackend.attach(node, user(Perm.consistentRead));
    await expect(reader.write(0, new Uint8Array(512))).rejects.toMatchObject({ errno: 'EPERM' });
  });
});

describe('draining', () => {
  test('waits for what is in flight and holds back what comes', async () => {
    const node = await graph.open({ driver: 'array' });
    const backend = await BlockBackend.attach(node, user(Perm.write));
    const disk = disks[0]!;
    let open = (): void => {};
    disk.gate = new Promise((resolve) => (open = resolve));
    const first = backend.write(0, new Uint8Array(512));
    let drained = false;
    const drain = node.drainBegin().then(() => (drained = true));
    const second = backend.write(512, new Uint8Array(512));
    await settle();
    expect(drained).toBe(false);
    expect(disk.log).toEqual(['write 0+512']);
    open();
    disk.gate = undefined;
    await Promise.all([first, drain]);
    await settle();
    expect(disk.log).toEqual(['write 0+512']);
    node.drainEnd();
    await second;
    expect(disk.log).toEqual(['write 0+512', 'write 512+512']);
  });

  test('reaches users above filters, and users that come later', async () => {
    const base = await graph.open({ driver: 'array', 'node-name': 'base' });
    const top = await graph.open({ driver: 'pass', 'node-name': 'top', file: 'base' });
    const above = await BlockBackend.attach(top, user(Perm.write, Perm.all, 'above'));
    await base.drainBegin();
    const later = await BlockBackend.attach(base, user(Perm.write, Perm.all, 'later'));
    const writes = Promise.all([above.write(0, new Uint8Array(512)), later.write(512, new Uint8Array(512))]);
    await settle();
    expect(disks[0]!.log).toEqual([]);
    base.drainEnd();
    await writes;
    expect(disks[0]!.log.length).toBe(2);
  });
});

describe('replacing a node', () => {
  test('moves its users, their permissions and the drain with them', async () => {
    const base = await graph.open({ driver: 'array', 'node-name': 'base' });
    const backend = await BlockBackend.attach(base, user(Perm.write));
    await base.drainBegin();
    const filter = await graph.open({ driver: 'pass', 'node-name': 'filter', file: 'base' });
    await graph.replaceNode(base, filter, [filter]);
    expect(backend.node).toBe(filter);
    base.drainEnd();
    await backend.write(0, new Uint8Array(512).fill(7));
    expect(disks[0]!.bytes[0]).toBe(7);
    await base.drainBegin();
    await graph.replaceNode(filter, base);
    base.drainEnd();
    await graph.unref(filter);
    expect(graph.findNode('filter')).toBeUndefined();
    await backend.write(0, new Uint8Array(512).fill(8));
    expect(disks[0]!.bytes[0]).toBe(8);
  });
});

/** Lets everything run that can. */
async function settle(): Promise<void> {
  for (let i = 0; i < 50; i++) await Promise.resolve();
}
