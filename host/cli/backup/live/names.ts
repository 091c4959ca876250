/**
 * What a run of a live backup calls the things that it makes in a daemon and that are gone when it is over, nodes, jobs, exports and a bitmap:
 * `blockyard-PID-N-PART`, of disk N, by process PID. From the name alone it is plain whose it is.
 *
 * Nodes have names of at most 31 characters.
 */

const parts = ['scratch', 'filter', 'access', 'changes', 'job', 'export'] as const;

/** What a run has of each disk. */
type Part = (typeof parts)[number];

export function partName(disk: number, part: Part): string {
  return `blockyard-${process.pid}-${disk}-${part}`;
}

/** Of all that this run has of its first `disks` disks. */
export function partNames(disks: number): string[] {
  return Array.from({ length: disks }, (_, i) => parts.map((part) => partName(i, part))).flat();
}

/** The process that made it. Undefined: it is not of a run. */
export function runOf(name: string): number | undefined {
  const [, pid] = /^blockyard-(\d+)-\d+-[a-z]+$/.exec(name) ?? [];
  return pid === undefined ? undefined : Number(pid);
}
