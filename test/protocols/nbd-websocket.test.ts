/** Disks of NBD servers behind WebSockets: their names, our own server at the other end, and what becomes of requests when it goes. */
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { BlockGraph } from '../../host/block/graph.ts';
import type { BlockNode } from '../../host/block/node.ts';
import { drivers } from '../../host/drivers.ts';
import { closeExports } from '../../host/exports/block-exports.ts';
import { createGraph } from '../../host/graph.ts';
import { nodePlatform } from '../../host/platform/node/index.ts';
import { nbd } from '../../host/protocols/nbd/driver.ts';
import { attachAlone, readWrite } from '../support/attach.ts';
import { freePort } from '../support/free-port.ts';
import { VirtualPlatform } from '../support/virtual-platform.ts';
import { exportOverWebSocket } from '../support/websocket-export.ts';

const size = 1 << 20;

let port: number;
let serving: BlockGraph;
let served: BlockNode;
let graph: BlockGraph;

beforeEach(async () => {
  port = await freePort();
  [serving, graph] = [0, 1].map(() => createGraph({ platform: nodePlatform, drivers })) as [
    BlockGraph,
    BlockGraph,
  ];
  served = await serving.open({ driver: 'memory', 'node-name': 'n', size });
  await serve();
});

afterEach(() => closeExports(serving));

const serve = (): Promise<void> => exportOverWebSocket(served, { port });

const url = (path = 'disk'): string => `ws://127.0.0.1:${port}/${path}`;

describe('an NBD disk behind a WebSocket', () => {
  test('is what was written to it', async () => {
    const disk = await attachAlone(await graph.openFile(`nbd+${url()}`, { format: 'raw' }), readWrite);
    const written = new Uint8Array(300_000).fill(7);
    await disk.write(1000, written);
    const read = new Uint8Array(300_000);
    await disk.read(1000, read);
    expect(Buffer.compare(read, written)).toBe(0);
    await disk.close();
  });

  test('goes on with what was on its way when the server was gone for a while', async () => {
    const server = { type: 'ws', url: url() };
    const node = await graph.open({ driver: 'nbd', server, 'reconnect-delay': 20 });
    const disk = await attachAlone(node, readWrite);
    const chunk = (at: number): Uint8Array => new Uint8Array(4096).fill(1 + at);
    served.drainedBegin();
    const writes = Array.from({ length: 100 }, (_, at) => disk.write(at * 4096, chunk(at)));
    await new Promise((resolve) => void setTimeout(resolve, 50));
    const gone = closeExports(serving);
    served.drainedEnd();
    await gone;
    await serve();
    await Promise.all(writes);
    const read = new Uint8Array(100 * 4096);
    await disk.read(0, read);
    expect(Array.from({ length: 100 }, (_, at) => read[at * 4096])).toEqual(writes.map((_, at) => 1 + at));
    await disk.close();
  });

  test('that is not there tells why', async () => {
    const attempt = (server: string): Promise<unknown> =>
      graph.open({ driver: 'nbd', server: { type: 'ws', url: server } });
    await expect(attempt(url('other'))).rejects.toThrow('the server answers 404 Not Found');
    await expect(attempt('http://127.0.0.1/')).rejects.toThrow(
      "'http://127.0.0.1/' is not an address of a WebSocket",
    );
    const nowhere = createGraph({ platform: new VirtualPlatform(), drivers });
    await expect(nowhere.open({ driver: 'nbd', server: { type: 'ws', url: url() } })).rejects.toThrow(
      'There are no WebSockets here that an NBD server could be reached by',
    );
  });
});

describe('its name', () => {
  test.each<[string, string, string | undefined]>([
    ['nbd+ws://host', 'ws://host', undefined],
    ['nbd+ws://host:10/a/b', 'ws://host:10/a/b', undefined],
    ['nbd+wss://[::1]/disk?export=a%20b', 'wss://[::1]/disk', 'a b'],
  ])('%s is an address and an export, and the other way round', (name, address, exported) => {
    const server = { type: 'ws', url: address };
    const options = { server, ...(exported === undefined ? {} : { export: exported }) };
    expect(nbd.parseFilename?.(name)).toEqual(options);
    expect(nbd.exactFilename?.({ driver: 'nbd', ...options } as never, {} as never)).toBe(name);
  });

  test.each([
    'nbd+ws:host',
    'nbd+ws://',
    'nbd+ws://host/a?exports=b',
    'nbd+ws://host/#a',
    'nbd+ws://host:x/',
  ])('%s is none', (name) => {
    expect(() => nbd.parseFilename?.(name)).toThrow('No valid URL specified');
  });
});
