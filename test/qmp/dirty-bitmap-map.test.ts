import { expect, test } from 'vitest';
import { Perm } from '../../host/block/permissions.ts';
import { attach } from '../support/attach.ts';
import { createServer } from '../support/qmp-server.ts';
import { kib } from '../support/units.ts';

/** The map of a bitmap of a disk of 1000 KiB that was written to in two places. */
async function mapOf(pieces: number): Promise<unknown> {
  const server = createServer();
  const run = (name: string, args: object): Promise<unknown> => server.runLocally(name, () => args);
  await run('blockdev-add', { driver: 'null-co', 'node-name': 'n', size: 1000 * kib });
  await run('block-dirty-bitmap-add', { node: 'n', name: 'b', granularity: 4 * kib });
  const node = server.graph.getNode('n');
  const guest = await attach(node, Perm.write);
  await guest.write(330 * kib, new Uint8Array(10 * kib));
  await guest.write(999 * kib, new Uint8Array(kib));
  await guest.close();
  try {
    return await run('x-block-dirty-bitmap-map', { node: 'n', name: 'b', pieces });
  } finally {
    await server.close();
  }
}

test('a bitmap is told in pieces of whole granules, the last of what is left', async () => {
  const dirty = [8 * kib, 4 * kib, 4 * kib];
  expect(await mapOf(3)).toEqual({ length: 1000 * kib, piece: 336 * kib, dirty });
  const fine = (await mapOf(4096)) as { piece: number; dirty: number[] };
  expect([fine.piece, fine.dirty.length]).toEqual([4 * kib, 250]);
  expect(fine.dirty.flatMap((bytes, i) => (bytes > 0 ? [[i, bytes]] : []))).toEqual([
    [82, 4 * kib],
    [83, 4 * kib],
    [84, 4 * kib],
    [249, 4 * kib],
  ]);
});

test.each([0, 4097])('%d pieces are refused', async (pieces) => {
  await expect(mapOf(pieces)).rejects.toThrow("Parameter 'pieces' expects a number from 1 to 4096");
});
