/**
 * A script: command lines one after the other, by the real tools and by ours, in two folders that start out equal. After each line
 * output, exit status, and the files with their lengths and allocation have to be the same; what an image holds, too.
 */
import { createHash } from 'node:crypto';
import { closeSync, openSync, readdirSync, readFileSync, readSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { expect } from 'vitest';
import { type Outcome, type ToolName, TwoFolders, words } from '../../support/cli.ts';
import { bothHere } from '../../support/own-tools.ts';
import { ioCommands } from '../../support/qemu.ts';
import { compared, isExplained, isKnown, type Shape } from './differences.ts';

export interface Script {
  readonly name: string;
  /** Each a line of qemu-img, without its name; or of qemu-io, `io FILE: COMMAND; COMMAND`. */
  readonly lines: readonly string[];
}

/** What a line of a script means. */
export function parseLine(line: string): { tool: ToolName; args: string[] } {
  const found = /^io (.*?): (.*)$/.exec(line);
  if (!found) return { tool: 'qemu-img', args: line === '' ? [] : words(line) };
  const [, opened, commands] = found as unknown as [string, string, string];
  return { tool: 'qemu-io', args: [...ioCommands(...commands.split('; ')), ...words(opened)] };
}

/** The images that every script begins with, made by the real tools. */
const setUp: readonly string[] = [
  'create -q -f qcow2 a.qcow2 1M',
  'io a.qcow2: write -P 1 0 200k',
  'create -q -f qcow2 -b a.qcow2 -F qcow2 b.qcow2',
  'io b.qcow2: write -P 3 64k 64k; write -z 256k 64k',
  'create -q -f qcow2 -b b.qcow2 -F qcow2 c.qcow2 3M',
  'io c.qcow2: write -P 4 1000k 200k; write -P 5 2900k 1k',
  'create -q -f qcow2 other.qcow2 1M',
  'io other.qcow2: write -P 1 0 100k; write -P 9 512k 64k',
  'create -q -f qcow2 short.qcow2 300k',
  'io short.qcow2: write -P 8 0 300k',
  'create -q -f qcow2 empty.qcow2 1M',
  'create -q -f qcow2 none.qcow2 0',
  'create -q -f qcow2 -o compat=0.10 old.qcow2 1M',
  'io old.qcow2: write -P 2 128k 64k',
  'create -q -f qcow2 -o cluster_size=4k,refcount_bits=64,lazy_refcounts=on wide.qcow2 1M',
  'io wide.qcow2: write -P 6 10k 100k',
  'convert -c -O qcow2 a.qcow2 packed.qcow2',
  'create -q -f qcow2 snap.qcow2 1M',
  'io snap.qcow2: write -P 1 0 1M',
  'snapshot -c one snap.qcow2',
  'io snap.qcow2: write -P 2 64k 64k',
  'snapshot -c 1 snap.qcow2',
  'create -q -f qcow2 marked.qcow2 1M',
  'bitmap --add -g 32k marked.qcow2 day',
  'bitmap --add --disable marked.qcow2 night',
  'io marked.qcow2: write -P 7 100k 300k',
  'create -q -f raw r.raw 1M',
  'io -f raw r.raw: write -P 9 64k 64k; write -P 2 1000k 24k',
  'create -q -f raw odd.raw 1000',
  'io -f raw odd.raw: write -P 5 0 1000',
  'create -q -f qcow2 -b r.raw -F raw over-raw.qcow2',
  'io over-raw.qcow2: write -P 11 32k 64k',
  'create -q -f qcow2 -u -b nowhere.qcow2 -F qcow2 orphan.qcow2 1M',
];

/** Two folders, and how their files differed after the last line: that is told once. */
export interface Progress {
  readonly folders: TwoFolders;
  known: Set<string>;
  /** What has been found of two files, by what they hold. */
  readonly looked: Map<string, string[]>;
}

export function startScript(): Progress {
  const folders = new TwoFolders();
  for (const line of setUp) {
    const { tool, args } = parseLine(line);
    folders.prepare(tool, ...args);
  }
  return { folders, known: new Set(), looked: new Map() };
}

/** The two tools work one after the other: what a clock said is not compared. */
function withoutDates({ status, stdout, stderr }: Outcome): Outcome {
  const mask = (text: string): string =>
    withoutPlaces(text)
      .replace(/\d{4}-\d\d-\d\d \d\d:\d\d:\d\d/g, 'DATE')
      .replace(/"date-(sec|nsec)": \d+/g, '"date-$1": DATE');
  return { status, stdout: mask(stdout), stderr: mask(stderr) };
}

export async function compareLine(progress: Progress, line: string): Promise<void> {
  const { folders, known } = progress;
  const { tool, args } = parseLine(line);
  const { ours, theirs } = await bothHere(folders, tool, args);
  const differing = await differencesOf(progress);
  progress.known = new Set(differing);
  const [actual, expected] = [ours, theirs].map((outcome) => compared(line, withoutDates(outcome)));
  expect(actual).toEqual(expected);
  expect(differing.filter((one) => !known.has(one) && !isKnown(line, one))).toEqual([]);
}

interface FileFacts extends Shape {
  /** Empty: too large to read. */
  readonly hash: string;
}

const largest = 64 << 20;

function filesOf(folder: string): Map<string, FileFacts> {
  return new Map(
    readdirSync(folder).map((name) => {
      const path = join(folder, name);
      const { size: bytes, blocks } = statSync(path);
      const hash = bytes > largest ? '' : createHash('sha1').update(readFileSync(path)).digest('hex');
      const header = headerOf(path);
      const qcow2 = isQcow2(header) ? { clusterBytes: 2 ** header.readUInt32BE(20) } : {};
      return [name, { bytes, allocated: 512 * blocks, hash, ...qcow2 }];
    }),
  );
}

/** How the files of ours differ from those of the real tools, a sentence each. */
async function differencesOf({ folders, looked }: Progress): Promise<string[]> {
  const [ours, theirs] = [filesOf(folders.ours), filesOf(folders.theirs)];
  const found: string[] = [];
  for (const name of new Set([...ours.keys(), ...theirs.keys()])) {
    const [our, their] = [ours.get(name), theirs.get(name)];
    if (!our || !their) found.push(our ? `${name} is only in ours` : `${name} is missing`);
    else {
      if (!isExplained(our, their)) found.push(`${name} is ${inWords(our)}, theirs ${inWords(their)}`);
      if (our.hash !== '' && our.hash === their.hash) continue;
      const pair = `${name} ${our.hash} ${their.hash}`;
      const differences = looked.get(pair) ?? (await imageDifferences(folders, name));
      if (our.hash !== '') looked.set(pair, differences);
      found.push(...differences);
    }
  }
  return found;
}

function inWords({ bytes, allocated }: Shape): string {
  return `${bytes} bytes long and takes ${allocated}`;
}

/** Clusters may lie in another order: the disk inside is the same, and sound. */
async function imageDifferences(folders: TwoFolders, name: string): Promise<string[]> {
  const path = join('..', 'theirs', name);
  const format = isQcow2(headerOf(join(folders.theirs, name))) ? 'qcow2' : 'raw';
  const equal = await folders.realTool('qemu-img', 'compare', '-f', format, '-F', format, path, name);
  const found: string[] = [];
  // An image whose backing file is not there can be read by nobody.
  if (equal.status !== 0 && !equal.stderr.includes('Could not open backing file'))
    found.push(`${name}: ${equal.stdout}${equal.stderr}`);
  if (format === 'raw') return found;
  const [ours, theirs] = await Promise.all([
    folders.realTool('qemu-img', 'check', '-f', 'qcow2', name),
    folders.realTool('qemu-img', 'check', '-f', 'qcow2', path),
  ]);
  const [our, their] = [withoutPlaces(ours.stdout), withoutPlaces(theirs.stdout)];
  if (our !== their) found.push(`${name}: check says ${our}, of theirs ${their}`);
  return found;
}

/** What `check` says, without where clusters lie. */
function withoutPlaces(text: string): string {
  return text.replace(/[\d.]+% fragmented/, 'fragmented').replace(/Image end offset: \d+/, '');
}

function headerOf(path: string): Buffer {
  const header = Buffer.alloc(32);
  const file = openSync(path, 'r');
  readSync(file, header);
  closeSync(file);
  return header;
}

function isQcow2(header: Buffer): boolean {
  return header.toString('latin1', 0, 4) === 'QFI\xfb';
}
