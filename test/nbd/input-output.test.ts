/** Bytes in pieces: what goes into an Input or an Output comes out in order, however it is cut. */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { Input } from '../../host/nbd/input.ts';
import { Output } from '../../host/nbd/output.ts';

const pieces = fc.array(fc.uint8Array({ maxLength: 40 }), { maxLength: 12 });

describe('Input', () => {
  test('hands out what was appended, in the sizes that are asked for', () => {
    fc.assert(
      fc.property(pieces, fc.array(fc.nat(60)), (appended, sizes) => {
        const input = new Input();
        for (const piece of appended) input.append(piece);
        const all = Buffer.concat(appended);
        let at = 0;
        for (const size of sizes) {
          const expected = at + size <= all.length ? all.subarray(at, at + size) : undefined;
          const taken = input.take(size);
          expect(taken && Buffer.from(taken)).toEqual(expected);
          if (taken) at += size;
          expect(input.length).toBe(all.length - at);
        }
      }),
    );
  });

  test('skips as much as there is', () => {
    fc.assert(
      fc.property(pieces, fc.nat(100), (appended, skipped) => {
        const input = new Input();
        for (const piece of appended) input.append(piece);
        expect(input.skip(skipped)).toBe(Math.min(skipped, Buffer.concat(appended).length));
      }),
    );
  });

  const want = fc.record({ fills: fc.boolean(), bytes: fc.oneof(fc.nat(40), fc.nat(150_000)) });
  const arrival = fc.record({ bytes: fc.oneof(fc.nat(40), fc.nat(150_000)), isAskedAhead: fc.boolean() });

  test('gives the same whether bytes are appended or put where there is room', () => {
    fc.assert(
      fc.property(fc.array(want), fc.array(arrival), fc.boolean(), (wants, arrivals, byRoom) => {
        const input = new Input();
        const stream = Buffer.alloc(1_000_000, 'what is sent');
        let sent = 0;
        let used = 0;
        const left = wants.map(({ fills, bytes }) => ({ fills, target: Buffer.alloc(bytes) }));
        const consume = (): void => {
          for (let next = left[0]; next; next = left[0]) {
            const { fills, target } = next;
            const taken = fills ? input.fill(target) && target : input.take(target.length);
            if (!taken) return;
            expect(stream.subarray(used, used + target.length).equals(taken)).toBe(true);
            used += target.length;
            left.shift();
          }
        };
        consume();
        for (const { bytes, isAskedAhead } of arrivals) {
          const early = byRoom && isAskedAhead ? input.room() : undefined;
          consume();
          const room = early ?? (byRoom ? input.room() : Buffer.alloc(bytes));
          expect(room.length).toBeGreaterThan(byRoom ? 0 : -1);
          const arrived = stream.subarray(sent, sent + Math.min(bytes, room.length));
          room.set(arrived);
          if (byRoom) input.filled(arrived.length);
          else input.append(room.subarray(0, arrived.length));
          sent += arrived.length;
          consume();
        }
        const next = left[0];
        if (next) expect(sent - used).toBeLessThan(next.target.length);
      }),
      { numRuns: 300 },
    );
  });

  test.each([
    ['uses memory again that was only looked at', (input: Input) => input.read(28), true],
    ['leaves memory alone that somebody keeps', (input: Input) => input.take(28), false],
  ])('%s', (_, consume, isSame) => {
    const input = new Input();
    const first = input.room();
    first[0] = 1;
    input.filled(28);
    expect(input.take(29)).toBeUndefined();
    const found = consume(input);
    const next = input.room();
    expect([next.buffer === first.buffer, next.byteOffset === first.byteOffset]).toEqual([true, isSame]);
    next[0] = 2;
    expect(found?.[0]).toBe(isSame ? 2 : 1);
  });

  test('has little room behind a large target, until that is not enough', () => {
    const input = new Input();
    const target = new Uint8Array(100_000);
    const fill = (): void => {
      while (!input.fill(target)) input.filled(Math.min(input.room().length, 50_000));
    };
    const usual = input.room().length;
    fill();
    const small = input.room().length;
    expect(small).toBeLessThan(usual);
    input.filled(small);
    input.skip(small);
    expect(input.room().length).toBe(usual);
  });
});

describe('Output', () => {
  test('gives what was added and reserved, in order', () => {
    fc.assert(
      fc.property(fc.array(fc.tuple(fc.boolean(), fc.nat(40_000))), (parts) => {
        const output = new Output();
        const expected: Buffer[] = [];
        for (const [index, [reserve, bytes]] of parts.entries()) {
          const content = Buffer.alloc(bytes, index + 1);
          if (reserve) output.reserve(bytes).set(content);
          else output.add(content);
          expected.push(content);
        }
        const all = Buffer.concat(expected);
        expect(output.length).toBe(all.length);
        expect(Buffer.concat(output.take().map(({ bytes }) => bytes)).equals(all)).toBe(true);
        expect(output.length).toBe(0);
        expect(output.take()).toEqual([]);
      }),
      { numRuns: 30 },
    );
  });

  test('takes back what was reserved last, also where a new room was begun for it', () => {
    const output = new Output();
    output.reserve(65_000).fill(1);
    output.reserve(1000).fill(2);
    output.unreserve(1000);
    output.add(Uint8Array.of(3));
    expect(Buffer.concat(output.take().map(({ bytes }) => bytes))).toEqual(
      Buffer.concat([Buffer.alloc(65_000, 1), Buffer.of(3)]),
    );
  });

  test('does not write again into what was taken', () => {
    const output = new Output();
    output.add(Uint8Array.of(1, 2));
    const [taken] = output.take();
    output.add(Uint8Array.of(3, 4));
    expect([...taken!.bytes]).toEqual([1, 2]); // it was just added
  });
});
