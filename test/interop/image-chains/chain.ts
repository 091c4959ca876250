/**
 * A chain of images and what is done to it by our tools and by the real ones in turns, one random step after the other.
 *
 * Beside each image stands what it must hold: an array of bytes, what its internal snapshots held, and its dirty bitmaps
 * as sets. Only the topmost image changes, and by a commit one below it.
 */
import { readFileSync, rmSync, writeFileSync } from 'node:fs';
import { expect } from 'vitest';
import { bitmapsOf } from '../../../host/bitmaps/node-bitmaps.ts';
import { drivers } from '../../../host/drivers.ts';
import { createGraph } from '../../../host/graph.ts';
import { nodePlatform } from '../../../host/platform/node/index.ts';
import type { ToolName } from '../../support/cli.ts';
import { damageHarmlessly } from '../../support/harmless-damage.ts';
import { runOwn } from '../../support/own-tools.ts';
import { run } from '../../support/qemu.ts';
import { Seeded } from '../../support/seeded.ts';
import { kib, mib } from '../../support/units.ts';
import { BitmapModel } from './bitmap-model.ts';

const unit = 32 * kib;
const maxImages = 4;
const clusterSizes = [512, kib, 4 * kib, 16 * kib, 64 * kib, 512 * kib, 2 * mib];
const widths = [1, 2, 4, 8, 16, 32, 64];

interface Image {
  name: string;
  format: 'qcow2' | 'raw';
  disk: Buffer;
  backing: Image | undefined;
  clusterBytes: number;
  version: 2 | 3;
  refcountBits: number;
  /** What can be gone back to: a snapshot's own clusters, on a backing file that reads as it did then. */
  snapshots: Map<string, Buffer>;
  /** There may be snapshots that cannot be gone back to. */
  hasSnapshots: boolean;
  bitmaps: Map<string, BitmapModel>;
}

type Kind = Pick<Image, 'clusterBytes' | 'version' | 'refcountBits'>;

export class Chain {
  private images: Image[] = [];
  private readonly random: Seeded;
  /** The command lines so far. */
  readonly log: string[] = [];
  private count = 0;
  /** What the last step changed, beside the topmost image. */
  private changed: Image[] = [];

  constructor(seed: number) {
    this.random = new Seeded(seed);
  }

  async step(): Promise<void> {
    const { random, images } = this;
    if (images.length === 0) return this.create();
    const { write, create, rebase, amend, bitmap } = this;
    const acts = [
      write,
      write,
      write,
      write,
      this.writeCompressed,
      create,
      rebase,
      rebase,
      this.renameBacking,
      this.commit,
    ];
    acts.push(
      this.commitFar,
      amend,
      amend,
      this.snapshot,
      this.goBack,
      this.forget,
      this.resize,
      this.resize,
    );
    acts.push(this.convert, this.dd, bitmap, bitmap, bitmap, this.repair);
    await random.pick(acts).call(this);
  }

  private get top(): Image {
    return this.images.at(-1)!; // the first step makes one
  }

  /** False when it was refused in the given words: the step does nothing then. One that `tells` has something to say. */
  private async tool(
    name: ToolName,
    args: readonly (string | number)[],
    { only, refusal, tells }: { only?: 'ours' | undefined; refusal?: RegExp; tells?: boolean } = {},
  ): Promise<boolean> {
    const ours = only === 'ours' || this.random.oneIn(2);
    const words = args.map(String);
    this.log.push(`${ours ? 'ours' : 'theirs'}: ${name} ${words.join(' ')}`);
    if (ours) {
      const { status, stdout, stderr } = await runOwn(name, words);
      if (status !== 0 && refusal?.test(stderr)) return false;
      expect({ status, output: status === 0 && tells ? '' : stdout + stderr }).toEqual({
        status: 0,
        output: '',
      });
      return true;
    }
    try {
      run(name, ...words);
      return true;
    } catch (error) {
      if (refusal?.test((error as Error).message)) return false;
      throw error;
    }
  }

  private name(extension: string): string {
    return `i${this.count++}.${extension}`;
  }

