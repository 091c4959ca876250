/** The throttle filter and limited devices in a graph: what is counted, and that drain never waits for the limits. */
import { beforeEach, describe, expect, test } from 'vitest';
import { BlockBackend } from '../../host/block/backend.ts';
import { filenameOf } from '../../host/block/filename.ts';
import { BlockGraph } from '../../host/block/graph.ts';
import type { BlockNode } from '../../host/block/node.ts';
import { Perm } from '../../host/block/permissions.ts';
import { blockStatus } from '../../host/block/status.ts';
import { throttle } from '../../host/filters/throttle.ts';
import { memory } from '../../host/protocols/memory.ts';
import { setBackendLimits, throttleInfo } from '../../host/throttle/backend-limits.ts';
import { unlimited } from '../../host/throttle/config.ts';
import { throttleGroupsOf } from '../../host/throttle/groups.ts';
import { mergeLimits } from '../../host/throttle/limit-names.ts';
import { type ArrayDisk, arrayProtocol } from '../support/array-driver.ts';
import { attach, attachAlone } from '../support/attach.ts';
import { VirtualPlatform } from '../support/virtual-platform.ts';

let platform: VirtualPlatform;
let graph: BlockGraph;
let disks: ArrayDisk[];

beforeEach(() => {
  platform = new VirtualPlatform();
  disks = [];
  graph = new BlockGraph({ platform, drivers: [throttle, memory, arrayProtocol(disks)] });
});

const limits = (given: Record<string, number>) => mergeLimits(unlimited, given);

function openFilter(group: string, extra: object = {}): Promise<BlockNode> {
  const file = { driver: 'array', discard: 'unmap' };
  return graph.open({
    driver: 'throttle',
    'node-name': 'th',
    'throttle-group': group,
    file,
    discard: 'unmap',
    ...extra,
  });
}

/** How many of them have settled. */
function counting(requests: readonly Promise<void>[]): { done: number } {
  const count = { done: 0 };
  for (const request of requests) void request.then(() => count.done++);
  return count;
}

describe('the throttle filter', () => {
  test('counts reads and everything that changes data, by length, and lets flushes pass', async () => {
    const groups = throttleGroupsOf(graph);
    groups.add('g', limits({ 'bps-total': 10_000 }));
    const disk = await attachAlone(await openFilter('g'));
    const page = new Uint8Array(5000);
    const requests: (() => Promise<void>)[] = [
      () => disk.read(0, page),
      () => disk.write(0, page),
      () => disk.writeZeroes(0, 5000),
      () => disk.discard(0, 5000),
    ];
    for (const request of requests) {
      await platform.advance(10e9);
      // A tenth of a second is free: 1000 bytes.
      await disk.read(0, page);
      const count = counting([request()]);
      await platform.advance(0.399e9);
      expect(count.done).toBe(0);
      await disk.flush();
      await platform.advance(0.002e9);
      expect(count.done).toBe(1);
    }
  });

  test('passes data, lengths, status and its name through', async () => {
    throttleGroupsOf(graph).add('g', unlimited);
    const node = await openFilter('g');
    const disk = await attachAlone(node);
    await disk.write(512, new Uint8Array(512).fill(9));
    const back = new Uint8Array(1024);
    await disk.read(0, back);
    expect(back).toEqual(new Uint8Array([...new Uint8Array(512), ...new Uint8Array(512).fill(9)]));
    await disk.truncate(4096);
    expect(disk.length).toBe(4096);
    expect(await blockStatus(node, 0, 4096)).toMatchObject({ bytes: 4096, data: true, allocated: true });
    expect(filenameOf(node)).toBe(
      'json:{"throttle-group": "g", "driver": "throttle", "file": {"driver": "array"}}',
    );
  });

  test('needs a group that exists', async () => {
    await expect(openFilter('zzz')).rejects.toThrow("Throttle group 'zzz' does not exist");
    expect(disks[0]!.log).toEqual(['close']);
    expect(graph.nodes()).toEqual([]);
  });

  test.each(['itself', 'its child'])('does not hold up draining %s', async (which) => {
    throttleGroupsOf(graph).add('g', limits({ 'iops-total': 1 }));
    const node = await openFilter('g');
    const disk = await attachAlone(node);
    const page = new Uint8Array(512);
    const count = counting(Array.from({ length: 20 }, () => disk.write(0, page)));
    await platform.settle();
    expect(count.done).toBeLessThan(20);
    const drained = which === 'itself' ? node : node.filtered()!;
    await drained.drainBegin();
    expect(count.done).toBe(20);
    drained.drainEnd();
    const later = counting([disk.write(0, page)]);
    await platform.advance(5e9);
    expect(later.done).toBe(0);
    await platform.advance(20e9);
    expect(later.done).toBe(1);
  });

  test('opened in a drained section is unlimited until its end', async () => {
    throttleGroupsOf(graph).add('g', limits({ 'iops-total': 1 }));
    const file = await graph.open({ driver: 'array', 'node-name': 'file' });
    await file.drainBegin();
    const node = await openFilter('g', { file: 'file' });
    const disk = await attach(node, Perm.consistentRead);
    disk.ignoreDrain = true;
    const page = new Uint8Array(512);
    for (let i = 0; i < 5; i++) await disk.read(0, page);
    file.drainEnd();
    const count = counting([disk.read(0, page)]);
    await platform.settle();
    expect(count.done).toBe(0);
    await platform.advance(10e9);
    expect(count.done).toBe(1);
  });

  test('changes its group when it is reopened', async () => {
    const groups = throttleGroupsOf(graph);
    const [slow, fast] = [groups.add('slow', limits({ 'iops-total': 1 })), groups.add('fast', unlimited)];
    const node = await openFilter('slow', {
      file: await graph.open({ driver: 'array', 'node-name': 'file' }),
    });
    const disk = await attachAlone(node);
    const count = counting(Array.from({ length: 20 }, () => disk.write(0, new Uint8Array(512))));
    await platform.settle();
    const reopen = (group: string) =>
      graph.reopen([
        { node, options: { driver: 'throttle', 'node-name': 'th', 'throttle-group': group, file: 'file' } },
      ]);
    await expect(reopen('zzz')).rejects.toThrow("Throttle group 'zzz' does not exist");
    expect([slow.isUsed, fast.isUsed]).toEqual([true, false]);
    await reopen('fast');
    await platform.settle();
    expect(count.done).toBe(20);
    expect([slow.isUsed, fast.isUsed]).toEqual([false, true]);
    await disk.close();
    expect(fast.isUsed).toBe(false);
  });
});

