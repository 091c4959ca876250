/**
 * The NBD server and its clients: who is let in and how long, that one client holds back nobody else, and what becomes of
 * clients and exports that end while requests are on their way.
 */
import { beforeEach, describe, expect, test } from 'vitest';
import { BlockError } from '../../host/base/errors.ts';
import { bitmapsOf } from '../../host/bitmaps/node-bitmaps.ts';
import type { BlockGraph } from '../../host/block/graph.ts';
import type { BlockNode } from '../../host/block/node.ts';
import { drivers } from '../../host/drivers.ts';
import { exportsOf } from '../../host/exports/block-exports.ts';
import { createGraph } from '../../host/graph.ts';
import { Command, Option } from '../../host/nbd/constants.ts';
import type { Connection } from '../../host/platform/connection.ts';
import { joinedConnections } from '../../host/platform/joined-connections.ts';
import type { Sockets } from '../../host/platform/sockets.ts';
import { hello, infoFor, option, request } from '../support/nbd-messages.ts';
import { VirtualPlatform } from '../support/virtual-platform.ts';

const greetingBytes = 18;
const unlimited = { maxConnections: 0, handshakeMaxSeconds: 10 };

class Client {
  private readonly received: Uint8Array[] = [];
  isOver = false;

  constructor(readonly connection: Connection) {
    connection.start({
      data: (bytes) => void this.received.push(bytes),
      drained: () => {},
      ended: () => {},
      closed: () => void (this.isOver = true),
    });
  }

  get receivedBytes(): number {
    return this.received.reduce((sum, { length }) => sum + length, 0);
  }

  /** What has come since it was asked last. */
  take(): Buffer {
    return Buffer.concat(this.received.splice(0));
  }

  say(...messages: readonly Uint8Array[]): void {
    for (const message of messages) this.connection.write(message);
  }
}

/** Lets everything happen that can. */
async function settle(): Promise<void> {
  for (let turn = 0; turn < 20; turn++) await new Promise((resolve) => void setImmediate(resolve));
}

describe('an NBD server', () => {
  let platform: VirtualPlatform;
  let graph: BlockGraph;
  let node: BlockNode;
  let arrive: (connection: Connection) => void;
  let isListening: boolean;
  let events: unknown[];

  beforeEach(async () => {
    events = [];
    const sockets: Sockets = {
      async listen(_, accept) {
        arrive = accept;
        isListening = true;
        return { close: () => void (isListening = false) };
      },
      connect: async () => {
        throw new Error('nobody is connected to');
      },
    };
    platform = new VirtualPlatform();
    const emit = ({ name, data }: { name: string; data: object }): void => void events.push([name, data]);
    graph = createGraph({ platform: Object.assign(platform, { sockets }), drivers, emit });
    node = await graph.open({ driver: 'null-co', 'node-name': 'n', size: 1 << 20, 'read-zeroes': true });
  });

  function connect(): Client {
    const [ours, theirs] = joinedConnections();
    const client = new Client(ours);
    arrive(theirs);
    return client;
  }

  async function start(options = unlimited, added: object = {}): Promise<void> {
    await exportsOf(graph).startServer({ type: 'unix', path: 'x' }, options);
    await exportsOf(graph).add({ id: 'e', node, writable: true, writethrough: false, name: '', ...added });
  }

  /** A client that has chosen the export. */
  function ready(): Client {
    const client = connect();
    client.say(hello(), option(Option.go, infoFor('')));
    client.take();
    return client;
  }

  test('lets a client go that does not choose an export in time, and no other', async () => {
    await start();
    const [slow, quick] = [connect(), ready()];
    slow.say(hello());
    await platform.advance(10.1e9);
    await settle();
    expect([slow.isOver, quick.isOver]).toEqual([true, false]);
    quick.say(request(Command.read, 0, 512));
    await settle();
    expect(quick.take().length).toBe(16 + 512);
  });

  test('lets nobody wait for a choice that it does not limit', async () => {
    await start({ ...unlimited, handshakeMaxSeconds: 0 });
    const client = connect();
    await platform.advance(1000e9);
    await settle();
    expect(client.isOver).toBe(false);
  });

  test('greets a client when another one has gone, where there may be only so many', async () => {
    await start({ ...unlimited, maxConnections: 1 });
    const [first, second] = [ready(), connect()];
    await settle();
    expect(second.receivedBytes).toBe(0);
    first.say(request(Command.disconnect, 0, 0));
    await settle();
    expect([first.isOver, second.receivedBytes]).toEqual([true, greetingBytes]);
  });

  test('stops reading from a client that does not fetch its answers, and serves another', async () => {
    await start();
    const [slow, quick] = [ready(), ready()];
    slow.connection.pause();
    for (let at = 0; at < 100; at++) slow.say(request(Command.read, 0, 1 << 20));
    await settle();
    quick.say(request(Command.read, 0, 512));
    await settle();
    expect(quick.take().length).toBe(16 + 512);
    slow.connection.resume();
    await settle();
    expect(slow.take().length).toBe(100 * (16 + (1 << 20)));
  });

  test('ends the connection of a client that breaks the protocol, and no other', async () => {
    await start();
    const [wrong, right] = [ready(), ready()];
    wrong.say(new Uint8Array(28));
    right.say(request(Command.flush, 0, 0));
    await settle();
    expect([wrong.isOver, right.isOver, right.take().length]).toEqual([true, false, 16]);
  });

  test('ends with its exports and connections, frees bitmaps and nodes, and tells so', async () => {
    const bitmap = bitmapsOf(node).add('b');
    await start(unlimited, { bitmaps: ['b'] });
    expect(bitmap.busy).toBe(true);
    const client = ready();
    await exportsOf(graph).stopServer();
    await settle();
    expect([client.isOver, isListening, bitmap.busy, node.references]).toEqual([true, false, false, 1]);
    expect(events).toEqual([['BLOCK_EXPORT_DELETED', { id: 'e' }]]);
    await expect(exportsOf(graph).stopServer()).rejects.toThrow('NBD server not running');
  });

  test('removes an export that is in use only by force', async () => {
    await start();
    const client = ready();
    await expect(exportsOf(graph).remove('e', 'safe')).rejects.toThrow("export 'e' still in use");
    await exportsOf(graph).remove('e', 'hard');
    await settle();
    expect([client.isOver, exportsOf(graph).list()]).toEqual([true, []]);
  });

  test('answers what is on its way before an export that is drained goes on', async () => {
    await start();
    const client = ready();
    node.drainedBegin();
    client.say(request(Command.write, 0, 512, { data: Buffer.alloc(512, 1) }), request(Command.flush, 0, 0));
    await settle();
    expect(client.receivedBytes).toBe(0);
    node.drainedEnd();
    await settle();
    expect(client.take().length).toBe(32);
  });

  test('is not there after an attempt that failed', async () => {
    const failing = { listen: () => Promise.reject(new BlockError('EACCES')) };
    Object.assign(platform, { sockets: failing });
    await expect(start()).rejects.toThrow('Permission denied');
    await expect(exportsOf(graph).stopServer()).rejects.toThrow('NBD server not running');
  });
});
