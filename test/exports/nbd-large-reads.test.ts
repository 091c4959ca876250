/** Reads of any size through the NBD server and our client of it: of data, of zeros in data and of holes, and across all of them. */
import { closeSync, ftruncateSync, openSync, writeSync } from 'node:fs';
import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { BlockBackend } from '../../host/block/backend.ts';
import type { BlockGraph } from '../../host/block/graph.ts';
import { Perm } from '../../host/block/permissions.ts';
import { drivers } from '../../host/drivers.ts';
import { closeExports, exportsOf } from '../../host/exports/block-exports.ts';
import { createGraph } from '../../host/graph.ts';
import { nodePlatform } from '../../host/platform/node/index.ts';
import { scratchDirectory } from '../support/scratch.ts';

const scratch = scratchDirectory();
const unit = 128 << 10;
/** It ends within a sector. */
const length = 24 * unit + 100;

describe('a disk that an NBD server exports', () => {
  let graph: BlockGraph;
  let disk: BlockBackend;
  const content = Buffer.alloc(length);

  beforeEach(async () => {
    const path = scratch('disk');
    const fd = openSync(path, 'w');
    ftruncateSync(fd, length);
    // Of four units one is data, one is data that has zeros, one is zeros, and one is a hole.
    for (let at = 0; at < length; at += unit) {
      const kind = (at / unit) % 4;
      const end = Math.min(length, at + unit);
      if (kind < 2) content.fill(`data ${at} `, at, end);
      if (kind === 1) content.fill(0, at + 10_000, Math.min(end, at + 20_000));
      if (kind < 3) writeSync(fd, content, at, end - at, at);
    }
    closeSync(fd);
    graph = createGraph({ platform: nodePlatform, drivers, emit: () => {} });
    const file = { driver: 'file', filename: path };
    const node = await graph.open({ driver: 'raw', 'node-name': 'n', 'read-only': true, file });
    const address = { type: 'unix', path: scratch('socket') } as const;
    await exportsOf(graph).startServer(address, { maxConnections: 0, handshakeMaxSeconds: 10 });
    await exportsOf(graph).add({ id: 'e', node, writable: false, writethrough: false, name: '' });
    const remote = await graph.open({ driver: 'nbd', 'node-name': 'r', 'read-only': true, server: address });
    disk = BlockBackend.create(graph, { name: '', perm: Perm.consistentRead, shared: Perm.all });
    await disk.insert(remote);
    await graph.unref(remote);
    await graph.unref(node);
  });

  afterEach(async () => {
    await disk.close();
    await closeExports(graph);
  });

  test('is read as it is, however much at a time and however many at once', async () => {
    const range = fc.record({ offset: fc.nat(length - 1), bytes: fc.integer({ min: 1, max: 10 * unit }) });
    await fc.assert(
      fc.asyncProperty(fc.array(range, { minLength: 1, maxLength: 8 }), async (ranges) => {
        await Promise.all(
          ranges.map(async ({ offset, bytes }) => {
            const end = Math.min(length, offset + bytes);
            const buffer = Buffer.alloc(end - offset, 0xee);
            await disk.read(offset, buffer);
            expect(buffer.equals(content.subarray(offset, end))).toBe(true);
          }),
        );
      }),
      { numRuns: 40 },
    );
  });
});
