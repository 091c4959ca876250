import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { type Copy, CopyBeforeWriteState } from '../../host/core/cbw.ts';

const cluster = 65_536;

type Cluster = 'dirty' | 'copying' | 'clean';

/** One entry per cluster, and who holds what. */
class Model {
  readonly clusters: Cluster[];
  /** By token: the clusters of a copy or of a reader, as [first, end). */
  readonly copies = new Map<number, [number, number]>();
  readonly readers = new Map<number, [number, number]>();

  constructor(readonly size: number) {
    this.clusters = Array<Cluster>(Math.ceil(size / cluster)).fill('clean');
  }

  /** The clusters that a range touches. */
  touched(offset: number, bytes: number): [number, number] {
    const end = Math.min(offset + bytes, this.size);
    return offset < end ? [Math.floor(offset / cluster), Math.ceil(end / cluster)] : [0, 0];
  }

  states([first, end]: [number, number]): Cluster[] {
    return this.clusters.slice(first, end);
  }

  bytesOf(state: Cluster): number {
    return this.clusters.filter((one) => one === state).length * cluster;
  }

  holder(table: Map<number, [number, number]>, [first, end]: [number, number]): number[] {
    return [...table].filter(([, [a, b]]) => a < end && first < b).map(([token]) => token);
  }
}

const share = fc.double({ min: 0, max: 1.02, noNaN: true });
const range = fc.tuple(share, share);
const step = fc.oneof(
  fc.record({ op: fc.constant('begin' as const), range, max: fc.integer({ min: 0, max: 5 * cluster }) }),
  fc.record({ op: fc.constant('next' as const), range, max: fc.integer({ min: 0, max: 5 * cluster }) }),
  fc.record({ op: fc.constant('end' as const), which: fc.nat(), copied: fc.boolean() }),
  fc.record({ op: fc.constant('write' as const), range }),
  fc.record({ op: fc.constant('read' as const), range }),
  fc.record({ op: fc.constant('endRead' as const), which: fc.nat() }),
);

function pick<T>(items: Iterable<T>, which: number): T | undefined {
  const all = [...items];
  return all[which % Math.max(1, all.length)];
}

