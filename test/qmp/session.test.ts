import { fc, test as property } from '@fast-check/vitest';
import { describe, expect, test } from 'vitest';
import { BlockError } from '../../host/base/errors.ts';
import { empty, str, struct } from '../../host/qapi/types.ts';
import { type AnyCommand, defineCommand } from '../../host/qmp/command.ts';
import { commands } from '../../host/qmp/commands/index.ts';
import { QmpProtocol } from '../../host/qmp/protocol.ts';
import { QmpServer } from '../../host/qmp/server.ts';
import { gate } from '../jobs/world.ts';
import { RecordingConnection } from '../support/recording-connection.ts';
import { VirtualPlatform } from '../support/virtual-platform.ts';

const encoder = new TextEncoder();
const negotiate = '{"execute":"qmp_capabilities"}';
const enableOob = '{"execute":"qmp_capabilities","arguments":{"enable":["oob"]}}';

function createServer(more: readonly AnyCommand[] = []): QmpServer {
  return new QmpServer({ platform: new VirtualPlatform(), drivers: [], commands: [...commands, ...more] });
}

/** All that is ready to run has run. */
const settle = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

async function connect(server: QmpServer, first?: string): Promise<RecordingConnection> {
  const client = new RecordingConnection();
  server.connect(client);
  if (first !== undefined) {
    client.send(first);
    await settle();
    client.take();
  }
  return client;
}

/** A command that takes until it is let go. */
function slowCommand(): { command: AnyCommand; open(): void; started: string[] } {
  const { open, promise } = gate();
  const started: string[] = [];
  const command = defineCommand({
    name: 'slow',
    args: struct('SlowArguments', { who: str }),
    async run(_context, { who }) {
      started.push(who);
      await promise;
    },
  });
  return { command, open, started };
}