  /** What a new image is, and the options that make it so. */
  private kind(): { kind: Kind; options: string } {
    const { random } = this;
    const version = random.oneIn(3) ? 2 : 3;
    const kind: Kind = {
      version,
      clusterBytes: random.pick(clusterSizes),
      refcountBits: version === 2 ? 16 : random.pick(widths),
    };
    const options = [
      `cluster_size=${kind.clusterBytes}`,
      `compat=${version === 2 ? '0.10' : '1.1'}`,
      `refcount_bits=${kind.refcountBits}`,
      ...(version === 3 && random.oneIn(4) ? ['lazy_refcounts=on'] : []),
      ...(version === 3 && random.oneIn(5) ? ['compression_type=zstd'] : []),
    ];
    return { kind, options: options.join() };
  }

  private image(name: string, disk: Buffer, backing: Image | undefined, kind: Kind): Image {
    return {
      name,
      format: 'qcow2',
      disk,
      backing,
      ...kind,
      snapshots: new Map(),
      hasSnapshots: false,
      bitmaps: new Map(),
    };
  }

  private async create(): Promise<void> {
    const { random } = this;
    if (this.images.length === maxImages) return;
    const backing = this.images.at(-1);
    const disk = Buffer.alloc(this.length());
    backing?.disk.copy(disk);
    const { kind, options } = this.kind();
    const preallocation =
      backing || random.below(2) ? '' : `,preallocation=${random.pick(['metadata', 'falloc', 'full'])}`;
    const name = this.name('qcow2');
    const below = backing ? ['-b', backing.name, '-F', backing.format] : [];
    const what = ['-f', 'qcow2', '-o', options + preallocation, ...below, name, disk.length];
    await this.tool('qemu-img', ['create', '-q', ...what]);
    this.images.push(this.image(name, disk, backing, kind));
  }

  /** Bytes. */
  private length(): number {
    const { random } = this;
    return unit * ((random.oneIn(16) ? 80 : 4) + random.below(24)) + 512 * random.below(3);
  }

  /** Where to write: whole units of so many bytes, but for the end of the disk. */
  private range(granule: number, maxGranules: number): { offset: number; bytes: number } {
    const { random, top } = this;
    const offset = granule * random.below(Math.ceil(top.disk.length / granule));
    return { offset, bytes: Math.min(granule * (1 + random.below(maxGranules)), top.disk.length - offset) };
  }

  private wrote(offset: number, bytes: number, byte: number): void {
    this.top.disk.fill(byte, offset, offset + bytes);
    for (const bitmap of this.top.bitmaps.values()) bitmap.mark(offset, bytes);
  }

  private async write(): Promise<void> {
    const { random, top } = this;
    const { offset, bytes } = this.range(512, 200);
    const byte = random.oneIn(3) ? 0 : 1 + random.below(5);
    const isZeroes = byte === 0 && random.oneIn(2);
    const how = isZeroes ? ['-z', ...(random.oneIn(2) ? ['-u'] : [])] : ['-P', byte];
    const line = ['write', '-q', ...how, offset, bytes].join(' ');
    await this.tool('qemu-io', ['-d', 'unmap', '-c', line, top.name]);
    this.wrote(offset, bytes, byte);
  }

  private async writeCompressed(): Promise<void> {
    const { random, top } = this;
    // The real one takes one cluster at a time.
    const { offset, bytes } = this.range(top.clusterBytes, 1);
    const line = ['map', '--output=json', '-f', top.format, '-s', offset, '-l', bytes, top.name];
    const extents = JSON.parse(run('qemu-img', ...line.map(String))) as { depth: number; offset?: number }[];
    // A cluster that has a place already is not written compressed.
    if (top.format === 'raw' || extents.some(({ depth, offset: at }) => depth === 0 && at !== undefined))
      return;
    const byte = random.below(6);
    await this.tool('qemu-io', ['-c', `write -q -c -P ${byte} ${offset} ${bytes}`, top.name]);
    this.wrote(offset, bytes, byte);
  }

