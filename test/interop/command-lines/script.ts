/**
 * A script: command lines one after the other, by the real tools and by ours, in two folders that start out equal. After each line
 * output, exit status, and the files with their lengths and allocation have to be the same; what an image holds, too.
 */
import { spawnSync } from 'node:child_process';
import { expect } from 'vitest';
import { type Outcome, type ToolName, TwoFolders, words } from '../../support/cli.ts';
import { bothHere } from '../../support/own-tools.ts';
import { ioCommands } from '../../support/qemu.ts';
import { compared, isKnown } from './differences.ts';
import { FolderDifferences, withoutPlaces } from './folder-differences.ts';

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
export const setUp: readonly string[] = [
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
  readonly files: FolderDifferences;
  known: Set<string>;
}

/** `before`: lines that the real tools have done already, in both folders. */
export function startScript(before: readonly string[]): Progress {
  const folders = new TwoFolders();
  prepare(folders, setUp);
  for (const line of before) {
    const { tool, args } = parseLine(line);
    for (const cwd of [folders.ours, folders.theirs]) spawnSync(tool, args, { cwd });
  }
  return { folders, files: new FolderDifferences(folders), known: new Set() };
}

/** Lines of the real tools, in both folders. */
export function prepare(folders: TwoFolders, lines: readonly string[]): void {
  for (const line of lines) {
    const { tool, args } = parseLine(line);
    folders.prepare(tool, ...args);
  }
}

/** The two tools work one after the other: what a clock said is not compared. */
export function withoutDates({ status, stdout, stderr }: Outcome): Outcome {
  const mask = (text: string): string =>
    withoutPlaces(text)
      .replace(/\d{4}-\d\d-\d\d \d\d:\d\d:\d\d/g, 'DATE')
      .replace(/"date-(sec|nsec)": \d+/g, '"date-$1": DATE');
  return { status, stdout: mask(stdout), stderr: mask(stderr) };
}

export async function compareLine(progress: Progress, line: string): Promise<void> {
  const { folders, files, known } = progress;
  const { tool, args } = parseLine(line);
  const { ours, theirs } = await bothHere(folders, tool, args);
  const answers = { line, ours: withoutDates(ours), theirs: withoutDates(theirs) };
  const differing = await files.find();
  progress.known = new Set(differing);
  const { ours: actual, theirs: expected } = compared(answers);
  expect(actual).toEqual(expected);
  expect(differing.filter((one) => !known.has(one) && !isKnown(answers, one))).toEqual([]);
}