describe('a session', () => {
  test('begins with a greeting that offers out-of-band execution', async () => {
    const client = await connect(createServer());
    expect(client.take()).toMatchObject([
      { QMP: { version: { qemu: { major: 10 } }, capabilities: ['oob'] } },
    ]);
  });

  test('prints on several lines when asked to', async () => {
    const client = new RecordingConnection();
    createServer().connect(client, { pretty: true });
    expect(client.received).toMatch(/^{\r\n {4}"QMP": {\r\n {8}"version": {\r\n/);
    expect(client.received.endsWith('\r\n}\r\n')).toBe(true);
  });

  test('gets no event before it is negotiated, nor later those of that time', async () => {
    const server = createServer();
    const client = await connect(server);
    client.take();
    server.emit({ name: 'JOB_STATUS_CHANGE', data: { id: 'a', status: 'created' } });
    client.send(negotiate);
    await settle();
    server.emit({ name: 'JOB_STATUS_CHANGE', data: { id: 'b', status: 'created' } });
    expect(client.take()).toMatchObject([{ return: {} }, { event: 'JOB_STATUS_CHANGE', data: { id: 'b' } }]);
  });

  test('echoes an id of any kind, also on errors', async () => {
    const client = await connect(createServer(), negotiate);
    client.send('{"execute":"nosuch","id":[1,{"a":null}]}{"execute":"quit","arguments":{"x":1},"id":0.5}');
    await settle();
    expect(client.take()).toMatchObject([{ id: [1, { a: null }] }, { id: 0.5 }]);
  });

  test('lets integers beyond 2^53 through unchanged', async () => {
    const client = await connect(createServer(), negotiate);
    client.send('{"execute":"nosuch","id":18446744073709551615}');
    await settle();
    expect(client.received).toContain('"id": 18446744073709551615');
  });

  test('runs one command at a time, and reads nothing meanwhile', async () => {
    const slow = slowCommand();
    const client = await connect(createServer([slow.command]), negotiate);
    const request = (who: string) => `{"execute":"slow","arguments":{"who":"${who}"},"id":"${who}"}`;
    client.send(`${request('a')}${request('b')}${request('c')}`);
    await settle();
    expect(slow.started).toEqual(['a']);
    expect(client.isPaused).toBe(true);
    slow.open();
    await settle();
    expect(client.take().map(({ id }) => id)).toEqual(['a', 'b', 'c']);
    expect(client.isPaused).toBe(false);
  });

  test('answers out of band while a command runs, and keeps the place of errors in the input', async () => {
    const slow = slowCommand();
    const client = await connect(createServer([slow.command]), enableOob);
    client.send('{"execute":"slow","arguments":{"who":"a"},"id":1}@\n{"execute":"query-version","id":2}');
    client.send('{"exec-oob":"query-version","id":3}');
    await settle();
    expect(client.take()).toEqual([
      { id: 3, error: { class: 'GenericError', desc: 'The command query-version does not support OOB' } },
    ]);
    slow.open();
    await settle();
    expect(client.take()).toMatchObject([
      { id: 1 },
      { error: { desc: "JSON parse error, stray '@'" } },
      { id: 2 },
    ]);
  });

  test('takes no more than eight requests ahead', () => {
    const session = new QmpProtocol();
    session.negotiate(['oob']);
    session.receive(encoder.encode('1 '.repeat(9)));
    expect(session.isFull).toBe(true);
    session.next();
    session.proceed();
    expect(session.isFull).toBe(false);
  });
});

describe('several clients', () => {
  test('take turns', async () => {
    const slow = slowCommand();
    const server = createServer([slow.command]);
    const [a, b] = [await connect(server, negotiate), await connect(server, negotiate)];
    const request = (who: string) => ({ execute: 'slow', arguments: { who } });
    a.send(request('a1'));
    a.send(request('a2'));
    b.send(request('b1'));
    slow.open();
    await settle();
    expect(slow.started).toEqual(['a1', 'b1', 'a2']);
  });

  test('all get every event', async () => {
    const server = createServer();
    const clients = [await connect(server, negotiate), await connect(server, negotiate)];
    server.emit({ name: 'JOB_STATUS_CHANGE', data: { id: 'j', status: 'running' } });
    for (const client of clients) expect(client.take()).toHaveLength(1);
  });

  test('are not harmed by one that leaves while its command runs', async () => {
    const slow = slowCommand();
    const server = createServer([slow.command]);
    const [a, b] = [await connect(server, negotiate), await connect(server, negotiate)];
    a.send({ execute: 'slow', arguments: { who: 'a' } });
    a.send({ execute: 'slow', arguments: { who: 'never' } });
    b.send({ execute: 'query-version' });
    await settle();
    a.vanish();
    slow.open();
    await settle();
    expect(slow.started).toEqual(['a']);
    expect(a.received).toBe('');
    expect(b.take()).toHaveLength(1);
  });

  test('are not harmed by a bug that one of them has found', async () => {
    const broken = defineCommand({
      name: 'broken',
      args: empty,
      run: () => {
        throw new TypeError('a bug');
      },
    });
    const server = createServer([broken]);
    const [a, b] = [await connect(server, negotiate), await connect(server, negotiate)];
    a.send({ execute: 'broken' });
    b.send({ execute: 'query-version' });
    await settle();
    expect(a.isClosed).toBe(true);
    expect(b.take()).toHaveLength(1);
  });
});

describe('a client', () => {
  test('that has sent everything gets its answers before the end', async () => {
    const slow = slowCommand();
    const client = await connect(createServer([slow.command]), negotiate);
    client.send({ execute: 'slow', arguments: { who: 'a' }, id: 1 });
    client.end();
    await settle();
    expect(client.isClosed).toBe(false);
    slow.open();
    await settle();
    expect(client.take()).toEqual([{ return: {}, id: 1 }]);
    expect(client.isClosed).toBe(true);
  });

  test('that does not fetch its answers is not served until it does', async () => {
    const client = await connect(createServer(), negotiate);
    client.unsentBytes = 2 << 20;
    client.send({ execute: 'query-version' });
    await settle();
    expect(client.take()).toEqual([]);
    client.drained();
    await settle();
    expect(client.take()).toHaveLength(1);
  });

  test('that never fetches its events is disconnected', async () => {
    const server = createServer();
    const client = await connect(server, negotiate);
    client.unsentBytes = 65 << 20;
    server.emit({ name: 'JOB_STATUS_CHANGE', data: { id: 'j', status: 'running' } });
    expect(client.isClosed).toBe(true);
  });

  test('that says quit gets its answer, and nothing after it is done', async () => {
    const server = createServer();
    const client = await connect(server, negotiate);
    client.send('{"execute":"quit","id":1}{"execute":"query-version"}');
    await server.whenEnded;
    expect(client.take()).toEqual([{ return: {}, id: 1 }]);
  });
});

test('an operating error carries its class to the client', async () => {
  const failing = defineCommand({
    name: 'failing',
    args: empty,
    run: () => Promise.reject(new BlockError('ENOENT', 'gone', { class: 'DeviceNotFound' })),
  });
  const client = await connect(createServer([failing]), negotiate);
  client.send({ execute: 'failing' });
  await settle();
  expect(client.take()).toEqual([{ error: { class: 'DeviceNotFound', desc: 'gone' } }]);
});

const piece = fc.constantFrom(
  ...['{', '}', '[', ']', ':', ',', ' ', '\n', '"a"', "'b'", '"execute"', '"query-version"', '1', '-', '0'],
  ...[
    'true',
    'x',
    'Q',
    '@',
    '\\',
    '"',
    '\\ud800',
    '\u00e9',
    '\u0001',
    negotiate,
    '{"execute":"query-version","id":',
  ],
);

property.prop([fc.array(piece), fc.array(fc.nat({ max: 60 }))])(
  'the same input gives the same output wherever it is cut',
  async (pieces, cuts) => {
    const input = encoder.encode(`${pieces.join('')}\n`);
    const transcript = async (send: (client: RecordingConnection) => void): Promise<string> => {
      const client = await connect(createServer());
      send(client);
      await settle();
      return client.received;
    };
    const whole = await transcript((client) => client.send(input));
    const byByte = await transcript((client) => {
      for (let at = 0; at < input.length; at++) client.send(input.subarray(at, at + 1));
    });
    const inPieces = await transcript((client) => {
      let at = 0;
      for (const cut of cuts) client.send(input.subarray(at, (at = Math.min(input.length, at + cut))));
      client.send(input.subarray(at));
    });
    expect(byByte).toBe(whole);
    expect(inPieces).toBe(whole);
  },
);
