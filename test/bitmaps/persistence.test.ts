import { describe, expect, test } from 'vitest';
import { bitmapsOf } from '../../host/bitmaps/node-bitmaps.ts';
import { saveBitmaps } from '../../host/bitmaps/persistence.ts';
import { createImage } from '../../host/block/create.ts';
import type { BlockGraph } from '../../host/block/graph.ts';
import type { BlockNode } from '../../host/block/node.ts';
import { drivers } from '../../host/drivers.ts';
import { createGraph } from '../../host/graph.ts';
import { createSimulation } from '../../host/platform/sim/index.ts';

const diskBytes = 1 << 20;

function openDisk(graph: BlockGraph, format: string): Promise<BlockNode> {
  return graph.open({ driver: format, 'node-name': 'n', file: { driver: 'file', filename: '/disk' } });
}

/**
 * What `act` does overlaps with the closing of its node, which begins with the I/O operation of that number. Returns
 * whether there was such an operation, when everything is closed and a new node has found the bitmap.
 */
async function closedAt(
  count: number,
  format: string,
  act: (node: BlockNode) => Promise<void>,
): Promise<boolean> {
  let onIo = (): void => {};
  const simulation = createSimulation(1, { latency: { minNs: 1000, maxNs: 1000 }, onIo: () => onIo() });
  return simulation.run(async () => {
    const graph = createGraph({ platform: simulation.platform, drivers });
    await createImage(graph, { filename: '/disk', format, size: diskBytes, quiet: true });
    const node = await openDisk(graph, format);
    let left = count;
    let closing: Promise<void> | undefined;
    onIo = () => {
      if (--left === 0) closing = graph.unref(node);
    };
    await act(node);
    onIo = () => {};
    const wasInTime = closing !== undefined;
    await (closing ?? graph.unref(node));
    expect(simulation.openFiles).toEqual([]);
    expect(simulation.output.stderr).toEqual([]);

    const again = await openDisk(graph, format);
    expect([...bitmapsOf(again)].map(({ name, inconsistent }) => [name, inconsistent])).toEqual([
      ['b', false],
    ]);
    await graph.unref(again);
    expect(simulation.openFiles).toEqual([]);
    return wasInTime;
  });
}

describe.each(['qcow2', 'raw'])('a node of format %s that closes', (format) => {
  test('while the journal of its first bitmap begins leaves nothing open, and stores the bitmap', async () => {
    let count = 1;
    const begin = async (node: BlockNode): Promise<void> => {
      bitmapsOf(node).add('b', { persistent: true });
      await saveBitmaps(node.graph);
    };
    while (await closedAt(count, format, begin)) count++;
    expect(count).toBeGreaterThan(10);
  });

  test('while a journal ends of which there is no need any more leaves nothing open', async () => {
    let count = 1;
    const end = async (node: BlockNode): Promise<void> => {
      const bitmaps = bitmapsOf(node);
      const unneeded = bitmaps.add('b', { persistent: true });
      await saveBitmaps(node.graph);
      unneeded.persistent = false;
      const saved = saveBitmaps(node.graph);
      unneeded.persistent = true;
      await saved;
    };
    while (await closedAt(count, format, end)) count++;
    expect(count).toBeGreaterThan(10);
  });
});
