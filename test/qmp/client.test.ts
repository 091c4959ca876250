/** The QMP client: with a monitor of which each byte is known, and joined to the real one. */
import { describe, expect, test } from 'vitest';
import type { Connection } from '../../host/platform/connection.ts';
import { joinedConnections } from '../../host/platform/joined-connections.ts';
import { QmpClient, QmpError, type QmpEvent } from '../../host/qmp/client.ts';
import { connectClient } from '../support/local-client.ts';
import { createServer } from '../support/qmp-server.ts';

const encoder = new TextEncoder();
const timestamp = { seconds: 1, microseconds: 2 };

/** What a monitor sends to a client that negotiates and then runs two commands. */
const script = [
  '{"QMP": {"version": {}, "capabilities": ["oob"]}}\r\n',
  '{"return": {}, "id": 1}\r\n',
  `{"timestamp": ${JSON.stringify(timestamp)}, "event": "RESUME"}\r\n`,
  "Formatting 'größe.qcow2', fmt=qcow2\n",
  '{"error": {"class": "DeviceNotFound", "desc": "Das Gerät 💾 fehlt"}, "id": 3}\r\n',
  `{"timestamp": ${JSON.stringify(timestamp)}, "event": "STOP", "data": {"größe": "€"}}\r\n`,
  '{"return": ["ä"], "id": 2}\r\n',
].join('');

/** A client that has negotiated with nobody yet, and the other end. */
function connect(): {
  connecting: Promise<QmpClient>;
  peer: Connection;
  sent: () => string;
  isOver: () => boolean;
} {
  const [ours, peer] = joinedConnections();
  let sent = '';
  let isOver = false;
  const decoder = new TextDecoder();
  const connecting = QmpClient.connect(ours);
  peer.start({
    data: (bytes) => {
      sent += decoder.decode(bytes, { stream: true });
    },
    drained: () => {},
    ended: () => {},
    closed: () => {
      isOver = true;
    },
  });
  return { connecting, peer, sent: () => sent, isOver: () => isOver };
}

async function connected(): Promise<ReturnType<typeof connect> & { client: QmpClient }> {
  const parts = connect();
  parts.peer.write(encoder.encode('{"QMP": {}}\r\n{"return": {}, "id": 1}\r\n'));
  return { ...parts, client: await parts.connecting };
}

/** Plays the script to a client, in these pieces; gives all that came of it. */
async function play(pieces: readonly Uint8Array[]): Promise<unknown> {
  const { peer, connecting, sent } = connect();
  const log: unknown[] = [];
  const answers: Promise<unknown>[] = [];
  const negotiated = connecting.then((client) => {
    client.on('*', (event) => log.push(event));
    client.on('STOP', ({ event, data }) => log.push([event, data]));
    answers.push(
      client.run('query-block'),
      client.run('eject', { id: 'a' }).catch((error: QmpError) => {
        return [error.command, error.errorClass, error.message];
      }),
    );
  });
  for (const piece of pieces) {
    peer.write(piece);
    await Promise.resolve();
  }
  await negotiated;
  return { answers: await Promise.all(answers), log, sent: sent() };
}

const played = {
  answers: [['ä'], ['eject', 'DeviceNotFound', 'Das Gerät 💾 fehlt']],
  log: [
    { event: 'RESUME', data: {}, timestamp },
    ['STOP', { größe: '€' }],
    { event: 'STOP', data: { größe: '€' }, timestamp },
  ],
  sent: [
    '{"execute":"qmp_capabilities","id":1}\n',
    '{"execute":"query-block","id":2}\n',
    '{"execute":"eject","arguments":{"id":"a"},"id":3}\n',
  ].join(''),
};