  private async rebase(): Promise<void> {
    const { random, top } = this;
    const onto = random.oneIn(3) ? undefined : random.pick(this.images);
    const backing = onto === top ? undefined : onto;
    const how = [
      ...(random.oneIn(3) ? ['-c'] : []),
      ...['-b', backing?.name ?? ''],
      ...(backing ? ['-F', backing.format] : []),
    ];
    // The real one loses zeros of version 2 without a backing file, and behind the end of a shorter one.
    await this.tool('qemu-img', ['rebase', ...how, top.name], {
      only: top.version === 2 ? 'ours' : undefined,
    });
    top.backing = backing;
    top.snapshots.clear();
    for (const bitmap of top.bitmaps.values()) bitmap.markChanges(top.disk, top.disk);
  }

  /** The backing file is another one that reads the same. */
  private async renameBacking(): Promise<void> {
    const { random, top } = this;
    const old = top.backing;
    if (!old) return;
    const format = random.oneIn(2) ? 'raw' : 'qcow2';
    const name = this.name(format);
    await this.tool('qemu-img', ['convert', '-O', format, old.name, name]);
    await this.tool('qemu-img', ['rebase', '-u', '-b', name, '-F', format, top.name]);
    const copy = this.image(name, Buffer.from(old.disk), undefined, {
      clusterBytes: 64 * kib,
      version: 3,
      refcountBits: 16,
    });
    copy.format = format;
    top.backing = copy;
    this.changed.push(copy);
    this.images = [copy, top];
  }

  private async commit(): Promise<void> {
    const { random, top } = this;
    const base = top.backing;
    if (!base || this.isNeeded(base, top) || !canBecome(base, top.disk.length)) return;
    const keeps = random.oneIn(4);
    await this.tool('qemu-img', ['commit', '-q', ...(keeps ? ['-d'] : []), top.name]);
    this.committed(base);
    for (const bitmap of top.bitmaps.values()) bitmap.markChanges(top.disk, top.disk);
    top.snapshots.clear();
  }

  /** Into the backing file of the backing file, or one further down; what is in between is worth nothing then. */
  private async commitFar(): Promise<void> {
    const { top } = this;
    let base = top.backing?.backing;
    while (base?.backing && this.random.oneIn(2)) base = base.backing;
    if (!base || !canBecome(base, top.disk.length)) return;
    await this.tool('qemu-img', ['commit', '-q', '-b', base.name, top.name]);
    this.committed(base);
    this.images = [base];
  }

  /** Whether another image than `top` is on `base`. */
  private isNeeded(base: Image, top: Image): boolean {
    return this.images.some(({ backing }, at) => backing === base && this.images[at] !== top);
  }

  private committed(base: Image): void {
    const { disk } = this.top;
    const before = base.disk;
    this.changed.push(base);
    base.disk = Buffer.concat([disk, before.subarray(disk.length)]);
    // Its snapshots have their clusters and a backing file that stays.
    for (const bitmap of base.bitmaps.values()) {
      bitmap.resize(base.disk.length);
      bitmap.markChanges(before, base.disk);
    }
  }

  private async amend(): Promise<void> {
    const { random, top } = this;
    if (top.format === 'raw') return;
    const version = random.oneIn(2) ? top.version : 5 - top.version;
    const refcountBits = version === 2 ? 16 : random.pick(widths);
    const options = [`compat=${version === 2 ? '0.10' : '1.1'}`];
    if (refcountBits !== top.refcountBits || random.oneIn(2)) options.push(`refcount_bits=${refcountBits}`);
    if (version === 3) options.push(`lazy_refcounts=${random.oneIn(2) ? 'on' : 'off'}`);
    // The real one may never come to an end with another width.
    const only = refcountBits === top.refcountBits ? undefined : 'ours';
    const refusal =
      /Zero clusters in internal snapshots prevent downgrade|compression type|Cannot decrease refcount entry width/;
    if (!(await this.tool('qemu-img', ['amend', '-o', options.join(), top.name], { only, refusal }))) return;
    top.refcountBits = refcountBits;
    if (version === 2 && top.version === 3) top.bitmaps.clear();
    top.version = version === 2 ? 2 : 3;
  }

  private async snapshot(): Promise<void> {
    const { top } = this;
    if (top.format === 'raw') return;
    const name = `s${this.count++}`;
    const refusal = top.refcountBits < 8 ? /Could not create snapshot/ : undefined;
    const isMade = await this.tool('qemu-img', ['snapshot', '-c', name, top.name], {
      // After a count that is too large the real one leaves leaks.
      ...(refusal && { only: 'ours', refusal }),
    });
    if (!isMade) return;
    top.snapshots.set(name, Buffer.from(top.disk));
    top.hasSnapshots = true;
  }

