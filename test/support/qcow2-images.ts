/** Qcow2 images of all shapes for property tests: a seed gives the image, what is below it, and what it must read as. */
import { writeFileSync } from 'node:fs';
import { createImage } from '../../host/block/create.ts';
import type { BlockGraph } from '../../host/block/graph.ts';
import { DiskModel, type DiskShape, inventTurn } from './disk-model.ts';
import { applyByQemu, createByQemu, run } from './qemu.ts';
import type { Seeded } from './seeded.ts';

export interface PropertyImage {
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
  createByQemu(middle, length, {
    options: `cluster_size=${shape.clusterBytes}`,
    backing: { file: base, format: kind === 'raw' ? 'raw' : 'qcow2' },
  });
  const model = new DiskModel(shape, showThrough(content, length));
  applyByQemu(middle, {}, model, inventTurn(random, model, undefined, 8, true));
  return { file: middle, content: model.content, what: `${kind} ${content.length} < qcow2 ${length}` };
}

function randomLength(random: Seeded, bytes: number): number {
  return Math.max(512, Math.floor((bytes * (50 + random.below(100))) / 100 / 512) * 512);
}

/** Every seed gives a cluster size, a version, a refcount width and the rest; small seeds go through all of the sizes. */
export async function makeImage(
  graph: BlockGraph,
  file: string,
  seed: number,
  random: Seeded,
): Promise<PropertyImage> {
  const clusterBytes = 512 << (seed % 13);
  const refcountBits = 1 << (Math.floor(seed / 2) % 7);
  const version = random.oneIn(4) ? 2 : 3;
  const lazy = version === 3 && random.oneIn(4);
  const maxBytes = Math.min(
    Math.max(clusterBytes * (8 + random.below(8000)), 64 << 10),
    Math.max(4 << 20, clusterBytes * 8),
  );
  const bytes = randomLength(random, maxBytes / 2);
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
    const backing = chain ? { backing: { file: chain.file, format: 'qcow2' } } : {};
    createByQemu(file, bytes, { options: text, ...backing });
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
