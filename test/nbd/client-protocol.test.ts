/**
 * The client's side of the protocol as the object without I/O that it is: the same events and the same bytes however what
 * arrives is cut, an orderly end for whatever a server must not say, and sound conversations with our own server. What it says
 * to servers is compared with QEMU in test/interop/nbd.
 */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { Purpose } from '../../host/nbd/client/handshake.ts';
import { type ClientEvent, ClientProtocol } from '../../host/nbd/client/protocol.ts';
import { ClientRequest } from '../../host/nbd/client/request.ts';
import { Command, CommandFlag, initMagic, Option, optionMagic } from '../../host/nbd/constants.ts';
import { MessageBuilder } from '../../host/nbd/fields.ts';
import type { OfferedExport } from '../../host/nbd/server/offer.ts';
import { ServerProtocol } from '../../host/nbd/server/protocol.ts';
import { Request } from '../../host/nbd/server/request.ts';
import { brokenServers } from '../support/broken-nbd-servers.ts';
import { type Script, ScriptedServer } from '../support/scripted-nbd-server.ts';

const fuzzRuns = Number(process.env['NBD_FUZZ'] ?? 20000);
/** Milliseconds. Runs by hand may have a million. */
const fuzzTimeout = 600_000 + 10 * fuzzRuns;

const use: Purpose = { type: 'use', name: 'exp', context: 'base:allocation', usesTls: false };
const list: Purpose = { type: 'list', usesTls: false };

/** What a client says when it has an export. */
type Wish = readonly [command: number, offset: number, bytes: number];

const everything: readonly Wish[] = [
  [Command.read, 4096, 4096],
  [Command.write, 8192, 512],
  [Command.read, 8192, 512],
  [Command.writeZeroes, 8192, 4096],
  [Command.trim, 0, 4096],
  [Command.flush, 0, 0],
  [Command.blockStatus, 0, 1 << 20],
  [Command.read, 0, 100_000],
];

function requestFor([command, offset, bytes]: Wish): ClientRequest {
  const carries = command === Command.read || command === Command.write;
  const data = carries ? new Uint8Array(bytes).fill(0xee) : undefined;
  const flags = command === Command.blockStatus ? CommandFlag.reqOne : 0;
  return new ClientRequest(command, flags, offset, bytes, data, () => {});
}

function told(event: ClientEvent): string {
  if (event instanceof ClientRequest) {
    const { command, data, error, status } = event;
    const sum = data?.reduce((total, byte) => total + byte, 0);
    return `${command}: ${error?.errno ?? 'done'} ${sum ?? ''} ${status ? `${status.bytes} ${status.flags}` : ''}`;
  }
  if (event.type === 'ended') return `ended: ${event.error.message} ${event.error.hint ?? ''}`;
  return JSON.stringify(event);
}

/** The other end: bytes in, bytes out. */
interface Peer {
  receive(bytes: Uint8Array): void;
  take(): Uint8Array;
  readonly hasEnded: boolean;
}

interface Conversation {
  readonly events: string[];
  readonly sent: string;
}

/** All that is said is cut into pieces by `cut`. Requests are made one after the other. */
function converse(
  peer: Peer,
  purpose: Purpose,
  wishes: readonly Wish[],
  cut: (bytes: Uint8Array) => Iterable<Uint8Array> = (bytes) => [bytes],
): Conversation {
  const client = new ClientProtocol(purpose);
  const events: string[] = [];
  const sent: Uint8Array[] = [];
  const open = [...wishes];
  let isOver = false;
  const pump = (): void => {
    for (let event = client.next(); event; event = client.next()) {
      events.push(told(event));
      if (!(event instanceof ClientRequest) && event.type !== 'chosen') {
        isOver = true;
        continue;
      }
      const wish = open.shift();
      if (wish) client.send(requestFor(wish));
      else {
        client.disconnect();
        isOver = true;
      }
    }
  };
  for (let rounds = 0; rounds < 1000; rounds++) {
    for (const bytes of cut(peer.take())) {
      client.receive(bytes);
      pump();
    }
    const said = Buffer.concat(client.output.take().map(({ bytes }) => bytes));
    sent.push(said);
    if (said.length === 0 && !isOver) {
      // Nobody has anything left to say.
      client.cutOff();
      pump();
    }
    if (isOver) break;
    peer.receive(said);
    if (peer.hasEnded) {
      for (const bytes of cut(peer.take())) client.receive(bytes);
      client.cutOff();
      pump();
    }
  }
  expect(isOver).toBe(true);
  return { events, sent: Buffer.concat(sent).toString('hex') };
}