  private async goBack(): Promise<void> {
    const { random, top } = this;
    const names = [...top.snapshots.keys()];
    if (names.length === 0) return;
    const name = random.pick(names);
    const refusal = top.bitmaps.size > 0 ? /Device has active dirty bitmaps/ : undefined;
    const isDone = await this.tool('qemu-img', ['snapshot', '-a', name, top.name], {
      ...(refusal && { refusal }),
    });
    expect(isDone).toBe(refusal === undefined);
    if (isDone) top.disk = Buffer.from(top.snapshots.get(name)!); // it is one of them
  }

  private async forget(): Promise<void> {
    const { random, top } = this;
    const names = [...top.snapshots.keys()];
    if (names.length === 0) return;
    const name = random.pick(names);
    await this.tool('qemu-img', ['snapshot', '-d', name, top.name]);
    top.snapshots.delete(name);
  }

  private async resize(): Promise<void> {
    const { random, top } = this;
    const bytes = this.length();
    const isShorter = bytes < top.disk.length;
    const preallocation = random.pick(['off', 'metadata', 'falloc', 'full']);
    const how = isShorter
      ? ['--shrink']
      : top.backing || top.format === 'raw'
        ? []
        : [`--preallocation=${preallocation}`];
    const cannot = [
      ...(top.hasSnapshots ? ['snapshots'] : []),
      // What a longer backing file has there would appear.
      ...(top.version === 2 && top.backing
        ? ['Failed to zero out new clusters: Operation not supported']
        : []),
    ];
    const isDone = await this.tool('qemu-img', ['resize', '-q', '-f', top.format, ...how, top.name, bytes], {
      ...(cannot.length > 0 && { refusal: new RegExp(cannot.join('|')) }),
    });
    if (!isDone) return;
    const disk = Buffer.alloc(bytes);
    top.disk.copy(disk);
    for (const bitmap of top.bitmaps.values()) {
      bitmap.resize(bytes);
      if (!isShorter) bitmap.markChanges(disk, disk);
    }
    top.disk = disk;
  }

  private async convert(): Promise<void> {
    const { random, top } = this;
    const { kind, options } = this.kind();
    const withBitmaps = top.bitmaps.size > 0 && kind.version === 3 && random.oneIn(2);
    const backing = !withBitmaps && random.oneIn(3) ? top.backing : undefined;
    const snapshot = withBitmaps || backing || random.oneIn(2) ? undefined : [...top.snapshots.keys()][0];
    const how = [
      ...(random.oneIn(3) ? ['-c'] : []),
      ...(random.oneIn(3) ? ['-S', random.pick([0, 4096, 65536])] : []),
      ...(random.oneIn(4) ? ['-W', '-m', 3] : []),
      ...(withBitmaps ? ['--bitmaps'] : []),
      ...(backing ? ['-B', backing.name, '-F', backing.format] : []),
      ...(snapshot === undefined ? [] : ['-l', snapshot]),
    ];
    const name = this.name('qcow2');
    await this.tool('qemu-img', ['convert', ...how, '-O', 'qcow2', '-o', options, top.name, name]);
    const disk = snapshot === undefined ? top.disk : top.snapshots.get(snapshot)!; // it is one of them
    const image = this.image(name, Buffer.from(disk), backing, kind);
    if (withBitmaps) for (const [key, bitmap] of top.bitmaps) image.bitmaps.set(key, bitmap.clone());
    this.replaceTop(image);
  }

  private async dd(): Promise<void> {
    const { random, top } = this;
    const block = random.pick([512, 4096, 65536, 100_000]);
    const blocks = Math.floor(top.disk.length / block);
    const skip = random.below(Math.max(1, Math.floor(blocks / 3)));
    const count = skip + 1 + random.below(blocks + 3);
    const name = this.name('qcow2');
    const operands = [`if=${top.name}`, `of=${name}`, `bs=${block}`, `skip=${skip}`, `count=${count}`];
    await this.tool('qemu-img', ['dd', '-f', top.format, '-O', 'qcow2', ...operands]);
    const part = top.disk.subarray(skip * block, count * block);
    const disk = Buffer.concat([part, Buffer.alloc(-part.length & 511)]);
    this.replaceTop(
      this.image(name, disk, undefined, { clusterBytes: 64 * kib, version: 3, refcountBits: 16 }),
    );
  }