describe('a QMP client', () => {
  test('makes the same of what it gets, wherever that is split', async () => {
    const bytes = encoder.encode(script);
    // The commands must have been sent before their answers come.
    const negotiatedAt = encoder.encode(script.slice(0, script.indexOf('{"timestamp"'))).length;
    const [first, rest] = [bytes.subarray(0, negotiatedAt), bytes.subarray(negotiatedAt)];
    for (let cut = 0; cut <= bytes.length; cut++) {
      const at = Math.min(cut, negotiatedAt);
      const after = Math.max(0, cut - negotiatedAt);
      const pieces = [
        first.subarray(0, at),
        first.subarray(at),
        rest.subarray(0, after),
        rest.subarray(after),
      ];
      expect(await play(pieces)).toEqual(played);
    }
    expect(await play(Array.from(bytes, (byte) => Uint8Array.of(byte)))).toEqual(played);
  });

  test('runs commands of a real server, and hears of events before the answer', async () => {
    const server = createServer();
    const client = await connectClient(server);
    const order: string[] = [];
    client.on('JOB_STATUS_CHANGE', ({ data }) => order.push(String(data['status'])));
    await client.run('blockdev-add', { driver: 'null-co', 'node-name': 'a', size: 512 });
    await client.run('blockdev-add', { driver: 'null-co', 'node-name': 'b', size: 512 });
    const plan = { 'job-id': 'j', device: 'a', target: 'b', sync: 'none' };
    await client.run('blockdev-backup', plan);
    expect(order.slice(0, 2)).toEqual(['created', 'running']);
    await expect(client.run('nonsense')).rejects.toEqual(
      new QmpError('nonsense', 'CommandNotFound', 'The command nonsense has not been found'),
    );
    await server.stop();
    await server.close();
    await expect(client.run('query-block')).rejects.toThrow('The monitor is closed');
  });

  test('hears no more of events when it has ended listening', async () => {
    const { client, peer } = await connected();
    const heard: QmpEvent[] = [];
    const end = client.on('*', (event) => heard.push(event));
    const event = encoder.encode(`{"event": "A", "timestamp": ${JSON.stringify(timestamp)}}\n`);
    peer.write(event);
    end();
    peer.write(event);
    expect(heard.map((each) => each.event)).toEqual(['A']);
  });

  test('passes over answers that nobody waits for', async () => {
    const { client, peer } = await connected();
    const answer = client.run('query-block');
    peer.write(encoder.encode('{"return": 1, "id": 7}\n{"return": 2}\n{"return": 3, "id": 2}\n'));
    expect(await answer).toBe(3);
  });

  test.each([
    ['closes', (peer: Connection) => peer.close()],
    ['sends what is no message', (peer: Connection) => peer.write(encoder.encode('{"return": \n'))],
    [
      'sends a message without end',
      (peer: Connection) => {
        const chunk = new Uint8Array(16 << 20).fill(0x7b);
        for (let i = 0; i < 5; i++) peer.write(chunk);
      },
    ],
  ])('fails what waits and what comes later when the monitor %s', async (_, end) => {
    const { client, peer } = await connected();
    const waiting = client.run('query-block');
    end(peer);
    await expect(waiting).rejects.toEqual(
      new QmpError('query-block', 'GenericError', 'The monitor is closed'),
    );
    await expect(client.run('stop')).rejects.toMatchObject({ command: 'stop' });
  });

  test('closes the connection, once', async () => {
    const { client, isOver } = await connected();
    const waiting = client.run('query-block');
    client.close();
    client.close();
    await expect(waiting).rejects.toThrow('The monitor is closed');
    expect(isOver()).toBe(true);
  });

  test('sends nothing of a command whose arguments are no JSON, and goes on', async () => {
    const { client, peer, sent } = await connected();
    const before = sent();
    await expect(client.run('query-block', { id: 1n })).rejects.toThrow(TypeError);
    expect(sent()).toBe(before);
    const answer = client.run('query-block');
    peer.write(encoder.encode('{"return": [], "id": 3}\n'));
    expect(await answer).toEqual([]);
  });
});
