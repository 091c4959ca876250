/** Throttle groups on a clock of their own: the rates they keep, who goes when, and what drain and leaving do. */
import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { Clock, Timer } from '../../host/platform/platform.ts';
import {
  type BucketName,
  mapBuckets,
  noBucketLimits,
  type ThrottleConfig,
  unlimited,
} from '../../host/throttle/config.ts';
import { ThrottleGroup, type ThrottleMember } from '../../host/throttle/group.ts';
import type { Direction } from '../../host/throttle/leaky-bucket.ts';
import { mib } from '../support/units.ts';

const secondNs = 1e9;
const hourNs = 3600 * secondNs;

/** Time moves from alarm to alarm; what promises have to do is done in between. */
class AlarmClock implements Clock {
  private timeNs = 0;
  private alarms: { dueNs: number; ring: () => void }[] = [];

  nowNs = (): number => this.timeNs;
  wallClock = (): { seconds: number; microseconds: number } => ({ seconds: 0, microseconds: 0 });
  yield = async (): Promise<void> => {};

  setTimer = (delayNs: number, ring: () => void): Timer => {
    const alarm = { dueNs: this.timeNs + delayNs, ring };
    this.alarms.push(alarm);
    return { cancel: () => void (this.alarms = this.alarms.filter((other) => other !== alarm)) };
  };

  get armed(): number {
    return this.alarms.length;
  }

  async runUntil(endNs: number): Promise<void> {
    await settle();
    for (;;) {
      const due = this.alarms.reduce<(typeof this.alarms)[number] | undefined>(
        (first, alarm) => (alarm.dueNs <= endNs && (!first || alarm.dueNs < first.dueNs) ? alarm : first),
        undefined,
      );
      if (!due) break;
      this.alarms = this.alarms.filter((other) => other !== due);
      this.timeNs = Math.max(this.timeNs, due.dueNs);
      due.ring();
      await settle();
    }
    this.timeNs = endNs;
  }
}

/** Lets everything happen that can happen without time passing. */
function settle(): Promise<void> {
  return new Promise((resolve) => void setImmediate(resolve));
}

function limits(
  given: Partial<Record<BucketName, { avg: number; max?: number; burstLength?: number }>>,
  iopsSize = 0,
): ThrottleConfig {
  return { buckets: mapBuckets((name) => ({ ...noBucketLimits, ...given[name] })), iopsSize };
}

/** A disk that always has the next request ready. */
class Load {
  requests = 0;
  bytes = 0;
  private stopped = false;

  constructor(
    member: ThrottleMember,
    direction: Direction,
    size: () => number,
    limit = Number.POSITIVE_INFINITY,
  ) {
    void this.run(member, direction, size, limit);
  }

  stop(): void {
    this.stopped = true;
  }

  private async run(
    member: ThrottleMember,
    direction: Direction,
    size: () => number,
    limit: number,
  ): Promise<void> {
    while (!this.stopped && this.requests < limit) {
      const bytes = size();
      await member.admit(direction, bytes);
      this.requests++;
      this.bytes += bytes;
    }
  }
}

