/**
 * Operation blockers: which operations on a node are refused at the moment, and why (specification: graph, section 8).
 */
import { BlockError } from '../base/errors.ts';

export const opTypes = [
  'backup-source',
  'backup-target',
  'change',
  'commit-source',
  'commit-target',
  'dataplane',
  'drive-del',
  'eject',
  'external-snapshot',
  'internal-snapshot',
  'internal-snapshot-delete',
  'mirror-source',
  'mirror-target',
  'resize',
  'stream',
  'replace',
] as const;

export type OpType = (typeof opTypes)[number];

/** One reason for blocking; its identity is what removes it again. */
export interface OpBlocker {
  readonly reason: string;
}

export class OpBlockers {
  private readonly blockers = new Map<OpType, OpBlocker[]>();

  /** `subject` is how the node is called in messages: its device or its node name. */
  constructor(private readonly subject: () => string) {}

  block(type: OpType, blocker: OpBlocker): void {
    const list = this.blockers.get(type);
    if (list) list.unshift(blocker);
    else this.blockers.set(type, [blocker]);
  }

  /** Blocks every operation but `except`. */
  blockAll(blocker: OpBlocker, except: readonly OpType[] = []): void {
    for (const type of opTypes) if (!except.includes(type)) this.block(type, blocker);
  }

  unblockAll(blocker: OpBlocker): void {
    for (const [type, list] of this.blockers) {
      const rest = list.filter((other) => other !== blocker);
      if (rest.length) this.blockers.set(type, rest);
      else this.blockers.delete(type);
    }
  }

  isBlocked(type: OpType): boolean {
    return this.blockers.has(type);
  }

  /** Throws `Node 'X' is busy: REASON` when `type` is blocked. */
  check(type: OpType): void {
    const blocker = this.blockers.get(type)?.[0];
    if (blocker) throw new BlockError('EBUSY', `Node '${this.subject()}' is busy: ${blocker.reason}`);
  }
}
