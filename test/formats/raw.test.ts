import { beforeEach, describe, expect, test } from 'vitest';
import type { BlockBackend } from '../../host/block/backend.ts';
import { BlockGraph } from '../../host/block/graph.ts';
import { drivers } from '../../host/drivers.ts';
import { createSimulation } from '../../host/platform/sim/index.ts';
import { attachAlone } from '../support/attach.ts';

let graph: BlockGraph;

beforeEach(async () => {
  graph = new BlockGraph({ platform: createSimulation(1, { latency: 'instant' }).platform, drivers });
  await graph.open({ driver: 'memory', 'node-name': 'store', size: 1_000_448 });
});

async function open(options: Record<string, unknown>): Promise<BlockBackend> {
  const node = await graph.open({ driver: 'raw', file: 'store', ...options });
  return attachAlone(node);
}

describe('a window on a file', () => {
  test('shows the bytes from its offset on, and writes them there', async () => {
    const window = await open({ offset: 4096, size: 8192 });
    expect(window.length).toBe(8192);
    await window.write(0, new Uint8Array(512).fill(7));
    await window.close();
    const whole = await open({});
    const read = new Uint8Array(512);
    await whole.read(4096, read);
    expect(read.every((byte) => byte === 7)).toBe(true);
  });

  test('without a size reaches to the end of the file', async () => {
    for (const [offset, length] of [
      [448, 1_000_000],
      [1_000_448, 0],
    ] as const) {
      const window = await open({ offset });
      expect(window.length).toBe(Math.ceil(length / 512) * 512);
      await window.close();
    }
  });

  test.each([
    [{ offset: 2_000_000 }, 'Offset (2000000) cannot be greater than size of the containing file (1000448)'],
    [
      { size: 2_000_000 },
      'The sum of offset (0) and size (2000000) has to be smaller or equal to the  actual size of the containing file (1000448)',
    ],
    [{ size: 1000 }, 'Specified size is not multiple of 512'],
  ])('refuses %j', async (options, message) => {
    await expect(open(options)).rejects.toThrow(message);
    expect(graph.nodes().map(({ name }) => name)).toEqual(['store']);
  });

  test('of fixed size cannot be resized, and one without can', async () => {
    const fixed = await open({ size: 4096 });
    await expect(fixed.truncate(8192)).rejects.toThrow('Cannot resize fixed-size raw disks');
    await fixed.close();
    const free = await open({ offset: 512 });
    await free.truncate(2_000_384);
    expect(free.length).toBe(2_000_384);
  });
});