describe('the rate of a group', () => {
  const kinds: [BucketName, Direction, number][] = [
    ['bps-total', 'read', mib],
    ['bps-total', 'write', mib],
    ['bps-read', 'read', mib],
    ['bps-write', 'write', mib],
    ['iops-total', 'read', 7],
    ['iops-total', 'write', 7],
    ['iops-read', 'read', 7],
    ['iops-write', 'write', 7],
  ];

  test.each(kinds)('with %s is what it says for a %s, over hours', async (name, direction, avg) => {
    const clock = new AlarmClock();
    const group = new ThrottleGroup('g', clock, limits({ [name]: { avg } }));
    const load = new Load(group.join(), direction, () => 300_000);
    await clock.runUntil(2 * hourNs);
    const done = name.startsWith('bps') ? load.bytes : load.requests;
    expect(Math.abs(done / (avg * 7200) - 1)).toBeLessThan(0.01);
  });

  test('counts both directions together in a total', async () => {
    const clock = new AlarmClock();
    const group = new ThrottleGroup('g', clock, limits({ 'iops-total': { avg: 10 } }));
    const loads = [new Load(group.join(), 'read', () => 1), new Load(group.join(), 'write', () => 1)];
    await clock.runUntil(hourNs);
    const done = loads[0]!.requests + loads[1]!.requests;
    expect(Math.abs(done / 36_000 - 1)).toBeLessThan(0.01);
    expect(Math.min(...loads.map(({ requests }) => requests))).toBeGreaterThan(9000);
  });

  test('leaves a direction alone that has no limit', async () => {
    const clock = new AlarmClock();
    const member = new ThrottleGroup('g', clock, limits({ 'iops-write': { avg: 1 } })).join();
    const reads = new Load(member, 'read', () => 1, 1000);
    const writes = new Load(member, 'write', () => 1, 1000);
    await clock.runUntil(2 * secondNs);
    expect(reads.requests).toBe(1000);
    expect(writes.requests).toBeLessThan(4);
  });

  test('counts a large request as several operations', async () => {
    const clock = new AlarmClock();
    const group = new ThrottleGroup('g', clock, limits({ 'iops-total': { avg: 100 } }, 4096));
    const load = new Load(group.join(), 'write', () => 4096 * 2.5);
    await clock.runUntil(hourNs);
    expect(Math.abs(load.requests / (36e4 / 2.5) - 1)).toBeLessThan(0.01);
  });

  test('allows a tenth of a second at once, and a request may overshoot', async () => {
    const clock = new AlarmClock();
    const group = new ThrottleGroup('g', clock, limits({ 'iops-total': { avg: 100 } }));
    const load = new Load(group.join(), 'read', () => 1);
    await clock.runUntil(0);
    expect(load.requests).toBe(11);
  });

  test('allows a second at the burst rate at once, and then goes on with the average', async () => {
    const clock = new AlarmClock();
    const group = new ThrottleGroup('g', clock, limits({ 'iops-total': { avg: 100, max: 200 } }));
    const load = new Load(group.join(), 'read', () => 1);
    await clock.runUntil(0);
    expect(load.requests).toBe(201);
    await clock.runUntil(10 * secondNs);
    expect(Math.abs(load.requests - 1200)).toBeLessThanOrEqual(2);
  });

  test('keeps up a long burst at its rate, for as long as it may last', async () => {
    const clock = new AlarmClock();
    const group = new ThrottleGroup(
      'g',
      clock,
      limits({ 'iops-total': { avg: 10, max: 100, burstLength: 60 } }),
    );
    const load = new Load(group.join(), 'read', () => 1);
    await clock.runUntil(30 * secondNs);
    expect(Math.abs(load.requests - 3010)).toBeLessThanOrEqual(2);
    // max · length + avg · t = max · t ends the burst.
    const burstEnd = 6000 / 90;
    await clock.runUntil(burstEnd * secondNs);
    expect(Math.abs(load.requests - 100 * burstEnd)).toBeLessThan(20);
    const before = load.requests;
    await clock.runUntil((burstEnd + 100) * secondNs);
    expect(Math.abs(load.requests - before - 1000)).toBeLessThan(20);
  });

  test('is another as soon as it is configured', async () => {
    const clock = new AlarmClock();
    const group = new ThrottleGroup('g', clock, limits({ 'bps-total': { avg: 1 } }));
    const load = new Load(group.join(), 'read', () => 1e6, 500);
    await clock.runUntil(secondNs);
    expect(load.requests).toBe(1);
    group.configure(unlimited);
    await settle();
    expect(load.requests).toBe(500);
    expect(clock.armed).toBe(0);
  });
});

