/**
 * A throttle group: several disks that share one set of limits (specification: throttling, section 4).
 *
 * Per direction, each member has a queue; requests of one member go in the order in which they came. Members with
 * requests waiting take turns: the token says whose turn it was last. At most one timer per direction is armed, for the
 * member whose turn is next; while it is, everybody waits. Invariant: whenever a request waits in some queue, the timer
 * of its direction is armed.
 *
 * A member that is drained waits for nothing: what it has in its queues goes at once, and is accounted.
 */

import { assert } from '../base/assert.ts';
import { settled } from '../base/settled.ts';
import type { Throttle } from '../block/backend.ts';
import type { Clock, Timer } from '../platform/platform.ts';
import { throttleWait, tracer } from '../trace/events.ts';
import type { ThrottleConfig } from './config.ts';
import { type Direction, LeakyBuckets } from './leaky-bucket.ts';

const directions = ['read', 'write'] as const;
interface Waiting {
  bytes: number;
  admit: () => void;
}

export class ThrottleGroup {
  private readonly buckets: LeakyBuckets;
  private readonly members: ThrottleMember[] = [];
  /** Whose turn it was last. */
  private readonly tokens: Record<Direction, ThrottleMember | undefined> = {
    read: undefined,
    write: undefined,
  };
  private readonly armed: Record<Direction, { timer: Timer; member: ThrottleMember } | undefined> = {
    read: undefined,
    write: undefined,
  };

  constructor(
    readonly name: string,
    private readonly clock: Clock,
    config: ThrottleConfig,
    /** Called when the last member has left. */
    private readonly onEmpty: () => void = () => {},
  ) {
    this.buckets = new LeakyBuckets(config, clock.nowNs());
  }

  get config(): ThrottleConfig {
    return this.buckets.config;
  }

  get isUsed(): boolean {
    return this.members.length > 0;
  }

  /** Replaces the limits for all members and starts counting anew. `config` has been validated. */
  configure(config: ThrottleConfig): void {
    this.buckets.configure(config, this.clock.nowNs());
    for (const direction of directions) {
      const armed = this.armed[direction];
      if (!armed) continue;
      this.disarm(direction);
      this.proceed(armed.member, direction);
    }
  }

  join(): ThrottleMember {
    const member = new ThrottleMember(this);
    this.members.push(member);
    return member;
  }

  /** For ThrottleMember alone, as everything below. */
  leave(member: ThrottleMember): void {
    for (const direction of directions) {
      assert(
        !member.hasWaiting(direction),
        `a member of throttle group ${this.name} leaves while requests wait`,
      );
      if (this.tokens[direction] === member) this.tokens[direction] = this.following(member);
      if (this.armed[direction]?.member !== member) continue;
      this.disarm(direction);
      this.proceed(member, direction);
    }
    this.members.splice(this.members.indexOf(member), 1);
    for (const direction of directions) {
      if (this.tokens[direction] === member) this.tokens[direction] = undefined;
    }
    if (this.members.length === 0) this.onEmpty();
  }

  admit(member: ThrottleMember, direction: Direction, bytes: number): Promise<void> {
    if (!member.isUnlimited) {
      if (this.mustWait(this.nextTurn(member, direction), direction)) {
        const waiting = new Promise<void>((admit) => member.enqueue(direction, { bytes, admit }));
        return throttleWait.enabled ? this.watched(waiting, direction, bytes) : waiting;
      }
    }
    this.buckets.account(direction, bytes);
    this.proceed(member, direction);
    return settled;
  }

  private async watched(waiting: Promise<void>, direction: Direction, bytes: number): Promise<void> {
    const startNs = tracer.nowNs();
    await waiting;
    if (throttleWait.enabled)
      throttleWait.emit({ group: this.name, direction, bytes, us: tracer.usSince(startNs) });
  }

