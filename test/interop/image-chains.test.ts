/**
 * Random chains of images, made, written, snapshotted, rebased, committed and amended by our tools and by the real ones
 * in turns. After every step each image reads as an array of bytes does, and the real check finds nothing wrong.
 *
 * CHAINS sets how many chains there are, CHAINS_SEED the seed of the first one.
 */
import { readFileSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { runOwn } from '../support/own-tools.ts';
import { run } from '../support/qemu.ts';
import { scratchDirectory } from '../support/scratch.ts';
import { Seeded } from '../support/seeded.ts';
import { haveQemu } from '../support/tools.ts';
import { kib } from '../support/units.ts';

const chains = Number(process.env['CHAINS'] ?? 4);
const firstSeed = Number(process.env['CHAINS_SEED'] ?? 1);
const steps = 14;
const unit = 32 * kib;

interface Image {
  name: string;
  disk: Buffer;
  backing: Image | undefined;
  version: 2 | 3;
  refcountBits: number;
  /** What can be gone back to: a snapshot's own clusters, on a backing file that reads as it did then. */
  snapshots: Map<string, Buffer>;
}

/** A refusal that the other tool does not know: the step does nothing then. */
const refusals = /Zero clusters in internal snapshots prevent downgrade/;

class Chain {
  readonly images: Image[] = [];
  private readonly random: Seeded;
  readonly log: string[] = [];
  private count = 0;

  constructor(seed: number) {
    this.random = new Seeded(seed);
  }

  /** True when it was done. */
  private async tool(name: 'qemu-img' | 'qemu-io', args: string[], only?: 'ours'): Promise<boolean> {
    const ours = only === 'ours' || this.random.oneIn(2);
    this.log.push(`${ours ? 'ours' : 'theirs'}: ${name} ${args.join(' ')}`);
    if (!ours) {
      run(name, ...args);
      return true;
    }
    const { status, stderr } = await runOwn(name, args);
    if (status !== 0 && refusals.test(stderr)) return false;
    expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
    return true;
  }

  private get top(): Image {
    return this.images.at(-1)!; // the first step makes one
  }

  async step(): Promise<void> {
    const { random } = this;
    if (this.images.length === 0) return this.create();
    const acts = [
      ...[this.write, this.write, this.write, this.write, this.create, this.rebase, this.rebase, this.commit],
      ...[this.amend, this.amend, this.snapshot, this.goBack],
    ];
    await random.pick(acts).call(this);
  }

  private async create(): Promise<void> {
    const { random } = this;
    if (this.images.length === 4) return;
    const backing = this.images.at(-1);
    const bytes = unit * (4 + random.below(24)) + 512 * random.below(3);
    const disk = Buffer.alloc(bytes);
    backing?.disk.copy(disk);
    const version = random.oneIn(3) ? 2 : 3;
    const refcountBits = version === 2 ? 16 : random.pick([1, 8, 16, 64]);
    const name = `i${this.count++}.qcow2`;
    const options = [
      `cluster_size=${random.pick(['512', '4k', '64k', '512k'])}`,
      `compat=${version === 2 ? '0.10' : '1.1'}`,
      `refcount_bits=${refcountBits}`,
    ];
    const below = backing ? ['-b', backing.name, '-F', 'qcow2'] : [];
    await this.tool('qemu-img', [
      'create',
      '-q',
      '-f',
      'qcow2',
      '-o',
      options.join(),
      ...below,
      name,
      String(bytes),
    ]);
    this.images.push({ name, disk, backing, version, refcountBits, snapshots: new Map() });
  }

  private async write(): Promise<void> {
    const { random, top } = this;
    const offset = Math.min(512 * random.below(top.disk.length / 512), top.disk.length - 512);
    const bytes = Math.min(512 * (1 + random.below(200)), top.disk.length - offset);
    const byte = random.oneIn(3) ? 0 : 1 + random.below(5);
    const how =
      byte === 0 && random.oneIn(2) ? ['-z', ...(random.oneIn(2) ? ['-u'] : [])] : ['-P', String(byte)];
    await this.tool('qemu-io', [
      '-d',
      'unmap',
      '-c',
      ['write', '-q', ...how, offset, bytes].join(' '),
      top.name,
    ]);
    top.disk.fill(byte, offset, offset + bytes);
  }

  private async rebase(): Promise<void> {
    const { random, top } = this;
    const onto = random.oneIn(3) ? undefined : random.pick(this.images.slice(0, -1).concat(top));
    const backing = onto === top ? undefined : onto;
    const how = [
      ...(random.oneIn(3) ? ['-c'] : []),
      '-b',
      backing?.name ?? '',
      ...(backing ? ['-F', 'qcow2'] : []),
    ];
    // The real one loses zeros of version 2 without a backing file, and behind the end of a shorter one.
    await this.tool('qemu-img', ['rebase', ...how, top.name], top.version === 2 ? 'ours' : undefined);
    top.backing = backing;
    top.snapshots.clear();
  }

  private async commit(): Promise<void> {
    const { top } = this;
    const base = top.backing;
    if (!base || this.images.some(({ backing }, at) => backing === base && at !== this.images.length - 1))
      return;
    // A snapshot of version 2 forbids another length.
    if (base.version === 2 && base.disk.length < top.disk.length) return;
    await this.tool('qemu-img', ['commit', '-q', top.name]);
    const rest = base.disk.subarray(top.disk.length);
    base.disk = Buffer.concat([top.disk, rest]);
    top.snapshots.clear();
  }

  private async amend(): Promise<void> {
    const { random, top } = this;
    const version = random.oneIn(2) ? top.version : 5 - top.version;
    const refcountBits = version === 2 ? 16 : random.pick([8, 16, 32]);
    const options = [`compat=${version === 2 ? '0.10' : '1.1'}`];
    if (refcountBits !== top.refcountBits || random.oneIn(2)) options.push(`refcount_bits=${refcountBits}`);
    if (version === 3) options.push(`lazy_refcounts=${random.oneIn(2) ? 'on' : 'off'}`);
    // The real one may never come to an end with another width.
    const only = refcountBits === top.refcountBits ? undefined : 'ours';
    if (!(await this.tool('qemu-img', ['amend', '-o', options.join(), top.name], only))) return;
    top.version = version === 2 ? 2 : 3;
    top.refcountBits = refcountBits;
  }

  private async snapshot(): Promise<void> {
    const { top } = this;
    if (top.refcountBits < 8) return;
    const name = `s${this.count++}`;
    await this.tool('qemu-img', ['snapshot', '-c', name, top.name]);
    top.snapshots.set(name, Buffer.from(top.disk));
  }

  private async goBack(): Promise<void> {
    const { random, top } = this;
    const names = [...top.snapshots.keys()];
    if (names.length === 0) return;
    const name = random.pick(names);
    await this.tool('qemu-img', ['snapshot', '-a', name, top.name]);
    top.disk = Buffer.from(top.snapshots.get(name)!); // it is one of them
  }

  /** By the real tools. Only the top changes, and by a commit what is right below it. */
  verify(): void {
    for (const { name, disk } of this.images.slice(-2)) {
      run('qemu-img', 'convert', '-O', 'raw', name, 'content.raw');
      const content = readFileSync('content.raw');
      expect(content.length).toBe(disk.length);
      expect(content.equals(disk), `${name} reads as it should`).toBe(true);
      expect(run('qemu-img', 'check', name)).toContain('No errors were found on the image.');
    }
  }
}

describe.skipIf(!haveQemu)('chains of images keep their contents', () => {
  const path = scratchDirectory();
  const before = process.cwd();
  beforeAll(() => process.chdir(path('.')));
  afterAll(() => process.chdir(before));

  test.each(Array.from({ length: chains }, (_, index) => firstSeed + index))(
    'seed %i',
    async (seed) => {
      const chain = new Chain(seed);
      try {
        for (let step = 0; step < steps; step++) {
          await chain.step();
          chain.verify();
        }
      } catch (error) {
        throw new Error(`${chain.log.join('\n')}\n${(error as Error).message}`, { cause: error });
      }
    },
    60_000,
  );
});
