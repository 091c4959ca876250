/**
 * Random sequences of operations on vmdk images of all kinds that can be written anywhere, in turns by ours and by the
 * real qemu-io. After every turn the disk must read as an array of bytes does, and each side's check must find nothing wrong.
 *
 * VMDK_SEQUENCES sets how many sequences are run, VMDK_FIRST the seed of the first one.
 */
import { describe, expect } from 'vitest';
import type { BlockBackend } from '../../host/block/backend.ts';
import type { BlockGraph } from '../../host/block/graph.ts';
import { Perm } from '../../host/block/permissions.ts';
import { drivers } from '../../host/drivers.ts';
import { createGraph } from '../../host/graph.ts';
import { nodePlatform } from '../../host/platform/node/index.ts';
import { applyByOurs, expectReads } from '../support/apply-operations.ts';
import { attachAlone } from '../support/attach.ts';
import { DiskModel, inventTurn } from '../support/disk-model.ts';
import { applyByQemu, run } from '../support/qemu.ts';
import { scratchDirectory } from '../support/scratch.ts';
import { Seeded } from '../support/seeded.ts';
import { testSeeds } from '../support/seeds.ts';
import { haveQemu } from '../support/tools.ts';

const turns = 4;
const operationsPerTurn = 20;
const diskBytes = 1 << 20;

const path = scratchDirectory();

async function openOurs(graph: BlockGraph, filename: string): Promise<BlockBackend> {
  const file = { driver: 'file', filename };
  return attachAlone(await graph.open({ driver: 'vmdk', discard: 'unmap', file }), Perm.all);
}

async function checkByOurs(graph: BlockGraph, filename: string): Promise<void> {
  const file = { driver: 'file', filename };
  const node = await graph.open({ driver: 'vmdk', file }, { check: true, readOnly: true });
  const lines: string[] = [];
  const fix = { leaks: false, errors: false };
  const result = await node.definition.check!(node.driver, { fix, report: (line) => void lines.push(line) });
  await graph.unref(node);
  expect(lines).toEqual([]);
  expect(result).toMatchObject({ checkErrors: 0, corruptions: 0 });
}

/** Made by the real one, on a parent or not; gives what it reads as. */
function makeImage(random: Seeded, seed: number): { file: string; content: Uint8Array } {
  const file = path(`${seed}.vmdk`);
  const content = new Uint8Array(diskBytes);
  const kinds = [
    'monolithicSparse',
    'monolithicSparse',
    'monolithicFlat',
    'twoGbMaxExtentSparse',
    'twoGbMaxExtentFlat',
  ];
  const kind = random.pick(kinds);
  const options = [`subformat=${kind}`];
  const parent: string[] = [];
  if (!kind.endsWith('Flat')) {
    if (random.oneIn(2)) options.push('zeroed_grain=on');
    if (random.oneIn(2)) {
      const base = path(`${seed}-base.vmdk`);
      run('qemu-img', 'create', '-q', '-f', 'vmdk', base, String(diskBytes));
      run('qemu-io', '-c', 'write -q -P 170 100k 500k', base);
      content.fill(170, 100 << 10, 600 << 10);
      parent.push('-b', base, '-F', 'vmdk');
    }
  }
  run('qemu-img', 'create', '-q', '-f', 'vmdk', '-o', options.join(','), ...parent, file, String(diskBytes));
  return { file, content };
}

async function runSequence(seed: number): Promise<void> {
  const graph = createGraph({ platform: nodePlatform, drivers, emit: () => {} });
  const random = new Seeded(seed);
  const { file, content } = makeImage(random, seed);
  // Discards change nothing, as on images of version 2 of qcow2 with a backing file.
  const model = new DiskModel({ clusterBytes: 65_536, version: 2, backingBytes: diskBytes }, content);
  for (let turn = 0; turn < turns; turn++) {
    const ours = (turn + seed) % 2 === 0;
    const operations = inventTurn(random, model, undefined, operationsPerTurn, !ours);
    if (ours) {
      const backend = await openOurs(graph, file);
      await applyByOurs(backend, model, operations);
      await expectReads(backend, 0, model.content);
      await backend.close();
      run('qemu-img', 'check', '-f', 'vmdk', file);
    } else {
      applyByQemu(file, { driver: 'vmdk' }, model, operations);
    }
    await checkByOurs(graph, file);
    const backend = await openOurs(graph, file);
    await expectReads(backend, 0, model.content);
    await backend.close();
    const copy = path(`${seed}.raw`);
    run('qemu-img', 'convert', '-O', 'raw', file, copy);
    const raw = await attachAlone(
      await graph.openFile(copy, { format: 'raw', flags: { readOnly: true } }),
      Perm.consistentRead,
    );
    await expectReads(raw, 0, model.content);
    await raw.close();
  }
}

describe.skipIf(!haveQemu)('vmdk images that are written in turns', () => {
  const count = Number(process.env['VMDK_SEQUENCES'] ?? 6);
  testSeeds({ first: Number(process.env['VMDK_FIRST'] ?? 1), count, batch: 5 }, runSequence);
});
