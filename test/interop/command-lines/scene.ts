/**
 * The files that every generated command line finds: those that a script begins with, and odd ones. After a line, what it touched is
 * made again; the two folders are equal to the byte and to the hole.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import {
  closeSync,
  copyFileSync,
  ftruncateSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeSync,
} from 'node:fs';
import { join } from 'node:path';
import { TwoFolders } from '../../support/cli.ts';
import { FolderDifferences, stampOf } from './folder-differences.ts';
import { prepare, setUp } from './script.ts';

/** Beside those of `setUp`. */
const oddImages: readonly string[] = [
  'create -q -f qcow2 -o cluster_size=512 tiny.qcow2 100k',
  'io tiny.qcow2: write -P 1 1000 30000; write -z 50k 10k',
  'create -q -f qcow2 -o cluster_size=2M,refcount_bits=1 vast.qcow2 5M',
  'io vast.qcow2: write -P 2 3M 100k',
  'convert -c -O qcow2 -o compression_type=zstd b.qcow2 zstd.qcow2',
  'create -q -f qcow2 -o preallocation=metadata laid.qcow2 1M',
  'create -q -f qcow2 -b short.qcow2 -F qcow2 longer.qcow2 1M',
  'io longer.qcow2: write -P 3 100k 1000; write -P 4 600k 64k',
  'create -q -f qcow2 uneven.qcow2 1000448',
  'io uneven.qcow2: write -P 5 900k 77k; write -P 6 10k 512',
  'create -q -f qcow2 leaky.qcow2 1M',
  'io leaky.qcow2: write -P 7 0 256k',
  'create -q -f qcow2 -b marked.qcow2 -F qcow2 over-marked.qcow2',
  'bitmap --add -g 4k over-marked.qcow2 own',
  'io over-marked.qcow2: write -P 8 5k 1k',
  'create -q -f qcow2 locked.qcow2 1M',
  'create -q -f raw nothing.raw 0',
];

/** Where the table of L2 entries lies in an image that `create` makes and the first write gives one. */
const firstL2Table = 0x40000;
const entryBytes = 8;

export class Scene {
  readonly folders = new TwoFolders();
  readonly files = new FolderDifferences(this.folders);
  private readonly contents = new Map<string, Buffer>();
  private readonly stamps = new Map<string, string>();
  private readonly holders: ChildProcess[] = [];

  constructor() {
    const { folders } = this;
    prepare(folders, [...setUp, ...oddImages]);
    damage(folders);
    // Snapshots have dates, and the two folders were not made in the same moment.
    for (const { name } of filesIn(folders.theirs))
      copyFileSync(join(folders.theirs, name), join(folders.ours, name));
    for (const folder of this.both) {
      mkdirSync(join(folder, 'dir'));
      // What a tool removes by mistake is the link.
      symlinkSync('/dev/null', join(folder, 'null'));
      symlinkSync('/proc/version', join(folder, 'version'));
    }
    for (const { name } of filesIn(folders.theirs)) {
      this.contents.set(name, readFileSync(join(folders.theirs, name)));
      this.makeAgain(name);
    }
  }

  private get both(): readonly string[] {
    return [this.folders.ours, this.folders.theirs];
  }

  /** From here on somebody else has `locked.qcow2` open for writing. */
  async lock(): Promise<void> {
    for (const cwd of this.both) {
      const holder = spawn('qemu-io', ['locked.qcow2'], { cwd, stdio: ['pipe', 'pipe', 'inherit'] });
      this.holders.push(holder);
      // It prompts when it has opened the image.
      await new Promise((resolve) => holder.stdout?.once('data', resolve));
    }
  }

  /** Removes what is new and makes again, in both folders, what has changed in one. */
  restore(): void {
    const changed = new Set<string>();
    for (const folder of this.both) {
      for (const { name } of filesIn(folder)) {
        if (!this.contents.has(name)) rmSync(join(folder, name));
        else if (this.stamps.get(join(folder, name)) !== stampOf(join(folder, name))) changed.add(name);
      }
      const left = new Set(readdirSync(folder));
      for (const name of this.contents.keys()) if (!left.has(name)) changed.add(name);
    }
    for (const name of changed) this.makeAgain(name);
  }

  async remove(): Promise<void> {
    for (const holder of this.holders) {
      const ended = new Promise((resolve) => holder.once('close', resolve));
      holder.stdin?.end('quit\n');
      await ended;
    }
    this.folders.remove();
  }

  private makeAgain(name: string): void {
    const content = this.contents.get(name);
    if (!content) throw new Error(`${name} is not of the scene`);
    for (const folder of this.both) {
      const path = join(folder, name);
      writeSparsely(path, content);
      this.stamps.set(path, stampOf(path));
    }
  }
}

function filesIn(folder: string) {
  return readdirSync(folder, { withFileTypes: true }).filter((entry) => entry.isFile());
}

/** In place: who has the file open and locked goes on to have it. */
function writeSparsely(path: string, content: Buffer): void {
  const page = 4096;
  const zeros = Buffer.alloc(page);
  const file = openSync(path, 'w');
  ftruncateSync(file, content.length);
  for (let at = 0; at < content.length; at += page) {
    const part = content.subarray(at, at + page);
    if (!part.equals(zeros.subarray(0, part.length))) writeSync(file, part, 0, part.length, at);
  }
  closeSync(file);
}

/** Images that are not as they should be. */
function damage(folders: TwoFolders): void {
  folders.write('text', 'no image at all\n'.repeat(100));
  for (const [from, to] of [
    ['leaky.qcow2', 'broken.qcow2'],
    ['leaky.qcow2', 'cut.qcow2'],
    ['leaky.qcow2', 'strange.qcow2'],
    ['r.raw', 'holes.raw'],
  ] as const) {
    for (const folder of [folders.ours, folders.theirs]) copyFileSync(join(folder, from), join(folder, to));
  }
  const set = (name: string, offset: number, value: bigint): void =>
    folders.patch(name, (image) => {
      image.writeBigUInt64BE(value, offset);
      return image;
    });
  set('leaky.qcow2', firstL2Table + entryBytes, 0n);
  // Two guest clusters in one, and one that is not aligned.
  set('broken.qcow2', firstL2Table + entryBytes, 0x8000_0000_0005_0000n);
  set('broken.qcow2', firstL2Table + 2 * entryBytes, 0x8000_0000_0007_0200n);
  folders.patch('cut.qcow2', (image) => image.subarray(0, 0x48000));
  // An incompatible feature that nobody knows.
  set('strange.qcow2', 72, 1n << 40n);
}