describe('the members of a group', () => {
  test('get equal turns, whatever the sizes of their requests', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.array(fc.integer({ min: 1, max: 200_000 }), { minLength: 1, maxLength: 5 }), {
          minLength: 2,
          maxLength: 6,
        }),
        fc.constantFrom<BucketName>('iops-total', 'bps-total', 'bps-write'),
        async (sizes, name) => {
          const clock = new AlarmClock();
          const avg = name === 'iops-total' ? 8 : 65_536;
          const group = new ThrottleGroup('g', clock, limits({ [name]: { avg } }));
          const loads = sizes.map((cycle) => {
            let next = 0;
            return new Load(group.join(), 'write', () => cycle[next++ % cycle.length]!);
          });
          await clock.runUntil(hourNs);
          const bytes = loads.reduce((sum, load) => sum + load.bytes, 0);
          const requests = loads.reduce((sum, load) => sum + load.requests, 0);
          const done = name === 'iops-total' ? requests : bytes;
          expect(Math.abs(done / (avg * 3600) - 1)).toBeLessThan(0.01);
          // While one has the turn it may use up a tenth of a second's worth: nobody gets less than that leaves.
          for (const load of loads) expect(load.requests).toBeGreaterThan(0);
          if (name === 'iops-total') {
            const most = Math.max(...loads.map((load) => load.requests));
            const least = Math.min(...loads.map((load) => load.requests));
            expect(most - least).toBeLessThanOrEqual(2);
          }
        },
      ),
      { numRuns: 40 },
    );
  }, 60_000);

  test('keep the order of their own requests', async () => {
    const clock = new AlarmClock();
    const group = new ThrottleGroup('g', clock, limits({ 'iops-total': { avg: 10 } }));
    const member = group.join();
    const order: number[] = [];
    for (let i = 0; i < 50; i++) void member.admit('read', 1).then(() => order.push(i));
    await clock.runUntil(10 * secondNs);
    expect(order).toEqual(Array.from({ length: 50 }, (_, i) => i));
  });

  test('wait for nothing while they are drained, and the others pay for it', async () => {
    const clock = new AlarmClock();
    const group = new ThrottleGroup('g', clock, limits({ 'iops-total': { avg: 10 } }));
    const [drained, other] = [group.join(), group.join()];
    let admitted = 0;
    for (let i = 0; i < 100; i++) void drained.admit('write', 1).then(() => admitted++);
    const load = new Load(other, 'write', () => 1);
    await settle();
    expect(admitted).toBeLessThan(3);
    drained.drainBegin();
    await settle();
    expect(admitted).toBe(100);
    await drained.admit('write', 1);
    const before = load.requests;
    await clock.runUntil(9.7 * secondNs);
    expect(load.requests).toBe(before);
    drained.drainEnd();
    await clock.runUntil(12 * secondNs);
    expect(load.requests).toBeGreaterThan(before + 10);
    let late = false;
    void drained.admit('write', 1).then(() => (late = true));
    await settle();
    expect(late).toBe(false);
  });

  test('can leave while others wait, whoever has the turn', async () => {
    await fc.assert(
      fc.asyncProperty(fc.integer({ min: 2, max: 5 }), fc.nat(4), fc.nat(5000), async (count, which, ms) => {
        const clock = new AlarmClock();
        const group = new ThrottleGroup('g', clock, limits({ 'iops-total': { avg: 2 } }));
        const members = Array.from({ length: count }, () => group.join());
        const loads = members.map((member) => new Load(member, 'read', () => 1));
        await clock.runUntil(ms * 1e6);
        const leaver = which % count;
        loads[leaver]!.stop();
        members[leaver]!.drainBegin();
        await settle();
        members[leaver]!.leave();
        const before = loads.map(({ requests }) => requests);
        await clock.runUntil(ms * 1e6 + 60 * secondNs);
        const gained = loads.map(({ requests }, i) => requests - before[i]!);
        expect(gained[leaver]).toBe(0);
        const others = gained.filter((_, i) => i !== leaver);
        expect(Math.min(...others)).toBeGreaterThan(120 / count - 4);
      }),
      { numRuns: 50 },
    );
  }, 60_000);
});