describe('a limited device', () => {
  async function device(name: string): Promise<BlockBackend> {
    const backend = BlockBackend.create(graph, {
      name,
      perm: Perm.consistentRead | Perm.write,
      shared: Perm.all,
    });
    const node = await graph.open({ driver: 'array' });
    await backend.insert(node);
    await graph.unref(node);
    return backend;
  }

  const choose = (group?: string) => ({ group, fallback: 'own' });

  test('waits before its requests enter the graph, and not when it is drained', async () => {
    const disk = await device('d');
    await setBackendLimits(graph, disk, limits({ 'iops-write': 10 }), choose());
    const count = counting(Array.from({ length: 50 }, () => disk.write(0, new Uint8Array(512))));
    await platform.advance(1e9);
    expect(count.done).toBe(12);
    expect(disks[0]!.log.length).toBe(12);
    await disk.node.drainBegin();
    expect(count.done).toBe(50);
    disk.node.drainEnd();
  });

  test('is in a group of its own, or in one with others, whose limits are those set last', async () => {
    const groups = throttleGroupsOf(graph);
    const [a, b] = [await device('a'), await device('b')];
    await setBackendLimits(graph, a, limits({ 'iops-total': 1 }), choose('g'));
    await setBackendLimits(graph, b, limits({ 'bps-read': 5, 'bps-read-max': 6 }), choose('g'));
    const shown = {
      bps: 0,
      bps_rd: 5,
      bps_rd_max: 6,
      bps_rd_max_length: 1,
      bps_wr: 0,
      iops: 0,
      iops_rd: 0,
      iops_wr: 0,
      group: 'g',
    };
    expect([throttleInfo(a), throttleInfo(b)]).toEqual([shown, shown]);
    await setBackendLimits(graph, b, limits({ 'bps-read': 7 }), choose('other'));
    expect([throttleInfo(a)['bps_rd'], throttleInfo(b)['bps_rd']]).toEqual([5, 7]);
    await setBackendLimits(graph, a, unlimited, choose());
    expect(throttleInfo(a)).toEqual({ bps: 0, bps_rd: 0, bps_wr: 0, iops: 0, iops_rd: 0, iops_wr: 0 });
    expect(groups.find('g')).toBeUndefined();
    await b.delete();
    expect(groups.find('other')).toBeUndefined();
  });

  test('loses its limits at once, for requests that wait as well', async () => {
    const disk = await device('d');
    await setBackendLimits(graph, disk, limits({ 'bps-total': 1 }), choose());
    const count = counting(Array.from({ length: 9 }, () => disk.read(0, new Uint8Array(4096))));
    await platform.settle();
    expect(count.done).toBe(1);
    await setBackendLimits(graph, disk, unlimited, choose());
    await platform.settle();
    expect(count.done).toBe(9);
  });

  test('leaves groups that are objects where they are', async () => {
    const groups = throttleGroupsOf(graph);
    const group = groups.add('tg', unlimited);
    const disk = await device('d');
    await setBackendLimits(graph, disk, limits({ 'iops-total': 3 }), choose('tg'));
    expect(group.config.buckets['iops-total'].avg).toBe(3);
    await setBackendLimits(graph, disk, unlimited, choose());
    expect(groups.find('tg')).toBe(group);
    expect(() => groups.add('tg', unlimited)).toThrow('A group with this name already exists');
  });
});
