/**
 * Random sequences of operations on qcow2 images of all shapes, in turns by ours and by the real qemu-io. After every
 * turn the disk must read as an array of bytes does, and each side's check must find nothing wrong with what the other
 * one wrote.
 *
 * PROPERTY_SEQUENCES sets how many sequences are run, PROPERTY_FIRST the seed of the first one.
 */
import { readFileSync, rmSync, writeFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import type { BlockBackend } from '../../host/block/backend.ts';
import type { BlockGraph } from '../../host/block/graph.ts';
import { Perm } from '../../host/block/permissions.ts';
import { drivers } from '../../host/drivers.ts';
import { createGraph } from '../../host/graph.ts';
import { nodePlatform } from '../../host/platform/node/index.ts';
import { applyByOurs, expectReads } from '../support/apply-operations.ts';
import { attachAlone } from '../support/attach.ts';
import { DiskModel, type DiskShape, expectSameBytes, inventTurn } from '../support/disk-model.ts';
import { makeImage, type PropertyImage } from '../support/qcow2-images.ts';
import { applyByQemu, createByQemu, run } from '../support/qemu.ts';
import { scratchDirectory } from '../support/scratch.ts';
import { Seeded } from '../support/seeded.ts';
import { haveQemu } from '../support/tools.ts';

const sequences = Number(process.env['PROPERTY_SEQUENCES'] ?? 40);
const firstSeed = Number(process.env['PROPERTY_FIRST'] ?? 1);
const turns = 5;
const operationsPerTurn = 30;

const path = scratchDirectory();
let graph: BlockGraph;

async function openOurs(image: PropertyImage, options: object = image.options): Promise<BlockBackend> {
  const file = { driver: 'file', filename: image.file };
  const node = await graph.open({ driver: 'qcow2', discard: 'unmap', file, ...options });
  return attachAlone(node, Perm.all);
}

async function checkByOurs(image: PropertyImage): Promise<void> {
  const node = await graph.open(
    { driver: 'qcow2', file: { driver: 'file', filename: image.file } },
    { check: true, readOnly: true },
  );
  const lines: string[] = [];
  const fix = { leaks: false, errors: false };
  const result = await node.definition.check!(node.driver, { fix, report: (line) => void lines.push(line) });
  await graph.unref(node);
  expect(lines).toEqual([]);
  expect(result).toMatchObject({ checkErrors: 0, corruptions: 0, leaks: 0 });
}

async function runSequence(seed: number): Promise<void> {
  graph = createGraph({ platform: nodePlatform, drivers, emit: () => {} });
  const random = new Seeded(seed);
  const image = await makeImage(graph, path(`${seed}.qcow2`), seed, random);
  const { file, model, options } = image;
  let turn = 0;
  let side = '';
  try {
    for (; turn < turns; turn++) {
      const ours = random.below(5) < 3;
      side = ours ? 'ours' : 'qemu';
      const operations = inventTurn(random, model, image.maxBytes, operationsPerTurn, !ours);
      if (ours) {
        const backend = await openOurs(image);
        // More rounds without opening again: what is in the caches counts too.
        await applyByOurs(backend, model, operations);
        await applyByOurs(
          backend,
          model,
          inventTurn(random, model, image.maxBytes, operationsPerTurn, false),
        );
        await expectReads(backend, 0, model.content);
        await backend.close();
        run('qemu-img', 'check', '-f', 'qcow2', file);
      } else {
        // After this the refcounts of an image with lazy ones are wrong, and opening it must repair them.
        const abort = image.lazy && random.oneIn(2);
        applyByQemu(file, options, model, operations, abort);
        if (!abort) await checkByOurs(image);
        const backend = await openOurs(image, random.oneIn(2) ? {} : options);
        await expectReads(backend, 0, model.content);
        await backend.close();
        if (abort) run('qemu-img', 'check', '-f', 'qcow2', file);
      }
    }
    side = 'qemu-img convert';
    const flat = `${file}.flat`;
    run('qemu-img', 'convert', '-f', 'qcow2', '-O', 'raw', file, flat);
    expectSameBytes(readFileSync(flat), model.content, 'the whole disk');
    expect([...graph.nodes()].map((node) => node.name)).toEqual([]);
  } catch (error) {
    throw new Error(`turn ${turn} (${side}) of ${image.what}: ${(error as Error).message}`, { cause: error });
  }
  for (const suffix of ['', '.raw', '.base', '.middle', '.flat']) rmSync(`${file}${suffix}`, { force: true });
}

describe.skipIf(!haveQemu)('growing a version 2 disk over a longer backing file', () => {
  it('is refused, as by QEMU, and leaves the disk as it was', async () => {
    graph = createGraph({ platform: nodePlatform, drivers, emit: () => {} });
    const shape: DiskShape = { clusterBytes: 65536, version: 2, backingBytes: 4 << 20 };
    const file = path('v2.qcow2');
    const content = new Uint8Array(4 << 20).fill(7);
    writeFileSync(`${file}.raw`, content);
    createByQemu(file, '1M', { options: 'compat=0.10', backing: { file: `${file}.raw`, format: 'raw' } });
    const model = new DiskModel(shape, content.slice(0, 1 << 20));
    expect(() => run('qemu-io', '-c', 'truncate 2M', file)).toThrow('Operation not supported');
    const image = { file, model, maxBytes: 4 << 20, lazy: false, options: {}, what: 'version 2' };
    const backend = await openOurs(image);
    await expect(backend.truncate(2 << 20)).rejects.toMatchObject({ errno: 'ENOTSUP' });
    await expectReads(backend, 0, model.content);
    await backend.close();
    run('qemu-img', 'check', file);
    expect(run('qemu-img', 'info', file)).toContain('(1048576 bytes)');
  });
});

describe.skipIf(!haveQemu)(
  'a qcow2 disk reads as an array of bytes, whoever of us and QEMU writes to it',
  () => {
    for (let seed = firstSeed; seed < firstSeed + sequences; seed++) {
      it(`in sequence ${seed}`, () => runSequence(seed));
    }
  },
);