describe('the copy-before-write state', () => {
  test('hands every cluster out once and lets a write pass only when nobody needs the old data', () => {
    const sizes = fc.tuple(fc.constantFrom(0, 1, 63, 64, 65, 130), fc.constantFrom(0, 1, 512));
    fc.assert(
      fc.property(
        sizes,
        fc.array(range, { maxLength: 4 }),
        fc.array(step, { maxLength: 40 }),
        (shape, dirty, steps) => {
          const size = Math.max(0, shape[0] * cluster - shape[1]);
          const state = new CopyBeforeWriteState(size, cluster);
          const model = new Model(size);
          const resolve = ([a, b]: [number, number]): [number, number] => {
            const [start, end] = [Math.floor(a * size), Math.floor(b * size)].sort((x, y) => x - y);
            return [start!, end! - start!];
          };
          for (const part of dirty) {
            const [offset, bytes] = resolve(part);
            state.toCopy.set(offset, bytes);
            model.clusters.fill('dirty', ...model.touched(offset, bytes));
          }
          for (const one of steps) {
            if (one.op === 'begin' || one.op === 'next') checkBegin(one.op, ...resolve(one.range), one.max);
            else if (one.op === 'end') end(one.which, one.copied);
            else if (one.op === 'write') checkWrite(...resolve(one.range));
            else if (one.op === 'read') checkRead(...resolve(one.range));
            else {
              const reader = pick(model.readers.keys(), one.which);
              if (reader === undefined) continue;
              state.endRead(reader);
              model.readers.delete(reader);
            }
            expect(state.toCopyBytes).toBe(model.bytesOf('dirty'));
            expect(state.copyingBytes).toBe(model.bytesOf('copying'));
          }

          function checkBegin(op: 'begin' | 'next', offset: number, bytes: number, max: number): void {
            const [first, last] = model.touched(offset, bytes);
            const from = model.clusters.findIndex((one, i) => i >= first && i < last && one === 'dirty');
            const answer =
              op === 'begin' ? state.beginCopy(offset, bytes, max) : state.next(offset, bytes, max);
            if (from < 0) {
              expectWaitOrDone(answer, model.holder(model.copies, [first, last]));
              return;
            }
            let stop = from;
            while (
              stop < last &&
              model.clusters[stop] === 'dirty' &&
              stop - from < Math.max(1, Math.floor(max / cluster))
            )
              stop++;
            const found = { offset: from * cluster, bytes: Math.min(stop * cluster, size) - from * cluster };
            expect(answer).toMatchObject(found);
            expect(answer.kind).toBe(op === 'begin' ? 'copy' : 'run');
            if (op === 'next') return;
            model.copies.set((answer as Copy).token, [from, stop]);
            model.clusters.fill('copying', from, stop);
          }

          function end(which: number, copied: boolean): void {
            const token = pick(model.copies.keys(), which);
            if (token === undefined) return;
            model.clusters.fill(copied ? 'clean' : 'dirty', ...model.copies.get(token)!);
            model.copies.delete(token);
            state.endCopy(token, copied);
          }

          function checkWrite(offset: number, bytes: number): void {
            const touched = model.touched(offset, bytes);
            const answer = state.checkWrite(offset, bytes);
            const holders = [...model.holder(model.copies, touched), ...model.holder(model.readers, touched)];
            if (model.states(touched).includes('dirty')) expect(answer).toBe('copy');
            else if (holders.length === 0) expect(answer).toBe('pass');
            else expect(holders).toContain(typeof answer === 'string' ? answer : answer.token);
          }

          function checkRead(offset: number, bytes: number): void {
            const [first, last] = model.touched(offset, bytes);
            const answer = state.beginRead(offset, bytes);
            if (first === last) {
              expect(answer).toEqual({ kind: 'copied', bytes: 0 });
              return;
            }
            const inPlace = model.clusters[first] !== 'clean';
            expect(answer.kind).toBe(inPlace ? 'source' : 'copied');
            if (answer.kind === 'wait') return;
            expect(answer.bytes).toBeGreaterThan(0);
            expect(answer.bytes).toBeLessThanOrEqual(Math.min(bytes, size - offset));
            const answered = model.touched(offset, answer.bytes);
            expect(model.states(answered).every((one) => (one !== 'clean') === inPlace)).toBe(true);
            if (answer.kind === 'source') model.readers.set(answer.token, answered);
          }
        },
      ),
      { numRuns: 400 },
    );
  });

  function expectWaitOrDone(answer: { kind: string; token?: number }, holders: number[]): void {
    if (holders.length === 0) expect(answer).toEqual({ kind: 'done' });
    else {
      expect(answer.kind).toBe('wait');
      expect(holders).toContain(answer.token);
    }
  }

  test('keeps a cluster that became dirty again for the time after its copy', () => {
    const state = new CopyBeforeWriteState(10 * cluster, cluster);
    state.toCopy.set(2 * cluster, 4 * cluster);
    const copy = state.beginCopy(0, 10 * cluster) as Copy;
    expect(copy).toMatchObject({ kind: 'copy', offset: 2 * cluster, bytes: 4 * cluster });
    state.toCopy.set(0, 10 * cluster);
    expect(state.beginCopy(2 * cluster, 4 * cluster)).toEqual({ kind: 'wait', token: copy.token });
    expect(state.beginCopy(0, 10 * cluster)).toMatchObject({ offset: 0, bytes: 2 * cluster });
    expect(state.beginCopy(0, 10 * cluster)).toMatchObject({ offset: 6 * cluster, bytes: 4 * cluster });
    state.endCopy(copy.token, true);
    expect(state.beginCopy(0, 10 * cluster)).toMatchObject({ offset: 2 * cluster, bytes: 4 * cluster });
  });

  test('makes a copy wait when too many run, and goes on when one has ended', () => {
    const state = new CopyBeforeWriteState(1000 * cluster, cluster);
    state.toCopy.setAll();
    const tokens: number[] = [];
    for (;;) {
      const answer = state.beginCopy(0, 1000 * cluster, cluster);
      if (answer.kind !== 'copy') {
        expect(tokens).toContain(answer.kind === 'wait' ? answer.token : undefined);
        break;
      }
      tokens.push(answer.token);
    }
    expect(tokens.length).toBe(256);
    expect(new Set(tokens).size).toBe(256);
    const before = state.toCopyBytes;
    state.endCopy(tokens[100]!, true);
    expect(state.beginCopy(0, 1000 * cluster, cluster)).toMatchObject({ kind: 'copy', token: tokens[100] });
    expect(state.toCopyBytes).toBe(before - cluster);
  });

  test('refuses to end what does not run', () => {
    const state = new CopyBeforeWriteState(10 * cluster, cluster);
    state.toCopy.setAll();
    const { token } = state.beginCopy(0, cluster) as Copy;
    expect(() => state.endRead(token)).toThrow('is not running');
    state.endCopy(token, true);
    expect(() => state.endCopy(token, true)).toThrow('is not running');
    expect(() => state.endCopy(100_000, true)).toThrow('is not running');
  });
});
