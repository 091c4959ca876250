/**
 * The rules of a blkdebug node: a state machine that events drive, and the errors that wait for requests
 * (specification: graph, section 4).
 *
 * An event visits the rules made for it whose state is the current one, or any. Error rules among them take the place
 * of those that were active before; without one, the active rules stay. A state rule changes the state once all are
 * visited; the first declared counts. A request gets the first active rule that fits it.
 */
import type { Errno } from '../../base/errors.ts';
import type { DebugEvent } from '../../block/debug-events.ts';

export const ioTypes = ['read', 'write', 'write-zeroes', 'discard', 'flush', 'block-status'] as const;
export type IoType = (typeof ioTypes)[number];

interface InjectRule {
  readonly event: DebugEvent;
  /** 0: any. */
  readonly state: number;
  /** Undefined: every kind but block-status. */
  readonly ioType: IoType | undefined;
  /** Undefined: the request passes, whatever rules come after. */
  readonly errno: Errno | undefined;
  /** Byte that must be in the request; -1: any request, and the only one that fits a flush. */
  readonly offset: number;
  /** Gone after it made one request fail. */
  readonly once: boolean;
  /** Fail before anything else happens. */
  readonly immediately: boolean;
}

interface StateRule {
  readonly event: DebugEvent;
  readonly state: number;
  readonly newState: number;
}

export interface RuleSet {
  readonly inject: readonly InjectRule[];
  readonly setState: readonly StateRule[];
}

const initialState = 1;

export class RuleMachine {
  private state = initialState;
  private inject: readonly InjectRule[];
  private active: readonly InjectRule[] = [];
  private readonly setState: readonly StateRule[];

  /** Rules for the event `none` are active from the start. */
  constructor(rules: RuleSet) {
    this.inject = rules.inject;
    this.setState = rules.setState;
    this.handle('none');
  }

  get currentState(): number {
    return this.state;
  }

  handle(event: DebugEvent): void {
    const fits = (rule: { event: DebugEvent; state: number }): boolean =>
      rule.event === event && (rule.state === 0 || rule.state === this.state);
    const injected = this.inject.filter(fits);
    if (injected.length > 0) this.active = injected;
    const change = this.setState.find(fits);
    if (change) this.state = change.newState;
  }

  /** The rule that makes a request fail. A rule that fits once is gone with that. */
  match(ioType: IoType, offset: number, bytes: number): (InjectRule & { errno: Errno }) | undefined {
    const rule = this.active.find((candidate) => matches(candidate, ioType, offset, bytes));
    if (rule?.errno === undefined) return undefined;
    if (rule.once) {
      this.active = this.active.filter((other) => other !== rule);
      this.inject = this.inject.filter((other) => other !== rule);
    }
    return rule as InjectRule & { errno: Errno };
  }
}

function matches(rule: InjectRule, ioType: IoType, offset: number, bytes: number): boolean {
  const isKind = rule.ioType === undefined ? ioType !== 'block-status' : rule.ioType === ioType;
  return isKind && (rule.offset === -1 || (rule.offset >= offset && rule.offset < offset + bytes));
}
