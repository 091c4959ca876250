/** Where our tools are allowed to answer otherwise than the real ones in a script, with the reason. Contents are never among it. */

interface Difference {
  readonly reason: string;
  /** The lines that it is about. */
  readonly lines: RegExp;
  /** What of theirs is expected of ours. */
  adapt<T>(theirs: T, ours: T): T;
}

const differences: readonly Difference[] = [];

/** What ours should have given. */
export function explain<T>(line: string, theirs: T, ours: T): T {
  return differences
    .filter(({ lines }) => lines.test(line))
    .reduce((expected, { adapt }) => adapt(expected, ours), theirs);
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
  const few = 4 * Math.max(theirs.clusterBytes ?? 0, page);
  if (theirs.clusterBytes === undefined) return ours.bytes === theirs.bytes && near(ours, theirs, page);
  return Math.abs(ours.bytes - theirs.bytes) <= few && near(ours, theirs, few);
}

function near(ours: Shape, theirs: Shape, by: number): boolean {
  return Math.abs(ours.allocated - theirs.allocated) <= by;
}