const byteByByte = (bytes: Uint8Array): Uint8Array[] => Array.from(bytes, (byte) => Uint8Array.of(byte));
const cutAt =
  (at: number) =>
  (bytes: Uint8Array): Uint8Array[] => [bytes.subarray(0, at), bytes.subarray(at)];

const scripts: Readonly<Record<string, readonly [Script, Purpose]>> = {
  'a server of the old style': [{ style: 'old' }, { ...use, name: '' }],
  'a server that answers no options': [{ style: 'newstyle' }, use],
  'simple replies': [{ form: 'simple' }, use],
  'structured replies': [{ form: 'structured' }, use],
  'extended headers': [{}, use],
  'a list': [{}, list],
  'a list of the old style': [{ style: 'old' }, list],
  'no GO': [{ options: { [Option.go]: unsupportedGo() } }, use],
};

function unsupportedGo(): Uint8Array {
  return new MessageBuilder()
    .words([0x0003e889, 0x045565a9])
    .u32(Option.go)
    .u32(2 ** 31 + 1)
    .u32(0)
    .done();
}

describe.each(Object.entries(scripts))('with %s', (_, [script, purpose]) => {
  // Nobody else has block status.
  const wishes =
    (script.form ?? script.style) && script.form !== 'structured'
      ? everything.filter(([command]) => command !== Command.blockStatus)
      : everything;
  const run = (cut?: (bytes: Uint8Array) => Iterable<Uint8Array>): Conversation =>
    converse(new ScriptedServer(script), purpose, wishes, cut);
  const whole = run();

  test('all is well', () => {
    expect(whole.events.length).toBe(purpose.type === 'list' ? 1 : wishes.length + 1);
    expect(whole.events.join()).not.toMatch(/ended:|EINVAL/);
  });

  test('it is the same byte by byte', () => {
    expect(run(byteByByte)).toEqual(whole);
  });

  test('it is the same cut at every byte of each message', () => {
    for (let at = 1; at < 170; at++) expect(run(cutAt(at))).toEqual(whole);
  });
});

describe('a server that breaks the protocol', () => {
  const wishes: Readonly<Record<string, readonly Wish[]>> = {
    open: [[Command.read, 4096, 4096]],
    read: [
      [Command.read, 4096, 4096],
      [Command.read, 4096, 4096],
    ],
    write: [[Command.write, 4096, 4096]],
    map: [[Command.blockStatus, 0, 1 << 20]],
  };

  /** What can be lived with, as QEMU does. */
  const tolerated = [
    'an error that there is not',
    'TLS required of extended headers',
    'TLS required of structured replies',
    'a context, then an error',
    'an info that there is not',
    'a largest block that is no multiple of the smallest',
    'a list of nothing',
    'an unknown error, simple',
    'a flag that there is not, structured',
    'a kind of error that there is not, structured',
    'an error with something behind, structured',
    'an error with a text, structured',
    'an error at an offset, structured',
    'an error at an offset before the request, structured',
    'an error at an offset that is missing, structured',
    'an extended reply, structured',
    'a structured reply, extended',
    'an offset of another request, extended',
    'no space, simple',
    'a shutdown, simple',
    'NONE in reply to a write, structured',
    'an error in reply to a write, structured',
    'an error, then success, structured',
    'a simple reply to block status, structured',
    'an error, structured',
    'no status, structured',
    'an extent longer than asked for, structured',
    'several extents, structured',
    'one and a half extents, structured',
    'flags that there are not, structured',
    'an extended status, structured',
    'an unaligned extent, structured',
    'a compact status, extended',
    'a wrong count, extended',
    'an extent beyond all numbers, extended',
    'flags that are too long, extended',
    'data after an error, structured',
  ];

  test('is met in more than fifty ways', () => {
    const names = brokenServers.map(({ name }) => name);
    expect(tolerated.filter((name) => !names.includes(name))).toEqual([]);
    expect(names.length - tolerated.length).toBeGreaterThan(90);
  });

  test.each(brokenServers)('$occasion: $name', ({ name, occasion, script }) => {
    const said = /old/.test(name) ? { ...use, name: '' } : use;
    const run = (cut?: (bytes: Uint8Array) => Iterable<Uint8Array>): Conversation =>
      converse(new ScriptedServer(script), said, wishes[occasion]!, cut); // there is one of each
    const whole = run();
    expect(run(byteByByte)).toEqual(whole);
    const endings = whole.events.filter((event) => event.startsWith('ended'));
    if (tolerated.includes(name)) expect(endings).toEqual([]);
    else expect(endings).toEqual([whole.events.at(-1)]);
    // It says more than that something is wrong.
    for (const ending of endings) expect(ending.length).toBeGreaterThan('ended: '.length + 10);
  });
});

