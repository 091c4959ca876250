/**
 * The server's side of the protocol as the object without I/O that it is: the same events and the same bytes however what
 * arrives is cut, and nothing but an orderly end for what is no protocol at all. What it should answer is compared with
 * QEMU in test/interop/nbd.
 */
import { describe, expect, test } from 'vitest';
import { Command, CommandFlag, Option } from '../../host/nbd/constants.ts';
import {
  contextsFor,
  extendedRequest,
  hello,
  infoFor,
  option,
  request,
  string,
  u32,
} from '../support/nbd-messages.ts';
import { converse } from './converse.ts';

const data = Buffer.from('what is written');
const scripts: Readonly<Record<string, readonly Uint8Array[]>> = {
  'a short negotiation': [
    hello(),
    option(Option.exportName, Buffer.from('disk')),
    request(Command.disconnect, 0, 0),
  ],
  'a long negotiation': [
    hello(),
    option(Option.list),
    option(Option.info, infoFor('disk', 1, 2, 3)),
    option(77, Buffer.from('what is that')),
    option(Option.info, infoFor('nothing')),
    option(Option.structuredReply),
    option(Option.setMetaContext, contextsFor('disk', 'base:allocation')),
    option(Option.abort),
  ],
  'simple replies': [
    hello(),
    option(Option.go, infoFor('disk')),
    request(Command.write, 512, data.length, { data }),
    request(Command.read, 512, 15, { cookie: 2 ** 45 }),
    request(Command.read, 2 ** 50, 15),
    request(Command.flush, 0, 0),
    request(Command.disconnect, 0, 0),
  ],
  'extended headers': [
    hello(),
    option(Option.extendedHeaders),
    option(Option.setMetaContext, contextsFor('disk', 'base:allocation')),
    option(Option.go, infoFor('disk', 3)),
    extendedRequest(Command.write, 512, data.length, { data, flags: CommandFlag.payloadLength }),
    extendedRequest(Command.read, 512, 15),
    extendedRequest(Command.blockStatus, 0, 4096),
    new Uint8Array(32),
    extendedRequest(Command.flush, 0, 0),
  ],
  'what ends the connection': [hello(), u32(1), string('no option at all')],
};

describe.each(Object.entries(scripts))('%s', (_, messages) => {
  const all = Buffer.concat(messages);
  const whole = converse([all]);

  test('leads to something', () => {
    expect(whole.events.length).toBeGreaterThan(0);
  });

  test('is the same cut at every byte', () => {
    for (let at = 0; at <= all.length; at++)
      expect(converse([all.subarray(0, at), all.subarray(at)])).toEqual(whole);
  });

  test('is the same byte by byte', () => {
    expect(converse(Array.from(all, (byte) => Uint8Array.of(byte)))).toEqual(whole);
  });
});

test('what is too long to be kept is skipped and refused', () => {
  const long = Buffer.alloc((1 << 20) + 1);
  const { events, sent } = converse([hello(), option(Option.info, long), option(Option.abort)]);
  expect(events).toEqual(['ended undefined']);
  expect(sent.toString('latin1')).toContain("option 'info' is too long");
});

test('data behind the queries of a meta context is refused, and the next option understood', () => {
  const trailing = Buffer.concat([contextsFor('disk', 'base:'), u32(1)]);
  const { sent } = converse([hello(), option(Option.listMetaContext, trailing), option(Option.list)]);
  const text = sent.toString('latin1');
  expect(text).toContain("option 'list meta context' has unexpected length");
  expect(text).toContain('a disk');
});

test('a query that is longer than any name selects nothing', () => {
  const query = contextsFor('disk', 'q'.repeat(5000), 'base:allocation');
  const { sent } = converse([hello(), option(Option.listMetaContext, query)]);
  expect(sent.toString('latin1')).toContain('base:allocation');
});
