/**
 * The images that subcommands of `img` change in the simulator, and how they are looked at afterwards: a disk on a base,
 * both with data, zeros, compressed clusters and dirty bitmaps, and another base that is shorter.
 */
import { createHash } from 'node:crypto';
import { bitmapsOf } from '../../../host/bitmaps/node-bitmaps.ts';
import type { BlockBackend } from '../../../host/block/backend.ts';
import type { CreateValues } from '../../../host/block/driver.ts';
import { Perm } from '../../../host/block/permissions.ts';
import { checkImage } from '../../../host/formats/qcow2/check/check.ts';
import { createImage } from '../../../host/formats/qcow2/create/create.ts';
import { qcow2 } from '../../../host/formats/qcow2/driver.ts';
import { raw } from '../../../host/formats/raw.ts';
import { createGraph } from '../../../host/graph.ts';
import { createSimulation, type SimStorage, type Simulation } from '../../../host/platform/sim/index.ts';
import { file } from '../../../host/protocols/file/driver.ts';
import { attach, readWrite } from '../../support/attach.ts';
import { Seeded } from '../../support/seeded.ts';
import { findingsIn } from '../crash-harness.ts';
import { RawImage } from '../raw-qcow2.ts';

export const names = { disk: '/disk.qcow2', base: '/base.qcow2', other: '/other.qcow2' } as const;

/** A simulation on a disk that takes no time and is not recorded. */
export function instantly(storage?: SimStorage, capacityBytes = Number.POSITIVE_INFINITY): Simulation {
  return createSimulation(1, {
    latency: 'instant',
    record: false,
    capacityBytes,
    ...(storage && { storage }),
  });
}

async function use<T>(
  { platform }: Simulation,
  filename: string,
  readOnly: boolean,
  act: (image: BlockBackend) => Promise<T>,
): Promise<T> {
  const graph = createGraph({ platform, drivers: [file, raw, qcow2], emit: () => {} });
  const node = await graph.openFile(filename, { flags: { readOnly, discard: true } });
  const image = await attach(node, readOnly ? Perm.consistentRead : readWrite);
  try {
    return await act(image);
  } finally {
    await image.close();
    await graph.unref(node);
  }
}

/** The images, with other contents for each seed. */
export async function makeStorage(options: CreateValues, seed: number): Promise<SimStorage> {
  const random = new Seeded(seed);
  const simulation = instantly();
  const cluster = Number(options['cluster_size']);
  const isOld = options['compat'] === '0.10';
  const make = async (name: string, clusters: number, values: CreateValues): Promise<void> => {
    const image = await simulation.platform.files.open(name, { write: true, create: 'exclusive' });
    await createImage(image, { ...options, ...values, size: clusters * cluster });
    await image.close();
  };
  const fill = (image: BlockBackend, byte: number, first: number, clusters: number): Promise<void> =>
    image.write(first * cluster, new Uint8Array(clusters * cluster).fill(byte));
  const addBitmap = ({ node }: BlockBackend, name: string): void => {
    if (!isOld) bitmapsOf(node).add(name, { persistent: true, granularity: 512 });
  };
  await make(names.base, 40, {});
  await make(names.other, 30, {});
  await make(names.disk, 40, { backing_file: names.base, backing_fmt: 'qcow2' });
  await use(simulation, names.base, false, async (image) => {
    await fill(image, 1, 0, 8 + random.below(8));
    await fill(image, 2, 33, 1 + random.below(5));
  });
  await use(simulation, names.other, false, async (image) => {
    await fill(image, 1, 0, 1 + random.below(6));
    await fill(image, 3, 7 + random.below(3), 10 + random.below(10));
  });
  await use(simulation, names.disk, false, async (image) => {
    await fill(image, 4, 2 + random.below(3), 2);
    addBitmap(image, 'kept');
    await image.writeCompressed(7 * cluster, new Uint8Array(cluster).fill(5));
    await fill(image, 6, 18 + random.below(4), 3);
    if (isOld) return;
    await image.writeZeroes(0, 2 * cluster);
    await image.writeZeroes(21 * cluster, cluster);
  });
  return simulation.storage;
}

/** What an image reads as, through the backing file that it names; not by the code that is tried here. */
export function contentOf(storage: SimStorage, name: string): Buffer {
  const image = new RawImage(storage.readFile(name));
  const { backingFile } = image;
  const below = backingFile === undefined ? Buffer.alloc(0) : contentOf(storage, backingFile);
  return Buffer.from(image.readDisk(below));
}

/** What an image shows. */
export interface Shown {
  content: Buffer;
  /** The bits of consistent dirty bitmaps, by their names. */
  bitmaps: Map<string, Buffer>;
}

export function look(storage: SimStorage, name: string): Promise<Shown> {
  return use(instantly(storage), name, true, async (image) => {
    const content = Buffer.alloc(image.length);
    await image.read(0, content);
    const bitmaps = new Map<string, Buffer>();
    for (const { name: bitmap, bits, inconsistent } of bitmapsOf(image.node)) {
      if (!inconsistent) bitmaps.set(bitmap!, Buffer.from(bits.serialize())); // persistent ones have names
    }
    return { content, bitmaps };
  });
}

/** `image` as a repair leaves it. */
export async function repaired(image: Uint8Array): Promise<Uint8Array> {
  let bytes = Buffer.from(image);
  const file = {
    get length() {
      return bytes.length;
    },
    async read(offset: number, buffer: Uint8Array) {
      buffer.fill(0);
      buffer.set(bytes.subarray(offset, offset + buffer.length));
    },
    async write(offset: number, data: Uint8Array) {
      const missing = Math.max(0, offset + data.length - bytes.length);
      if (missing > 0) bytes = Buffer.concat([bytes, Buffer.alloc(missing)]);
      bytes.set(data, offset);
    },
    flush: async () => {},
  };
  await checkImage(file, { fix: { leaks: true, errors: true }, report: () => {} });
  return bytes;
}

/** All that the check says of one image. Each content is looked at once. */
export class Checker {
  private readonly seen = new Map<string, readonly string[]>();

  async findings(storage: SimStorage, name: string): Promise<readonly string[]> {
    const bytes = storage.readFile(name);
    const key = createHash('sha1').update(bytes).digest('base64');
    const known = this.seen.get(key);
    if (known) return known;
    const lines = (await findingsIn(bytes)).lines.filter((line) => line !== '');
    this.seen.set(key, lines);
    return lines;
  }
}

/** Tells states of a disk apart. */
export function digest(storage: SimStorage): string {
  const hash = createHash('sha1');
  for (const name of storage.paths().sort()) hash.update(name).update(storage.readFile(name));
  return hash.digest('base64');
}