const disk: OfferedExport = {
  name: 'exp',
  description: 'a disk',
  size: 1 << 20,
  flags: 0xced,
  blockSizes: { minimum: 1, preferred: 4096, maximum: 1 << 20 },
  contexts: [{ id: 0, name: 'base:allocation' }],
};

/** Our own server over an array, with holes where there are zeros. */
class OwnServer implements Peer {
  private readonly protocol = new ServerProtocol(
    {
      list: () => [disk],
      find: (name: string) => (name === disk.name ? disk : undefined),
      usesTls: false,
    },
    { take: (bytes) => new Uint8Array(bytes) },
  );
  hasEnded = false;
  readonly image = new Uint8Array(1 << 20);

  receive(bytes: Uint8Array): void {
    this.protocol.receive(bytes);
    for (let event = this.protocol.next(); event; event = this.protocol.next()) {
      if (event instanceof Request) this.perform(event);
      else this.hasEnded ||= event.type === 'ended';
    }
  }

  take(): Uint8Array {
    return Buffer.concat(this.protocol.output.take().map(({ bytes }) => bytes));
  }

  private perform(request: Request): void {
    const { command, offset, length, payload } = request;
    const { replies } = this.protocol;
    if (command === Command.read) this.read(request);
    else if (command === Command.blockStatus) replies.status(request, 0, [{ bytes: length, flags: 3 }], true);
    else {
      if (command === Command.write) this.image.set(payload ?? [], offset);
      if (command === Command.writeZeroes) this.image.fill(0, offset, offset + length);
      replies.done(request);
    }
  }

  private read(request: Request): void {
    const { offset, length } = request;
    const { replies } = this.protocol;
    const half = length >> 1;
    if (length < 2 || !replies.takesHoles(request)) {
      replies.data(request, offset, this.image.slice(offset, offset + length), true);
      return;
    }
    replies.data(request, offset + half, this.image.slice(offset + half, offset + length), false);
    const first = this.image.slice(offset, offset + half);
    if (first.every((byte) => byte === 0)) replies.hole(request, offset, half, true);
    else replies.data(request, offset, first, true);
  }
}

