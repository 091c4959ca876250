/**
 * Random requests to VDI and VPC images, in turns by ours and by the real qemu-io. After every turn the disk must read as
 * an array of bytes does, and both checks must be content with a VDI image.
 *
 * BLOCKS_SEQUENCES sets how many sequences are run for each kind of image, BLOCKS_FIRST the seed of the first one.
 */
import { readFileSync, rmSync } from 'node:fs';
import { describe, expect } from 'vitest';
import { createImage } from '../../host/block/create.ts';
import { drivers } from '../../host/drivers.ts';
import { createGraph } from '../../host/graph.ts';
import { nodePlatform } from '../../host/platform/node/index.ts';
import { attachAlone } from '../support/attach.ts';
import { DiskModel, expectSameBytes, inventTurn, type Operation } from '../support/disk-model.ts';
import { runOwn } from '../support/own-tools.ts';
import { applyByQemu, run } from '../support/qemu.ts';
import { scratchDirectory } from '../support/scratch.ts';
import { Seeded } from '../support/seeded.ts';
import { testSeeds } from '../support/seeds.ts';
import { haveQemu } from '../support/tools.ts';
import { mib } from '../support/units.ts';

const count = Number(process.env['BLOCKS_SEQUENCES'] ?? 2);
const first = Number(process.env['BLOCKS_FIRST'] ?? 1);
const turns = 3;
const path = scratchDirectory();

interface Kind {
  format: 'vdi' | 'vpc';
  values: Record<string, string | boolean>;
}

const kinds: Readonly<Record<string, Kind>> = {
  vdi: { format: 'vdi', values: {} },
  'static vdi': { format: 'vdi', values: { static: true } },
  vpc: { format: 'vpc', values: { force_size: true } },
  'fixed vpc': { format: 'vpc', values: { subformat: 'fixed', force_size: true } },
};

/** Those that the real one does to these formats as to an array of bytes. */
function invent(random: Seeded, model: DiskModel): Operation[] {
  const operations = inventTurn(random, model, undefined, 25, true);
  return operations.filter(({ kind }) => kind !== 'discard' && kind !== 'compress');
}

/** Side by side: no two of them overlap. Space that was discarded reads as zeros on the file systems of tests. */
async function applyByOurs(file: string, format: string, model: DiskModel, random: Seeded): Promise<void> {
  const graph = createGraph({ platform: nodePlatform, drivers, emit: () => {} });
  const node = await graph.open({
    driver: format,
    discard: 'unmap',
    file: { driver: 'file', filename: file },
  });
  const disk = await attachAlone(node);
  for (let round = 0; round < 2; round++) {
    const before = model.content.slice();
    await Promise.all(
      invent(random, model).map(async (operation) => {
        model.apply(operation);
        if (operation.kind === 'flush') return disk.flush();
        if (!('offset' in operation)) return undefined;
        const { offset, bytes } = operation;
        if (operation.kind === 'zero') return disk.writeZeroes(offset, bytes, { mayUnmap: operation.unmap });
        if (operation.kind === 'write')
          return disk.write(offset, new Uint8Array(bytes).fill(operation.pattern));
        const read = new Uint8Array(bytes);
        await disk.read(offset, read);
        expectSameBytes(read, before.subarray(offset, offset + bytes), `reading at ${offset}`);
      }),
    );
    const offset = random.below(model.content.length / 4096) * 4096;
    const bytes = Math.min(model.content.length - offset, random.below(2 * mib));
    await disk.discard(offset, bytes);
    const read = new Uint8Array(bytes);
    await disk.read(offset, read);
    // What is discarded is anything that it was, or zeros.
    expect(read.every((byte, i) => byte === 0 || byte === model.content[offset + i])).toBe(true);
    model.content.set(read, offset);
  }
  await disk.close();
}

async function runSequence(name: string, { format, values }: Kind, seed: number): Promise<void> {
  const random = new Seeded(seed);
  const file = path(`${name}-${seed}`);
  const size = (1 + random.below(6 * 2048)) * 512;
  if (random.oneIn(2)) {
    const graph = createGraph({ platform: nodePlatform, drivers, emit: () => {} });
    await createImage(graph, { filename: file, format, size, values, quiet: true });
  } else {
    const text = Object.entries(values).map(([key, value]) => `${key}=${value === true ? 'on' : value}`);
    const options = text.length > 0 ? ['-o', text.join(',')] : [];
    run('qemu-img', 'create', '-q', '-f', format, ...options, file, String(size));
  }
  const model = new DiskModel(
    { clusterBytes: mib, version: 3, backingBytes: undefined },
    new Uint8Array(size),
  );
  for (let turn = 0; turn < turns; turn++) {
    if (random.oneIn(2)) await applyByOurs(file, format, model, random);
    else applyByQemu(file, { driver: format }, model, invent(random, model));
    if (format === 'vdi') {
      run('qemu-img', 'check', '-f', format, file);
      expect(await runOwn('qemu-img', ['check', '-f', format, file])).toMatchObject({ status: 0 });
    }
  }
  const convert = ['convert', '-f', format, '-O', 'raw', file];
  run('qemu-img', ...convert, `${file}.theirs`);
  expect(await runOwn('qemu-img', [...convert, `${file}.ours`])).toMatchObject({ status: 0, stderr: '' });
  for (const side of ['theirs', 'ours']) {
    expectSameBytes(readFileSync(`${file}.${side}`), model.content, `converted by ${side}`);
    rmSync(`${file}.${side}`);
  }
  rmSync(file);
}

describe.skipIf(!haveQemu).each(Object.entries(kinds))('%s in turns with the real one:', (name, kind) => {
  testSeeds({ first, count, batch: 10 }, (seed) => runSequence(name, kind, seed));
});
