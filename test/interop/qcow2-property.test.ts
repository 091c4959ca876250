/**
 * Random sequences of operations on qcow2 images of all shapes, in turns by ours and by the real qemu-io. After every
 * turn the disk must read as an array of bytes does, and each side's check must find nothing wrong with what the other
 * one wrote.
 *
 * PROPERTY_SEQUENCES sets how many sequences are run, PROPERTY_FIRST the seed of the first one.
 */
import { spawnSync } from 'node:child_process';
import { readFileSync, rmSync, writeFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { BlockBackend } from '../../host/block/backend.ts';
import { createImage } from '../../host/block/create.ts';
import { BlockGraph } from '../../host/block/graph.ts';
import { Perm } from '../../host/block/permissions.ts';
import { drivers } from '../../host/drivers.ts';
import { nodePlatform } from '../../host/platform/node/index.ts';
import { DiskModel, type DiskShape, expectSameBytes, type Operation } from '../support/disk-model.ts';
import { scratchDirectory } from '../support/scratch.ts';
import { Seeded } from '../support/seeded.ts';
import { haveQemu } from '../support/tools.ts';

const sequences = Number(process.env['PROPERTY_SEQUENCES'] ?? 40);
const firstSeed = Number(process.env['PROPERTY_FIRST'] ?? 1);
const turns = 5;
const operationsPerTurn = 30;

const path = scratchDirectory();
let graph: BlockGraph;

function run(tool: string, ...args: string[]): string {
  const result = spawnSync(tool, args, { encoding: 'utf8' });
  const output = `${result.stdout}${result.stderr}`;
  if (result.status !== 0) throw new Error(`${tool} ${args.join(' ')} gave ${result.status}: ${output}`);
  return output;
}

interface Image {
  /** The overlay; files of the chain begin with the same name. */
  file: string;
  model: DiskModel;
  maxBytes: number;
  lazy: boolean;
  /** Runtime options of the qcow2 driver that both sides understand. */
  options: Record<string, number>;
  what: string;
}

/** A disk of some zeros, some text and some noise, in runs of any length. */
function inventContent(random: Seeded, bytes: number): Uint8Array {
  const content = new Uint8Array(bytes);
  for (let at = 0; at < bytes; ) {
    const end = Math.min(bytes, at + 1 + random.below(bytes / 6));
    const kind = random.below(3);
    if (kind === 1) content.fill(1 + random.below(255), at, end);
    if (kind === 2) for (let i = at; i < end; i += 1 + random.below(8)) content[i] = random.below(256);
    at = end;
  }
  return content;
}

/** Data for an image of `bytes` above `below`: what is under it shows through, and what is past that is zero. */
function showThrough(below: Uint8Array, bytes: number): Uint8Array {
  const content = new Uint8Array(bytes);
  content.set(below.subarray(0, Math.min(bytes, below.length)));
  return content;
}

/** A raw, qcow2 or compressed qcow2 file, and a qcow2 layer with some writes above it. */
function makeBackingChain(
  random: Seeded,
  name: string,
  bytes: number,
): { file: string; content: Uint8Array; what: string } {
  const content = inventContent(random, randomLength(random, bytes));
  const kind = random.pick(['raw', 'plain', 'zlib', 'zstd']);
  writeFileSync(`${name}.raw`, content);
  let base = `${name}.raw`;
  if (kind !== 'raw') {
    base = `${name}.base`;
    const options = `cluster_size=${random.pick([4096, 65536])}${kind === 'zstd' ? ',compression_type=zstd' : ''}`;
    const compressed = kind === 'plain' ? [] : ['-c'];
    run('qemu-img', 'convert', '-f', 'raw', '-O', 'qcow2', ...compressed, '-o', options, `${name}.raw`, base);
  }
  const shape: DiskShape = {
    clusterBytes: random.pick([512, 4096, 65536]),
    version: 3,
    backingBytes: content.length,
  };
  const length = randomLength(random, bytes);
  const middle = `${name}.middle`;
  const format = kind === 'raw' ? 'raw' : 'qcow2';
  run(
    'qemu-img',
    'create',
    '-q',
    '-f',
    'qcow2',
    '-b',
    base,
    '-F',
    format,
    '-o',
    `cluster_size=${shape.clusterBytes}`,
    middle,
    String(length),
  );
  const model = new DiskModel(shape, showThrough(content, length));
  applyByQemu(middle, {}, model, inventTurn(random, model, undefined, 8, true));
  return { file: middle, content: model.content, what: `${kind} ${content.length} < qcow2 ${length}` };
}

function randomLength(random: Seeded, bytes: number): number {
  return Math.max(512, Math.floor((bytes * (50 + random.below(100))) / 100 / 512) * 512);
}

/** Every seed gives a cluster size, a version, a refcount width and the rest; small seeds go through all of the sizes. */
async function makeImage(seed: number, random: Seeded): Promise<Image> {
  const clusterBytes = 512 << (seed % 13);
  const refcountBits = 1 << (Math.floor(seed / 2) % 7);
  const version = random.oneIn(4) ? 2 : 3;
  const lazy = version === 3 && random.oneIn(4);
  const maxBytes = Math.min(
    Math.max(clusterBytes * (8 + random.below(2000)), 64 << 10),
    Math.max(4 << 20, clusterBytes * 8),
  );
  const bytes = randomLength(random, maxBytes / 2);
  const file = path(`${seed}.qcow2`);
  const values: Record<string, string | number | boolean> = {
    cluster_size: clusterBytes,
    compat: version === 2 ? '0.10' : '1.1',
    refcount_bits: version === 2 ? 16 : refcountBits,
    lazy_refcounts: lazy,
    ...(version === 3 && random.oneIn(3) ? { compression_type: 'zstd' } : {}),
  };
  const text = Object.entries(values)
    .map(([key, value]) => `${key}=${value === true ? 'on' : value === false ? 'off' : value}`)
    .join(',');
  const start = random.pick(['empty', 'empty', 'compressed', 'backing', 'backing', 'backing']);
  const chain = start === 'backing' ? makeBackingChain(random, file, maxBytes / 2) : undefined;
  const touched = new Set<number>();
  let content = showThrough(chain?.content ?? new Uint8Array(0), bytes);
  if (start === 'compressed') {
    content = inventContent(random, bytes);
    for (let at = 0; at * clusterBytes < bytes; at++) touched.add(at);
    writeFileSync(`${file}.raw`, content);
    run('qemu-img', 'convert', '-c', '-f', 'raw', '-O', 'qcow2', '-o', text, `${file}.raw`, file);
  } else if (random.oneIn(2)) {
    const backing = chain ? { backingFile: chain.file, backingFormat: 'qcow2' } : {};
    await createImage(graph, {
      filename: file,
      format: 'qcow2',
      size: bytes,
      quiet: true,
      values,
      ...backing,
    });
  } else {
    const backing = chain ? ['-b', chain.file, '-F', 'qcow2'] : [];
    run('qemu-img', 'create', '-q', '-f', 'qcow2', ...backing, '-o', text, file, String(bytes));
  }
  const model = new DiskModel({ clusterBytes, version, backingBytes: chain?.content.length }, content);
  model.touched = touched;
  const small = random.oneIn(2);
  return {
    file,
    model,
    maxBytes,
    lazy,
    options: small
      ? {
          'l2-cache-size': clusterBytes * 2,
          'refcount-cache-size': clusterBytes * 4,
          'l2-cache-entry-size': 512,
        }
      : {},
    what: `${text}, ${bytes} bytes, ${chain?.what ?? start}${small ? ', small caches' : ''}`,
  };
}

/**
 * What one side does in one turn. The model gets everything in this order; operations between two resizes do not
 * overlap, so that they may also run at the same time.
 */
function inventTurn(
  random: Seeded,
  model: DiskModel,
  maxBytes: number | undefined,
  count: number,
  byQemu: boolean,
): Operation[] {
  const operations: Operation[] = [];
  let used: { offset: number; end: number }[] = [];
  // Lengths follow each other, so a scratch model is brought along.
  const ahead = new DiskModel(model.shape, new Uint8Array(model.content.length));
  ahead.touched = model.touched;
  for (let i = 0; i < count; i++) {
    if (maxBytes !== undefined && random.oneIn(25)) {
      const resize = ahead.inventResize(random, maxBytes, byQemu);
      ahead.apply(resize);
      operations.push(resize);
      used = [];
      continue;
    }
    const operation = ahead.invent(random);
    if ('offset' in operation) {
      const { offset } = operation;
      const end = offset + operation.bytes;
      if (used.some((other) => other.offset < end && offset < other.end)) continue;
      used.push({ offset, end });
    }
    operations.push(operation);
  }
  return operations;
}

function qemuCommand(operation: Operation): string {
  switch (operation.kind) {
    case 'write':
      return `write -q -P ${operation.pattern} ${operation.offset} ${operation.bytes}`;
    case 'compress':
      return `write -q -c -P ${operation.pattern} ${operation.offset} ${operation.bytes}`;
    case 'zero':
      return `write -q -z ${operation.unmap ? '-u ' : ''}${operation.offset} ${operation.bytes}`;
    case 'discard':
      return `discard -q ${operation.offset} ${operation.bytes}`;
    case 'read':
      return `read -q ${operation.offset} ${operation.bytes}`;
    case 'flush':
      return 'flush';
    case 'resize':
      return `truncate ${operation.bytes}`;
  }
}

function applyByQemu(
  file: string,
  options: Record<string, number>,
  model: DiskModel,
  operations: readonly Operation[],
  abort = false,
): void {
  for (const operation of operations) model.apply(operation);
  const opts = {
    driver: 'qcow2',
    discard: 'unmap',
    'file.driver': 'file',
    'file.filename': file,
    ...options,
  };
  const text = Object.entries(opts)
    .map(([key, value]) => `${key}=${value}`)
    .join(',');
  const commands = operations.flatMap((operation) => ['-c', qemuCommand(operation)]);
  if (abort) {
    const result = spawnSync('qemu-io', ['--image-opts', text, ...commands, '-c', 'flush', '-c', 'abort']);
    expect([result.signal, `${result.stdout}${result.stderr}`]).toEqual(['SIGABRT', '']);
    return;
  }
  const output = run('qemu-io', '--image-opts', text, ...commands);
  expect(output, 'qemu-io has nothing to say').toBe('');
}

async function openOurs(image: Image, options: object = image.options): Promise<BlockBackend> {
  const file = { driver: 'file', filename: image.file };
  const node = await graph.open({ driver: 'qcow2', discard: 'unmap', file, ...options });
  const user = { name: 'root', description: 'the test', perm: Perm.all, shared: Perm.all };
  const backend = await BlockBackend.attach(node, user);
  await graph.unref(node);
  return backend;
}

async function applyByOurs(
  backend: BlockBackend,
  model: DiskModel,
  operations: readonly Operation[],
): Promise<void> {
  let running: Promise<void>[] = [];
  for (const operation of operations) {
    switch (operation.kind) {
      case 'write': {
        const data = new Uint8Array(operation.bytes).fill(operation.pattern);
        running.push(backend.write(operation.offset, data));
        break;
      }
      case 'compress': {
        const data = new Uint8Array(operation.bytes).fill(operation.pattern);
        running.push(backend.writeCompressed(operation.offset, data));
        break;
      }
      case 'zero':
        running.push(backend.writeZeroes(operation.offset, operation.bytes, { mayUnmap: operation.unmap }));
        break;
      case 'discard':
        running.push(backend.discard(operation.offset, operation.bytes));
        break;
      case 'read':
        running.push(
          expectReads(
            backend,
            operation.offset,
            model.content.slice(operation.offset, operation.offset + operation.bytes),
          ),
        );
        break;
      case 'flush':
        running.push(backend.flush());
        break;
      case 'resize':
        await Promise.all(running);
        running = [];
        await backend.truncate(operation.bytes);
        break;
    }
    model.apply(operation);
  }
  await Promise.all(running);
}

async function expectReads(backend: BlockBackend, offset: number, expected: Uint8Array): Promise<void> {
  const buffer = new Uint8Array(expected.length).fill(0xee);
  await backend.read(offset, buffer);
  expectSameBytes(buffer, expected, `reading at ${offset}`);
}

async function checkByOurs(image: Image): Promise<void> {
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
  graph = new BlockGraph({ platform: nodePlatform, drivers, emit: () => {} });
  const random = new Seeded(seed);
  const image = await makeImage(seed, random);
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
    graph = new BlockGraph({ platform: nodePlatform, drivers, emit: () => {} });
    const shape: DiskShape = { clusterBytes: 65536, version: 2, backingBytes: 4 << 20 };
    const file = path('v2.qcow2');
    const content = new Uint8Array(4 << 20).fill(7);
    writeFileSync(`${file}.raw`, content);
    run(
      'qemu-img',
      'create',
      '-q',
      '-f',
      'qcow2',
      '-o',
      'compat=0.10',
      '-b',
      `${file}.raw`,
      '-F',
      'raw',
      file,
      '1M',
    );
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
