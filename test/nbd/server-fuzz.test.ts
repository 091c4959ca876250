/**
 * Conversations that are nearly right: negotiated in every form, with requests of any fields, then damaged. Whatever is said,
 * the server's side of the protocol does not throw, hands over sound requests only, sends no more than was asked for, and
 * does the same however what arrives is cut.
 */
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { Command, maxPayloadBytes, Option } from '../../host/nbd/constants.ts';
import { contextsFor, extendedRequest, hello, infoFor, option, request } from '../support/nbd-messages.ts';
import { converse, disk } from './converse.ts';

const runs = Number(process.env['NBD_FUZZ'] ?? 20000);
/** Milliseconds. Runs by hand may have a million. */
const timeout = 600_000 + 10 * runs;

const contexts = option(Option.setMetaContext, contextsFor('disk', 'base:allocation'));
const go = option(Option.go, infoFor('disk', 3));

const negotiations = fc.constantFrom(
  { isExtended: false, options: [go] },
  { isExtended: false, options: [option(Option.exportName, Buffer.from('disk'))] },
  { isExtended: false, options: [option(Option.structuredReply), contexts, go] },
  { isExtended: true, options: [option(Option.extendedHeaders), go] },
  { isExtended: true, options: [option(Option.extendedHeaders), contexts, option(Option.list), go] },
);

const edges = [0, 1, 511, 512, 4096, disk.size - 512, disk.size, 2 ** 31, 2 ** 32 - 1, 2 ** 53 - 1];
const places = fc.oneof(fc.constantFrom(...edges), fc.nat(disk.size));
const lengths = fc.oneof(
  { weight: 9, arbitrary: fc.nat(8192) },
  fc.constantFrom(0, 512, 65_536, disk.size, maxPayloadBytes, maxPayloadBytes + 1, 2 ** 32 - 1),
);

const requests = fc.record({
  command: fc.oneof({ weight: 9, arbitrary: fc.nat(7) }, fc.nat(0xffff)),
  flags: fc.oneof({ weight: 2, arbitrary: fc.constant(0) }, fc.nat(63), fc.nat(0xffff)),
  offset: places,
  bytes: lengths,
  cookie: fc.nat(),
  /** Whether as much data comes with a WRITE as it says. */
  isWhole: fc.oneof({ weight: 4, arbitrary: fc.constant(true) }, fc.constant(false)),
});

const damage = fc.record({
  /** Bytes that become others. */
  changes: fc.array(fc.tuple(fc.nat(), fc.nat(255)), { maxLength: 3 }),
  /** A piece that is left out or said twice. */
  piece: fc.tuple(fc.nat(), fc.nat(40), fc.constantFrom(0, 1, 1, 1, 2)),
  cuts: fc.array(fc.nat(), { maxLength: 3 }),
});

test(`${runs} conversations that are nearly right`, { timeout }, () => {
  let reached = 0;
  let count = 0;
  fc.assert(
    fc.property(negotiations, fc.array(requests, { maxLength: 6 }), damage, (negotiation, asked, harm) => {
      const { isExtended, options } = negotiation;
      const messages = asked.map(({ command, flags, offset, bytes, cookie, isWhole }) => {
        const carried = command === Command.write && bytes <= 8192 ? bytes : 0;
        const data = Buffer.alloc(isWhole ? carried : Math.floor(carried / 2), 7);
        return (isExtended ? extendedRequest : request)(command, offset, bytes, { flags, cookie, data });
      });
      const said = Buffer.concat([hello(), ...options, ...messages]);
      const [at, bytes, times] = harm.piece;
      const start = at % said.length;
      const piece = said.subarray(start, start + bytes);
      const all = Buffer.concat([
        said.subarray(0, start),
        ...Array.from({ length: times }, () => piece),
        said.subarray(start + bytes),
      ]);
      for (const [place, byte] of harm.changes) if (all.length > 0) all[place % all.length] = byte;

      const whole = converse([all]);
      const ends = [...harm.cuts.map((cut) => cut % (all.length + 1)), all.length].sort((a, b) => a - b);
      const cut = converse(ends.map((end, index) => all.subarray(ends[index - 1] ?? 0, end)));
      expect(cut.events).toEqual(whole.events);
      expect(cut.sent.equals(whole.sent)).toBe(true);

      count++;
      if (whole.events.includes('chosen')) reached++;
      let read = 0;
      for (const event of whole.events) {
        if (!/^\d/.test(event)) continue;
        const [command, offset, length, payload] = event.split(' ').map(Number) as [
          number,
          number,
          number,
          number,
        ];
        expect(offset + length).toBeLessThanOrEqual(disk.size);
        if (command === Command.write) expect(payload).toBe(length === 0 ? Number.NaN : length);
        if (command === Command.read) read += length;
      }
      const answers = whole.sent.length - read;
      expect(answers).toBeLessThan(4096 + 64 * all.length);
    }),
    { numRuns: runs },
  );
  // Most of them come as far as to requests.
  expect(reached / count).toBeGreaterThan(0.4);
});
