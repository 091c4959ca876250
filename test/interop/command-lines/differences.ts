/** Where our tools are allowed to answer otherwise than the real ones in a script, with the reason. Contents are never among it. */

import type { Outcome } from '../../support/cli.ts';

interface Difference {
  readonly reason: string;
  /** The lines that it is about. */
  readonly lines: RegExp;
  /** What of both is compared. */
  seen(outcome: Outcome): Outcome;
}

/** Without what `pattern` finds in its output. */
function without(pattern: RegExp): (outcome: Outcome) => Outcome {
  return (outcome) => ({ ...outcome, stdout: outcome.stdout.replace(pattern, 'MASKED') });
}

const nothing = (): Outcome => ({ status: 0, stdout: '', stderr: '' });

const differences: readonly Difference[] = [
  {
    reason: 'free clusters are taken from where each tool finds them',
    lines: /^map /,
    seen: without(/(?<=^0x\w+ +0x\w+ +)0x\w+|(?<="offset": )\d+/gm),
  },
  {
    reason: 'tables of zeroes are holes in ours, and a file ends where its last cluster does',
    lines: /^info /,
    seen: without(
      /(?<=disk size: ).*|(?<="actual-size": )\d+|(?<="virtual-size": )\d+|(?<=file length: ).*/g,
    ),
  },
  {
    reason: 'how often progress is told',
    lines: /^(amend|commit|rebase) -p/,
    seen: without(/[ \r\n]*(\([\d.]+\/100%\)[ \r\n]*)+/g),
  },
  {
    reason: 'bitmaps go with the version that has them: QEMU leaves their clusters behind as leaks',
    lines: /^check marked\.qcow2$/,
    seen: nothing,
  },
  {
    reason: 'ours keeps bitmaps of raw images beside them',
    lines: /^bitmap --add (-f raw )?r\.raw/,
    seen: nothing,
  },
  {
    reason: 'ours checks an image whose backing file is not there',
    lines: /^check orphan\.qcow2$/,
    seen: nothing,
  },
  {
    reason: 'ours does not take a character device for an empty disk',
    lines: /^info \/dev\/null$/,
    seen: nothing,
  },
];

/** What of an outcome is compared. */
export function compared(line: string, outcome: Outcome): Outcome {
  return differences
    .filter(({ lines }) => lines.test(line))
    .reduce((seen, difference) => difference.seen(seen), outcome);
}

interface KnownFile {
  readonly reason: string;
  readonly lines: RegExp;
  /** How the files may differ after such a line. */
  readonly files: RegExp;
}

const knownFiles: readonly KnownFile[] = [
  {
    reason: 'bitmaps go with the version that has them: QEMU leaves their clusters behind as leaks',
    lines: /^amend -o compat=0\.10 marked\.qcow2$/,
    files: /^marked\.qcow2: check says/,
  },
  {
    reason: 'ours refuses a backing file without a format before it copies anything',
    lines: /^rebase -b other\.qcow2 b\.qcow2$/,
    files: /^b\.qcow2: check says/,
  },
  {
    reason: 'ours keeps bitmaps of raw images beside them',
    lines: /^bitmap --add r\.raw/,
    files: /^r\.raw\.bitmaps is only in ours$/,
  },
  {
    reason: 'what cannot be made in whole leaves no file',
    lines: /^(convert -O raw --bitmaps|create -f raw -o preallocation=metadata)/,
    files: /^(o19|n6)\.raw is missing$/,
  },
  {
    reason: 'what was there stays when nothing new can be made in its place',
    lines: /^create .*compression_type=lz4/,
    files: /^n16\.qcow2 is only in ours$/,
  },
];

/** Whether the files may differ so, after this line. */
export function isKnown(line: string, difference: string): boolean {
  return knownFiles.some(({ lines, files }) => lines.test(line) && files.test(difference));
}

export interface Shape {
  readonly bytes: number;
  /** What it takes of the disk. */
  readonly allocated: number;
  /** Of a qcow2 image. */
  readonly clusterBytes?: number;
}

const page = 4096;

/**
 * Where free clusters are taken from, and so where an image ends, is each tool's own; and tables of zeroes are holes in ours, where the
 * real tools write them. All of that is a matter of a few clusters.
 */
export function isExplained(ours: Shape, theirs: Shape): boolean {
  const few = Math.max(4 * (theirs.clusterBytes ?? 0), 72 * page);
  if (theirs.clusterBytes === undefined) return ours.bytes === theirs.bytes && near(ours, theirs, page);
  return Math.abs(ours.bytes - theirs.bytes) <= few && near(ours, theirs, few);
}

function near(ours: Shape, theirs: Shape, by: number): boolean {
  return Math.abs(ours.allocated - theirs.allocated) <= by;
}
