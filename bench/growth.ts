/**
 * What grows: disks of 1 GiB to 1 PiB with little on them, bitmaps of many bits, images of many extents, long chains, many
 * nodes. What is asked of a disk should take the time and the memory of what is on it.
 *
 * Whole commands are measured from start to end; what a daemon does, from the command to its answer, in a process that was ready.
 */
import { rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type Compare, comparison, timed } from './compare.ts';
import { QmpChild } from './qmp.ts';
import type { Report, Sample } from './report.ts';
import { type Command, ours, run, theirs } from './side.ts';

const monitor = ['--chardev', 'stdio,id=c', '--monitor', 'chardev=c'];
const daemons = {
  ours: ours('storage-daemon', ...monitor),
  theirs: theirs('qemu-storage-daemon', ...monitor),
};

const tebibyte = 2 ** 40;
const sizes = [
  ['1 GiB', 2 ** 30, 65_536],
  ['64 GiB', 2 ** 36, 65_536],
  ['1 TiB', tebibyte, 65_536],
  ['64 TiB', 64 * tebibyte, 65_536],
  ['1 PiB', 1024 * tebibyte, 2 << 20],
] as const;

const extentCount = 1_000_000;
const chainLength = 200;
const nodeCount = 1000;

/** `rounds`: of each side, in turn. `folder`: on tmpfs. */
export async function benchGrowth(report: Report, rounds: number, folder: string): Promise<void> {
  const compare = comparison(report, rounds);
  for (const [name, size, clusterBytes] of sizes) {
    report.heading(`a disk of ${name} with 128 KiB on it`);
    const image = await sparseImage(folder, size, clusterBytes);
    for (const command of ['info', 'map', 'check']) await compareTool(compare, command, image);
    await compareDaemon(compare, 'a bitmap, added', disk(size), (qmp) => addBitmap(qmp, 65_536));
    await compareDaemon(
      compare,
      'its hash',
      async (qmp) => {
        await disk(size)(qmp);
        await addBitmap(qmp, 65_536);
      },
      hash,
    );
    await compareDaemon(compare, 'a backup, started', copies(size), (qmp) =>
      qmp.run('blockdev-backup', { device: 'disk', target: 'target', 'job-id': 'j', sync: 'full', speed: 1 }),
    );
    rmSync(image);
  }
  report.heading('a bitmap of 1 TiB by 512 bytes');
  await compareDaemon(
    compare,
    'its hash',
    async (qmp) => {
      await disk(tebibyte)(qmp);
      await addBitmap(qmp, 512);
    },
    hash,
  );
  await benchExtents(report, compare, folder);
  await benchChain(report, compare, folder);
  await benchNodes(report, compare);
}

async function sparseImage(folder: string, size: number, clusterBytes: number): Promise<string> {
  const image = join(folder, 'sparse.qcow2');
  const options = `cluster_size=${clusterBytes}`;
  await run(ours('img', 'create', '-q', '-f', 'qcow2', '-o', options, image, `${size}`));
  await run(ours('io', '-f', 'qcow2', '-c', 'write -q 0 64k', '-c', 'write -q 500M 64k', image));
  return image;
}

function compareTool(compare: Compare, command: string, image: string): Promise<void> {
  const native = theirs('qemu-img', command, image);
  const sides = { ours: timed(ours('img', command, image)), theirs: native && timed(native) };
  return compare(`img ${command}`, 's', 'lower', sides);
}

type Act = (qmp: QmpChild) => Promise<unknown>;

/** `act`, in a process that has done `prepare`. */
function compareDaemon(compare: Compare, name: string, prepare: Act, act: Act): Promise<void> {
  const measure = (daemon: Command) => async (): Promise<Sample> => {
    const qmp = await QmpChild.start(daemon);
    await prepare(qmp);
    const start = process.hrtime.bigint();
    await act(qmp);
    const value = Number(process.hrtime.bigint() - start) / 1e9;
    const peakMiB = qmp.peakMiB();
    await qmp.quit();
    return { value, peakMiB };
  };
  const native = daemons.theirs;
  return compare(name, 's', 'lower', { ours: measure(daemons.ours), theirs: native && measure(native) });
}

const nullNode = (name: string, size: number): object => ({
  driver: 'null-co',
  'node-name': name,
  size,
  'read-zeroes': true,
});

const disk =
  (size: number): Act =>
  (qmp) =>
    qmp.run('blockdev-add', nullNode('disk', size));

const copies =
  (size: number): Act =>
  async (qmp) => {
    for (const name of ['disk', 'target']) await qmp.run('blockdev-add', nullNode(name, size));
  };

const addBitmap = (qmp: QmpChild, granularity: number): Promise<unknown> =>
  qmp.run('block-dirty-bitmap-add', { node: 'disk', name: 'b', granularity });

