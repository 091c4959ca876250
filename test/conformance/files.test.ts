/**
 * What holds for every node holds on files of this machine, too, by each way to them alone: nodes.test.ts has the same bodies on
 * storage that is simulated. On an unruly io_uring, whatever can be interrupted or cut short is, and requests fail.
 */
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { beforeEach, describe, expect, test } from 'vitest';
import type { BlockBackend } from '../../host/block/backend.ts';
import type { BlockGraph } from '../../host/block/graph.ts';
import { createGraph } from '../../host/graph.ts';
import { nodePlatform } from '../../host/platform/node/index.ts';
import type { Platform } from '../../host/platform/platform.ts';
import { Prng } from '../../host/platform/sim/prng.ts';
import { type BackEnd, backEnds, unrulyBackEnd } from '../support/back-ends.ts';
import { scratchDirectory } from '../support/scratch.ts';
import { checkAgainstModel, checkExtents, checkFailing, checkReopening, checkZeroes } from './checks.ts';
import { allDrivers, open, type Stack, stacks } from './stacks.ts';

const scratch = scratchDirectory();
let counter = 0;

/** Whose storage is files alone. */
const names = ['file', 'raw', 'qcow2', 'copy-before-write', 'quorum', 'copy-on-read', 'preallocate'] as const;

/** Its files are in a folder of their own. */
function platformOn(backEnd: BackEnd): Platform {
  const folder = scratch(`${counter++}`);
  mkdirSync(folder);
  const { files } = nodePlatform;
  return {
    ...nodePlatform,
    files: {
      open: (path, options) => backEnd.open(join(folder, path), options),
      stat: (path) => files.stat(join(folder, path)),
      unlink: (path) => files.unlink(join(folder, path)),
      identify: (path) => files.identify(join(folder, path)),
    },
  };
}

/** With what the stack refers to. */
async function makeGraph(backEnd: BackEnd, stack: Stack): Promise<BlockGraph> {
  const graph = createGraph({ platform: platformOn(backEnd), drivers: allDrivers });
  await stack.prepare?.(graph);
  return graph;
}

async function withDisk(
  backEnd: BackEnd,
  stack: Stack,
  body: (disk: BlockBackend) => Promise<void>,
): Promise<void> {
  const graph = await makeGraph(backEnd, stack);
  const disk = await open(graph, stack);
  await body(disk);
  await disk.close();
  expect(graph.nodes()).toEqual([]);
}

describe.each(backEnds.filter(({ isMixed }) => !isMixed))('by $name', (backEnd) => {
  beforeEach((context) => backEnd.require(context));

  describe.each(names)('%s', (name) => {
    const stack = stacks[name]!; // there is one for every driver

    test('gives back what was written, with many requests at once', async () => {
      await withDisk(backEnd, stack, (disk) => checkAgainstModel(disk, new Prng(1)));
    });

    test('reads zeros after write-zeroes and keeps what is beside', async () => {
      await withDisk(backEnd, stack, (disk) => checkZeroes(disk, stack));
    });

    test('describes all of itself in extents that fit together', async () => {
      await withDisk(backEnd, stack, (disk) => checkExtents(disk, stack));
    });

    test('holds what was flushed when it is opened again', async () => {
      const graph = await makeGraph(backEnd, stack);
      await checkReopening(() => open(graph, stack));
    });
  });
});

describe.each(names)('%s on an io_uring of an unruly kernel that fails', (name) => {
  const stack = stacks[name]!; // there is one for every driver

  test('fails requests with an error, never hangs, and works again when the fault is gone', async () => {
    for (let seed = 1; seed <= 10; seed++) {
      const backEnd = unrulyBackEnd(seed);
      const random = new Prng(seed);
      await withDisk(backEnd, stack, (disk) =>
        checkFailing(disk, stack, random, () =>
          backEnd.fail({
            errno: seed % 2 === 0 ? 'EIO' : 'ENOSPC',
            after: random.below(6),
            times: 1 + random.below(8),
          }),
        ),
      );
    }
  });
});
