/** Failures to order: which operations of a simulation fail, and with what. */
import type { Errno } from '../../base/errors.ts';

export type IoType =
  | 'open'
  | 'unlink'
  | 'read'
  | 'write'
  | 'flush'
  | 'truncate'
  | 'zero'
  | 'discard'
  | 'allocate';

/** One operation at the boundary to the host, as it is issued. */
export interface IoOperation {
  /** Counts all operations of the simulation, from 1. */
  number: number;
  timeNs: number;
  type: IoType;
  path: string;
  /** 0 where it has no meaning. */
  offset: number;
  bytes: number;
  /** `open` only: for writing. */
  forWriting?: boolean;
}

export interface FaultRule {
  errno: Errno;
  type?: IoType;
  path?: string;
  /** Only operations that touch this range. */
  range?: { offset: number; bytes: number };
  /** Any further condition. */
  when?(operation: IoOperation): boolean;
  /** Lets this many matching operations pass first. */
  after?: number;
  /** Then fails this many; all of them unless given. */
  times?: number;
}

export class Faults {
  private readonly rules: { rule: FaultRule; matched: number }[] = [];

  /** The rule holds until the returned function is called. */
  add(rule: FaultRule): () => void {
    const entry = { rule, matched: 0 };
    this.rules.push(entry);
    return () => {
      const index = this.rules.indexOf(entry);
      if (index >= 0) this.rules.splice(index, 1);
    };
  }

  /** The error that `operation` is to fail with. Counts it for every rule it matches. */
  match(operation: IoOperation): Errno | undefined {
    let found: Errno | undefined;
    for (const entry of this.rules) {
      const { rule } = entry;
      if (!matches(rule, operation)) continue;
      const count = entry.matched++ - (rule.after ?? 0);
      if (count >= 0 && count < (rule.times ?? Number.POSITIVE_INFINITY)) found ??= rule.errno;
    }
    return found;
  }
}

function matches({ type, path, range, when }: FaultRule, operation: IoOperation): boolean {
  if (type !== undefined && type !== operation.type) return false;
  if (path !== undefined && path !== operation.path) return false;
  if (range) {
    const { offset, bytes } = operation;
    if (offset >= range.offset + range.bytes || offset + bytes <= range.offset) return false;
  }
  return when?.(operation) ?? true;
}