describe('with our own server', () => {
  test('all is well, and the same byte by byte', () => {
    const whole = converse(new OwnServer(), use, everything);
    expect(whole.events.length).toBe(everything.length + 1);
    expect(whole.events.join()).not.toMatch(/ended:|EINVAL/);
    expect(converse(new OwnServer(), use, everything, byteByByte)).toEqual(whole);
    expect(converse(new OwnServer(), list, [])).toMatchObject({
      events: [expect.stringContaining('"contexts":["base:allocation"')],
    });
  });

  test('reads give what was written, whatever the requests', () => {
    const wish = fc.record({
      isWrite: fc.boolean(),
      offset: fc.integer({ min: 0, max: 65_000 }),
      bytes: fc.integer({ min: 1, max: 30_000 }),
      value: fc.integer({ min: 0, max: 255 }),
    });
    fc.assert(
      fc.property(fc.array(wish, { minLength: 1, maxLength: 20 }), (wishes) => {
        const server = new OwnServer();
        const client = new ClientProtocol(use);
        const model = new Uint8Array(1 << 20);
        const exchange = (): ClientEvent[] => {
          const events: ClientEvent[] = [];
          for (let rounds = 0; rounds < 20; rounds++) {
            client.receive(server.take());
            for (let event = client.next(); event; event = client.next()) events.push(event);
            server.receive(Buffer.concat(client.output.take().map(({ bytes }) => bytes)));
          }
          return events;
        };
        exchange();
        for (const { isWrite, offset, bytes, value } of wishes) {
          const data = new Uint8Array(bytes).fill(isWrite ? value : 0xee);
          if (isWrite) model.set(data, offset);
          const command = isWrite ? Command.write : Command.read;
          client.send(new ClientRequest(command, 0, offset, bytes, data, () => {}));
          expect(exchange().length).toBe(1);
          expect(Buffer.compare(data, model.subarray(offset, offset + bytes))).toBe(0);
        }
      }),
      { numRuns: 30 },
    );
  });
});

test('nothing that a server says makes it throw, or go on without end', { timeout: fuzzTimeout }, () => {
  const forms: readonly Script[] = [{}, { form: 'structured' }, { form: 'simple' }, { style: 'newstyle' }];
  const change = fc.tuple(fc.nat(), fc.integer({ min: 1, max: 255 }));
  fc.assert(
    fc.property(
      fc.constantFrom(...forms, ...brokenServers.map(({ script }) => script)),
      fc.constantFrom(use, list, { ...use, name: '' }),
      fc.array(change, { maxLength: 4 }),
      fc.integer({ min: 1, max: 64 }),
      (script, purpose, changes, pieceBytes) => {
        let at = 0;
        const damaged = (bytes: Uint8Array): Uint8Array[] => {
          const copy = Uint8Array.from(bytes);
          const pieces: Uint8Array[] = [];
          for (const [place, value] of changes) {
            const index = (place % 600) - at;
            if (index >= 0 && index < copy.length) copy[index] = copy[index]! ^ value; // it is inside
          }
          at += copy.length;
          for (let start = 0; start < copy.length; start += pieceBytes * 40)
            pieces.push(copy.subarray(start, start + pieceBytes * 40));
          return pieces;
        };
        const { events } = converse(new ScriptedServer(script), purpose, everything, damaged);
        expect(events.length).toBeLessThan(20);
      },
    ),
    { numRuns: fuzzRuns },
  );
});

test('what is no greeting at all is no server', { timeout: fuzzTimeout }, () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 400 }), fc.boolean(), (bytes, isGreeted) => {
      const client = new ClientProtocol(use);
      const greeting = new MessageBuilder().words(initMagic).words(optionMagic).u16(3).done();
      if (isGreeted) client.receive(greeting);
      client.receive(bytes);
      client.cutOff();
      const events: ClientEvent[] = [];
      for (let event = client.next(); event; event = client.next()) events.push(event);
      expect(events.map((event) => (event instanceof ClientRequest ? '' : event.type))).toEqual(['ended']);
    }),
    { numRuns: fuzzRuns },
  );
});

test('what a server tells of its block sizes and itself is known', () => {
  const client = new ClientProtocol(use);
  const server = new OwnServer();
  const events: ClientEvent[] = [];
  for (let rounds = 0; rounds < 10; rounds++) {
    client.receive(server.take());
    for (let event = client.next(); event; event = client.next()) events.push(event);
    server.receive(Buffer.concat(client.output.take().map(({ bytes }) => bytes)));
  }
  expect(events).toMatchObject([
    {
      type: 'chosen',
      target: { description: 'a disk', blockSizes: { minimum: 1, preferred: 4096, maximum: 1 << 20 } },
    },
  ]);
});