  /** The limits of `member` have just gone: nothing of it waits any more. */
  release(member: ThrottleMember): void {
    for (const direction of directions) {
      if (this.armed[direction]?.member === member) this.disarm(direction);
      this.proceed(member, direction);
    }
  }

  /** Lets requests go as long as none has to wait; `member` was the last to have one. */
  private proceed(member: ThrottleMember, direction: Direction): void {
    let current = member;
    for (;;) {
      const candidate = this.nextTurn(current, direction);
      if (!candidate.hasWaiting(direction) || this.mustWait(candidate, direction)) return;
      // Whose request it was may go on with the next as long as there is room: turns change when it runs out.
      if (!current.hasWaiting(direction)) current = candidate;
      this.tokens[direction] = current;
      this.letGo(current, direction);
    }
  }

  private letGo(member: ThrottleMember, direction: Direction): void {
    const { bytes, admit } = member.dequeue(direction);
    this.buckets.account(direction, bytes);
    admit();
  }

  /** The next member after the token that has something waiting, or else `member` itself. */
  private nextTurn(member: ThrottleMember, direction: Direction): ThrottleMember {
    if (member.isUnlimited && member.hasWaiting(direction)) return member;
    const { members } = this;
    const start = members.indexOf(this.tokens[direction] ?? member);
    for (let step = 1; step <= members.length; step++) {
      const candidate = members[(start + step) % members.length]!; // a member asks
      if (candidate.hasWaiting(direction)) return candidate;
    }
    return member;
  }

  /** Arms the timer for `candidate` when there is no room now. */
  private mustWait(candidate: ThrottleMember, direction: Direction): boolean {
    if (candidate.isUnlimited) return false;
    if (this.armed[direction]) return true;
    const wait = this.buckets.waitNs(direction, this.clock.nowNs());
    if (wait === 0) return false;
    const timer = this.clock.setTimer(wait, () => this.onTimer(candidate, direction));
    this.armed[direction] = { timer, member: candidate };
    this.tokens[direction] = candidate;
    return true;
  }

  private onTimer(member: ThrottleMember, direction: Direction): void {
    this.armed[direction] = undefined;
    if (member.hasWaiting(direction)) this.letGo(member, direction);
    this.proceed(member, direction);
  }

  private disarm(direction: Direction): void {
    this.armed[direction]?.timer.cancel();
    this.armed[direction] = undefined;
  }

  private following(member: ThrottleMember): ThrottleMember | undefined {
    const next = this.members[(this.members.indexOf(member) + 1) % this.members.length];
    return next === member ? undefined : next;
  }
}

/** One disk in a group. */
export class ThrottleMember implements Throttle {
  private readonly queues: Record<Direction, Waiting[]> = { read: [], write: [] };
  private drainCount = 0;

  /** Not for callers: `ThrottleGroup.join` makes members. */
  constructor(readonly group: ThrottleGroup) {}

  /** Settles when the group has room for the request of `bytes` bytes. Writes are all requests that change data. */
  admit(kind: Direction, bytes: number): Promise<void> {
    return this.group.admit(this, kind, bytes);
  }

  drainBegin(): void {
    this.drainCount++;
    if (this.drainCount === 1) this.group.release(this);
  }

  /** Harmless more often than `drainBegin`: a member may join in the middle of a drained section. */
  drainEnd(): void {
    if (this.drainCount > 0) this.drainCount--;
  }

  /** Nothing of it may be waiting. */
  leave(): void {
    this.group.leave(this);
  }

  /** Because it is drained. */
  get isUnlimited(): boolean {
    return this.drainCount > 0;
  }

  // For the group.

  hasWaiting(direction: Direction): boolean {
    return this.queues[direction].length > 0;
  }

  enqueue(direction: Direction, waiting: Waiting): void {
    this.queues[direction].push(waiting);
  }

  dequeue(direction: Direction): Waiting {
    const first = this.queues[direction].shift();
    assert(first, 'a throttled queue is empty');
    return first;
  }
}