const hash: Act = (qmp) => qmp.run('x-debug-block-dirty-bitmap-sha256', { node: 'disk', name: 'b' });

async function benchExtents(report: Report, compare: Compare, folder: string): Promise<void> {
  report.heading('an image of a million extents, data and zeros in turn');
  const image = join(folder, 'extents.qcow2');
  const copy = join(folder, 'copy');
  writeFileSync(image, alternatingImage(extentCount));
  for (const command of ['map', 'check']) await compareTool(compare, command, image);
  const convert = ['convert', '-f', 'qcow2', '-O', 'qcow2', image, copy];
  const native = theirs('qemu-img', ...convert);
  const prepare = () => rmSync(copy, { force: true });
  await compare('img convert', 's', 'lower', {
    ours: timed(ours('img', ...convert), prepare),
    theirs: native && timed(native, prepare),
  });
  rmSync(image);
  prepare();
}

/** A qcow2 image with clusters of 512 bytes, every other one of zeros. */
function alternatingImage(clusters: number): Uint8Array {
  const clusterBytes = 512;
  const l2Tables = Math.ceil((clusters * 8) / clusterBytes);
  const l1Clusters = Math.ceil((l2Tables * 8) / clusterBytes);
  const others = 1 + l1Clusters + l2Tables + Math.ceil(clusters / 2);
  // Blocks of 256 counts describe themselves, and the table of 64 blocks in a cluster.
  const blocks = Math.ceil((others * 1.02) / 256) + 2;
  const tableClusters = Math.ceil((blocks * 8) / clusterBytes);
  const table = 1 + l1Clusters;
  const block = table + tableClusters;
  const l2 = block + blocks;
  const data = l2 + l2Tables;
  const total = others + blocks + tableClusters;
  const image = new Uint8Array(total * clusterBytes).fill(0x5a, data * clusterBytes);
  const view = new DataView(image.buffer);
  const setOffset = (at: number, cluster: number, flags = 0) => {
    const offset = cluster * clusterBytes;
    view.setUint32(at, Math.floor(offset / 2 ** 32) + flags);
    view.setUint32(at + 4, offset % 2 ** 32);
  };
  const copied = 0x8000_0000;
  // Magic, version, cluster bits, size, L1 table, refcount table, refcount order, length of the header.
  for (const [at, value] of [
    [0, 0x514649fb],
    [4, 3],
    [20, 9],
    [28, clusters * clusterBytes],
    [36, l2Tables],
    [56, tableClusters],
    [96, 4],
    [100, 104],
  ] as const) {
    view.setUint32(at, value);
  }
  setOffset(40, 1);
  setOffset(48, table);
  for (let i = 0; i < l2Tables; i++) setOffset(clusterBytes + i * 8, l2 + i, copied);
  for (let i = 0; i < blocks; i++) setOffset(table * clusterBytes + i * 8, block + i);
  for (let i = 0; i < total; i++) view.setUint16(block * clusterBytes + i * 2, 1);
  for (let i = 0; i < clusters; i++) {
    const at = l2 * clusterBytes + i * 8;
    if (i % 2 === 0) setOffset(at, data + i / 2, copied);
    else view.setUint32(at + 4, 1);
  }
  return image;
}

async function benchChain(report: Report, compare: Compare, folder: string): Promise<void> {
  report.heading(`a chain of ${chainLength} overlays`);
  const at = (index: number) => join(folder, `chain${index}.qcow2`);
  for (let i = 0; i < chainLength; i++) {
    const what = i === 0 ? [at(i), '1G'] : ['-b', at(i - 1), '-F', 'qcow2', at(i)];
    await run(ours('img', 'create', '-q', '-f', 'qcow2', ...what));
  }
  const last = at(chainLength - 1);
  const read = ['-r', '-f', 'qcow2', '-c', 'read -q 0 4k', last];
  const native = theirs('qemu-io', ...read);
  const sides = { ours: timed(ours('io', ...read)), theirs: native && timed(native) };
  await compare('opened, 4 KiB read', 's', 'lower', sides);
  for (let i = 0; i < chainLength; i++) rmSync(at(i));
}

/** The peak of the process says what they cost: an empty one has 5 MiB of QEMU's, 60 of ours. */
async function benchNodes(report: Report, compare: Compare): Promise<void> {
  report.heading(`${nodeCount} nodes`);
  const add: Act = async (qmp) => {
    for (let i = 0; i < nodeCount; i++) await qmp.run('blockdev-add', nullNode(`n${i}`, 2 ** 30));
  };
  await compareDaemon(compare, 'null-co, opened', async () => {}, add);
  await compareDaemon(compare, 'a bitmap on each, added', add, async (qmp) => {
    for (let i = 0; i < nodeCount; i++) {
      await qmp.run('block-dirty-bitmap-add', { node: `n${i}`, name: 'b' });
    }
  });
}