  private replaceTop(image: Image): void {
    rmSync(this.top.name);
    this.images = [...this.images.slice(0, -1), image];
  }

  private async bitmap(): Promise<void> {
    const { random, top } = this;
    if (top.version === 2 || top.format === 'raw') return;
    const names = [...top.bitmaps.keys()];
    const operation = random.pick(['add', 'add', 'remove', 'clear', 'enable', 'disable', 'merge']);
    if (operation === 'add') {
      if (names.length === 3) return;
      const name = `b${this.count++}`;
      const granularity = random.pick([512, 4096, 65536, mib]);
      await this.tool('qemu-img', ['bitmap', '--add', '-g', granularity, top.name, name]);
      top.bitmaps.set(name, new BitmapModel(granularity));
      return;
    }
    if (names.length === 0) return;
    const name = random.pick(names);
    const model = top.bitmaps.get(name)!; // it is one of them
    const source = random.pick(names);
    const how = operation === 'merge' ? ['--merge', source] : [`--${operation}`];
    await this.tool('qemu-img', ['bitmap', ...how, top.name, name]);
    if (operation === 'remove') top.bitmaps.delete(name);
    else if (operation === 'clear') model.clear();
    else if (operation === 'merge')
      model.merge(top.bitmaps.get(source)!); // as above
    else model.isEnabled = operation === 'enable';
  }

  private async repair(): Promise<void> {
    const { random, top } = this;
    if (top.format === 'raw') return;
    const content = readFileSync(top.name);
    const image = Buffer.concat([content, Buffer.alloc(-content.length & (top.clusterBytes - 1))]);
    for (let count = 1 + random.below(4); count > 0; count--) this.log.push(damageHarmlessly(image, random));
    writeFileSync(top.name, image);
    await this.tool('qemu-img', ['check', '-q', '-r', 'all', top.name], { tells: true });
  }

  /** By the real tools; bitmaps are read by ours, since those do not show what is in one. */
  async verify(): Promise<void> {
    const changed = new Set([...this.changed.splice(0), this.top]);
    for (const image of changed) {
      const { name, format, disk } = image;
      run('qemu-img', 'convert', '-f', format, '-O', 'raw', name, 'content.raw');
      const content = readFileSync('content.raw');
      expect(content.length, `the length of ${name}`).toBe(disk.length);
      expect(content.equals(disk), `${name} reads as it should`).toBe(true);
      if (format === 'raw') continue;
      expect(run('qemu-img', 'check', name)).toContain('No errors were found on the image.');
      if (image.version === 3) await this.verifyBitmaps(image);
    }
  }

  private async verifyBitmaps({ name, bitmaps, disk }: Image): Promise<void> {
    const graph = createGraph({ platform: nodePlatform, drivers });
    const node = await graph.openFile(name, { format: 'qcow2', flags: { readOnly: true } });
    try {
      const found = [...bitmapsOf(node)];
      expect(found.map((bitmap) => bitmap.name).sort()).toEqual([...bitmaps.keys()].sort());
      for (const [key, model] of bitmaps) {
        const bitmap = bitmapsOf(node).get(key);
        expect([bitmap.inconsistent, bitmap.disabled, bitmap.granularity]).toEqual([
          false,
          !model.isEnabled,
          model.granularity,
        ]);
        const granules = Array.from(
          { length: Math.ceil(disk.length / model.granularity) },
          (_, index) => index,
        );
        const dirty = new Set(granules.filter((granule) => bitmap.bits.get(granule * model.granularity)));
        expect(model.allows(dirty), `${key} of ${name}: ${[...dirty]}, not ${[...model.dirty]}`).toBe(true);
      }
    } finally {
      await graph.unref(node);
    }
  }
}

/** A snapshot of version 2 forbids another length. */
function canBecome(base: Image, bytes: number): boolean {
  return base.version === 3 || base.format === 'raw' || base.disk.length >= bytes || !base.hasSnapshots;
}
