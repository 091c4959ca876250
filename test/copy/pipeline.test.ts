/** Pieces that are read side by side and written in their order, and what becomes of the others when one fails. */
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { runPipeline, type WriteOrder } from '../../host/copy/pipeline.ts';

/** Lets `turns` rounds of whatever is ready go by. */
async function pass(turns: number): Promise<void> {
  for (let i = 0; i < turns; i++) await undefined;
}

interface Plan {
  readTurns: number;
  writeTurns: number;
  fails?: 'next' | 'read' | 'write' | undefined;
}

interface Outcome {
  read: number[];
  begun: number[];
  written: number[];
  /** Most pieces that were being written at the same time. */
  writing: number;
  error: unknown;
}

async function go(plans: readonly Plan[], buffers: number, order?: WriteOrder): Promise<Outcome> {
  const outcome: Outcome = { read: [], begun: [], written: [], writing: 0, error: undefined };
  const inUse = new Set<object>();
  let next = 0;
  let writing = 0;
  const slots = Array.from({ length: buffers }, () => ({}));
  const step = async (i: number, kind: 'next' | 'read' | 'write', turns: number): Promise<void> => {
    await pass(turns);
    if (plans[i]?.fails === kind) throw new Error(`${kind} ${i}`);
  };
  const run = runPipeline<number, object>(
    slots,
    {
      async next() {
        if (next >= plans.length) return undefined;
        const piece = next++;
        await step(piece, 'next', 1);
        return piece;
      },
      async read(piece, buffer) {
        expect(inUse.has(buffer)).toBe(false);
        inUse.add(buffer);
        await step(piece, 'read', plans[piece]!.readTurns);
        outcome.read.push(piece);
      },
      async write(piece, buffer) {
        outcome.begun.push(piece);
        outcome.writing = Math.max(outcome.writing, ++writing);
        await step(piece, 'write', plans[piece]!.writeTurns).finally(() => writing--);
        outcome.written.push(piece);
        inUse.delete(buffer);
      },
    },
    order,
  );
  outcome.error = await run.then(
    () => undefined,
    (error: unknown) => (error as Error).message,
  );
  expect(writing).toBe(0);
  return outcome;
}

const turns = fc.nat({ max: 12 });
const plan = fc.record({ readTurns: turns, writeTurns: turns });
const upTo = (count: number): number[] => Array.from({ length: count }, (_none, i) => i);

test('writes every piece once, one after the other and in order', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(plan), fc.integer({ min: 1, max: 5 }), async (plans, buffers) => {
      const { begun, written, writing, error } = await go(plans, buffers);
      expect({ begun, written, error }).toEqual({
        begun: upTo(plans.length),
        written: upTo(plans.length),
        error: undefined,
      });
      expect(writing).toBeLessThanOrEqual(1);
    }),
  );
});

test('tells the first failure when everything before it is written, and begins to write nothing behind it', async () => {
  const failing = fc.record({
    readTurns: turns,
    writeTurns: turns,
    fails: fc.constantFrom('next', 'read', 'write', undefined, undefined, undefined),
  });
  await fc.assert(
    fc.asyncProperty(fc.array(failing), fc.integer({ min: 1, max: 5 }), async (plans, buffers) => {
      const { written, begun, error } = await go(plans, buffers);
      const first = plans.findIndex(({ fails }) => fails !== undefined);
      const count = first < 0 ? plans.length : first;
      expect(written).toEqual(upTo(count));
      expect(begun.filter((piece) => piece > count)).toEqual([]);
      expect(error).toBe(first < 0 ? undefined : `${plans[first]!.fails} ${first}`);
    }),
  );
});

test('begins to write in order, where it need not be finished in order', async () => {
  const plans = [9, 1, 5, 1].map((writeTurns) => ({ readTurns: 1, writeTurns }));
  const { begun, written, writing } = await go(plans, 4, 'begun');
  expect(begun).toEqual([0, 1, 2, 3]);
  expect(writing).toBeGreaterThan(1);
  expect(written).not.toEqual(begun);
});

test('lets each be written as soon as it is read, where order is of no account', async () => {
  const plans = [60, 1, 1].map((readTurns) => ({ readTurns, writeTurns: 0 }));
  const { written } = await go(plans, 3, 'none');
  expect(written.at(-1)).toBe(0);
  expect(written.toSorted()).toEqual([0, 1, 2]);
});

test('reads the next pieces while one is written', async () => {
  const reads: number[] = [];
  await runPipeline<number, undefined>([undefined, undefined, undefined], {
    next: async () => (reads.length < 3 ? reads.length : undefined),
    async read(piece) {
      reads.push(piece);
    },
    async write(piece) {
      await pass(20);
      if (piece === 0) expect(reads).toEqual([0, 1, 2]);
    },
  });
});
