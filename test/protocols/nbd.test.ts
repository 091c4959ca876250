/** The nbd protocol driver over sockets of a test: what it asks of servers, and what becomes of requests when they go away. */
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { BlockError } from '../../host/base/errors.ts';
import type { BlockGraph } from '../../host/block/graph.ts';
import type { BlockNode } from '../../host/block/node.ts';
import { blockStatus } from '../../host/block/status.ts';
import { drivers } from '../../host/drivers.ts';
import { closeExports, exportsOf } from '../../host/exports/block-exports.ts';
import { createGraph } from '../../host/graph.ts';
import type { Connection } from '../../host/platform/connection.ts';
import { nbd } from '../../host/protocols/nbd/driver.ts';
import { type ArrayDisk, arrayProtocol } from '../support/array-driver.ts';
import { attachAlone, readWriteResize } from '../support/attach.ts';
import { openDriver } from '../support/open-driver.ts';
import { type Script, ScriptedServer } from '../support/scripted-nbd-server.ts';
import { VirtualPlatform } from '../support/virtual-platform.ts';
import { VirtualSockets } from '../support/virtual-sockets.ts';

const second = 1e9;
const address = { type: 'unix', path: 'sock' } as const;

let platform: VirtualPlatform & { sockets: VirtualSockets };
let sockets: VirtualSockets;

beforeEach(() => {
  sockets = new VirtualSockets();
  platform = Object.assign(new VirtualPlatform(), { sockets });
});

afterEach(() => {
  expect(platform.pendingTimers).toBe(0);
});

/** A server that follows a script. */
async function follow(script: Script): Promise<ScriptedServer[]> {
  const servers: ScriptedServer[] = [];
  await sockets.listen(address, (connection: Connection) => {
    const server = new ScriptedServer(script);
    servers.push(server);
    const send = (): void => {
      connection.write(server.take());
      if (server.hasEnded) connection.close();
    };
    connection.start({
      data: (bytes) => {
        server.receive(bytes);
        send();
      },
      drained: () => {},
      ended: () => {},
      closed: () => {},
    });
    send();
  });
  return servers;
}

const exp = { path: 'sock', export: 'exp' };

describe('opening', () => {
  test('gives the disk that the server has', async () => {
    await follow({});
    const { driver } = await openDriver(nbd, platform, exp);
    expect(await driver.getLength()).toBe(1 << 20);
    const buffer = new Uint8Array(512);
    await driver.read!(65_536 - 256, buffer);
    expect([buffer[255], buffer[256]]).toEqual([7, 0]);
    await driver.close();
  });

  test('takes the limits from what the server says', async () => {
    await follow({ form: 'simple', size: 1_000_000 });
    const odd = await openDriver(nbd, platform, exp);
    expect(odd.driver.limits).toMatchObject({ requestAlignment: 1, maxTransfer: 32 << 20 });
    await odd.driver.close();
    await follow({ form: 'simple' });
    const even = await openDriver(nbd, platform, exp);
    expect(even.driver.limits).toMatchObject({ requestAlignment: 512, maxWriteZeroes: 32 << 20 });
    await even.driver.close();
    await follow({});
    const extended = await openDriver(nbd, platform, exp);
    expect(extended.driver.limits).toMatchObject({ requestAlignment: 1, maxWriteZeroes: 0, maxDiscard: 0 });
    await extended.driver.close();
  });

  test('falls back to reading where it may, and fails where it may not', async () => {
    await follow({ flags: 3 });
    const { driver, fellBack } = await openDriver(nbd, platform, exp, { autoReadOnly: true });
    expect(fellBack).toBe(true);
    await driver.close();
    await expect(openDriver(nbd, platform, exp)).rejects.toThrow('Could not open image: Permission denied');
  });

  test('needs the kind of block status that is named', async () => {
    await follow({ form: 'simple' });
    const options = { ...exp, 'x-dirty-bitmap': 'qemu:dirty-bitmap:b' };
    await expect(openDriver(nbd, platform, options)).rejects.toThrow(
      'Could not open image: Invalid argument',
    );
  });

  test.each([
    [{}, 'NBD server address missing'],
    [{ path: 'a', host: 'b' }, 'path and host may not be used at the same time'],
    [
      { path: 'a', server: { type: 'unix', path: 'a' } },
      "Cannot use 'server' and path/host/port at the same time",
    ],
    [{ path: 'a', 'tls-creds': 't' }, "No TLS credentials with id 't'"],
    [{ path: 'a', export: 'x'.repeat(4097) }, 'export name too long to send to server'],
    [{ path: 'a', 'x-connections': 0 }, "Parameter 'x-connections' expects a number from 1 to 64"],
    [{ path: 'a' }, "Failed to connect to 'a': No such file or directory"],
    [{ server: { type: 'vsock', cid: '1', port: '2' } }, "Socket address type 'vsock' is not supported"],
  ])('%j cannot be', async (options, message) => {
    await expect(openDriver(nbd, platform, options)).rejects.toThrow(message);
  });

  test('tries again for as long as it may', async () => {
    const opening = openDriver(nbd, platform, { ...exp, 'open-timeout': 10 });
    await platform.advance(2.5 * second);
    await follow({});
    await platform.advance(1 * second);
    const { driver } = await opening;
    await driver.close();
    expect(sockets.connected).toBe(1);
  });

  test('gives up after that, with what was wrong last', async () => {
    const opening = expect(openDriver(nbd, platform, { ...exp, 'open-timeout': 5 })).rejects.toThrow(
      "Failed to connect to 'sock'",
    );
    await platform.advance(6 * second);
    await opening;
  });

  test('gives up on a server that says nothing', async () => {
    await sockets.listen(address, () => {});
    const opening = expect(openDriver(nbd, platform, { ...exp, 'open-timeout': 5 })).rejects.toThrow(
      'Connection attempt cancelled by timeout',
    );
    await platform.advance(6 * second);
    await opening;
  });
});

describe('requests', () => {
  test('of a disk that ends within a sector stay inside, and read zeros behind', async () => {
    const [server] = await openScripted({ size: 1_000_000 });
    const buffer = new Uint8Array(600).fill(1);
    await server.driver.read!(999_900, buffer);
    expect(buffer.every((byte) => byte === 0)).toBe(true);
    expect(await server.driver.map!(999_900, 548)).toEqual({
      type: 'own',
      bytes: 100,
      zero: false,
      hole: false,
    });
    expect(await server.driver.map!(1_000_000, 448)).toEqual({ type: 'own', bytes: 448, zero: true });
    await server.driver.close();
  });

  test('are no more than the server can do', async () => {
    const [{ driver }, servers] = await openScripted({ flags: 1 });
    await expect(driver.writeZeroes!(0, 512, {})).rejects.toMatchObject({ errno: 'ENOTSUP' });
    await driver.discard!(0, 512);
    await driver.flush!();
    expect(driver.supportsFua).toBe(false);
    await driver.close();
    expect(servers[0]!.heard.length).toBe(5); // it was connected to; the fifth is the end
  });

  test('do not make the disk longer or shorter', async () => {
    const [{ driver }] = await openScripted({});
    const options = { preallocation: 'off' } as const;
    await expect(driver.truncate!(2 << 20, options)).rejects.toThrow('Cannot grow NBD nodes');
    await expect(driver.truncate!(512, { ...options, exact: true })).rejects.toThrow(
      'Cannot resize NBD nodes',
    );
    await driver.truncate!(512, options);
    expect(await driver.getLength()).toBe(1 << 20);
    await driver.close();
  });

  async function openScripted(
    script: Script,
  ): Promise<[Awaited<ReturnType<typeof openDriver>>, ScriptedServer[]]> {
    const servers = await follow(script);
    return [await openDriver(nbd, platform, exp), servers];
  }
});

describe('names', () => {
  test.each([
    ['nbd://host', { host: 'host', port: '10809' }, 'nbd://host:10809'],
    ['nbd://host:5/exp', { host: 'host', port: '5', export: 'exp' }, 'nbd://host:5/exp'],
    ['nbd+tcp://host/a%20b', { host: 'host', port: '10809', export: 'a b' }, 'nbd://host:10809/a b'],
    ['nbd://[::1]:7/', { host: '::1', port: '7' }, 'nbd://::1:7'],
    ['nbd+unix:///exp?socket=/a/b', { path: '/a/b', export: 'exp' }, 'nbd+unix:///exp?socket=/a/b'],
    ['nbd+unix://?socket=/a', { path: '/a' }, 'nbd+unix://?socket=/a'],
    ['nbd:host:5', { host: 'host', port: '5' }, 'nbd://host:5'],
    ['nbd:host:5:exportname=a:b', { host: 'host', port: '5', export: 'a:b' }, 'nbd://host:5/a:b'],
    ['nbd:unix:/a:exportname=e', { path: '/a', export: 'e' }, 'nbd+unix:///e?socket=/a'],
    ['nbd:[::1]:7', { host: '::1', port: '7' }, 'nbd://::1:7'],
  ])('%s is %j', (name, options, shown) => {
    expect(nbd.parseFilename!(name)).toEqual(options);
    expect(nbd.exactFilename!(options as never, () => undefined)).toBe(shown);
  });

  test.each([
    'nbd://',
    'nbd://host:zz',
    'nbd://host/e?socket=/a',
    'nbd+unix:///e',
    'nbd+unix://host/e?socket=/a',
    'nbd+unix:///e?sock=/a',
    'nbd+unix:///e?socket=/a&b=c',
  ])('%s is none', (name) => {
    expect(() => nbd.parseFilename!(name)).toThrow('No valid URL specified');
  });

  test('that are too long are told as options', () => {
    const options = { path: '/a', export: 'e'.repeat(1020) };
    expect(nbd.exactFilename!(options as never, () => undefined)).toBeUndefined();
  });
});

describe('when the server goes away', () => {
  let disks: ArrayDisk[];
  let serving: BlockGraph;
  let graph: BlockGraph;
  let node: BlockNode;

  beforeEach(async () => {
    disks = [];
    serving = createGraph({ platform, drivers: [...drivers, arrayProtocol(disks)] });
    graph = createGraph({ platform, drivers });
    await serving.open({ driver: 'array', 'node-name': 'disk' });
    await startServer();
  });

  async function startServer(maxConnections = 0): Promise<void> {
    await exportsOf(serving).startServer(address, { maxConnections, handshakeMaxSeconds: 0 });
    const target = serving.lookup('disk', 'disk');
    await exportsOf(serving).add({ id: 'e', node: target, writable: true, writethrough: false, name: 'exp' });
  }

  async function connectNode(options: object = {}) {
    node = await graph.open({ driver: 'nbd', ...exp, ...options });
    return attachAlone(node, readWriteResize);
  }

  /** What becomes of a request. */
  function outcomeOf(request: Promise<unknown>): { told: string | undefined } {
    const outcome: { told: string | undefined } = { told: undefined };
    void request.then(
      () => void (outcome.told = 'done'),
      (error: unknown) => void (outcome.told = error instanceof BlockError ? error.errno : String(error)),
    );
    return outcome;
  }

  /** Requests that come to the disk stay there until the gate is opened. */
  function shutGate(): () => void {
    let open = (): void => {};
    disks[0]!.gate = new Promise((resolve) => (open = resolve)); // it was opened
    return () => {
      disks[0]!.gate = undefined; // the same
      open();
    };
  }

  test('requests fail without a delay, and the next ones find the server again', async () => {
    const disk = await connectNode();
    const open = shutGate();
    const first = outcomeOf(disk.read(0, new Uint8Array(512)));
    await platform.settle();
    expect(first.told).toBeUndefined();
    sockets.cut();
    open();
    await platform.settle();
    expect(first.told).toBe('EIO');
    // It fails, and has the server looked for.
    const next = outcomeOf(disk.read(0, new Uint8Array(512)));
    await platform.settle();
    expect(next.told).toBe('EIO');
    await disk.read(0, new Uint8Array(512));
    await disk.close();
    expect(sockets.connected).toBe(2);
  });

  test('requests on their way are sent again within the delay', async () => {
    const disk = await connectNode({ 'reconnect-delay': 10 });
    const open = shutGate();
    const data = new Uint8Array(512).fill(5);
    const write = outcomeOf(disk.write(512, data));
    await platform.settle();
    await closing(() => closeExports(serving), open);
    await platform.settle();
    expect(write.told).toBeUndefined();
    const later = outcomeOf(disk.read(512, data));
    await platform.advance(2 * second);
    expect([write.told, later.told]).toEqual([undefined, undefined]);
    await startServer();
    await platform.advance(2 * second);
    expect([write.told, later.told]).toEqual(['done', 'done']);
    expect(data).toEqual(new Uint8Array(512).fill(5));
    await disk.close();
  });

  test('requests wait no longer than the delay, and the server is looked for all the same', async () => {
    const disk = await connectNode({ 'reconnect-delay': 5 });
    await closeExports(serving);
    await platform.settle();
    const read = outcomeOf(disk.read(0, new Uint8Array(512)));
    await platform.advance(4.5 * second);
    expect(read.told).toBeUndefined();
    await platform.advance(1 * second);
    expect(read.told).toBe('EIO');
    const late = outcomeOf(disk.read(0, new Uint8Array(512)));
    await platform.settle();
    expect(late.told).toBe('EIO');
    await startServer();
    await platform.advance(16 * second);
    await disk.read(0, new Uint8Array(512));
    await disk.close();
  });

  test('a node is closed without waiting for it', async () => {
    const disk = await connectNode({ 'reconnect-delay': 3600 });
    await closeExports(serving);
    await platform.settle();
    await disk.close();
    expect(graph.nodes()).toEqual([]);
  });

  test('requests that are given up do not wait for it, whether they know yet that it is gone or not', async () => {
    const disk = await connectNode({ 'reconnect-delay': 3600 });
    const open = shutGate();
    const early = outcomeOf(disk.write(0, new Uint8Array(512)));
    await platform.settle();
    node.cancelWaiting();
    expect(early.told).toBeUndefined();
    const late = outcomeOf(disk.write(512, new Uint8Array(512)));
    await platform.settle();
    await closing(() => closeExports(serving), open);
    await platform.settle();
    expect([early.told, late.told]).toEqual(['EIO', 'EIO']);
    await startServer();
    const finding = outcomeOf(disk.read(0, new Uint8Array(512)));
    await platform.settle();
    expect(finding.told).toBe('EIO');
    await disk.read(0, new Uint8Array(512));
    await closeExports(serving);
    await platform.settle();
    const waiting = outcomeOf(disk.write(512, new Uint8Array(512)));
    await platform.advance(16 * second);
    expect(waiting.told).toBeUndefined();
    node.cancelWaiting();
    await platform.settle();
    expect(waiting.told).toBe('EIO');
    await disk.close();
  });

  test('another disk under its name is not taken for it', async () => {
    const disk = await connectNode({ 'reconnect-delay': 5 });
    await closeExports(serving);
    await platform.settle();
    const shorter = await follow({ size: 65_536 });
    const read = outcomeOf(disk.read(0, new Uint8Array(512)));
    await platform.advance(6 * second);
    expect(read.told).toBe('EIO');
    expect(shorter.length).toBeGreaterThan(1);
    await disk.close();
  });

  test('several connections serve when there is much to do, and one that is lost leaves its work to the others', async () => {
    const disk = await connectNode();
    const open = shutGate();
    const reads = Array.from({ length: 50 }, (_, at) => outcomeOf(disk.read(at * 512, new Uint8Array(512))));
    await platform.settle();
    expect(sockets.connected).toBe(4);
    open();
    await platform.settle();
    expect(reads.map(({ told }) => told)).toEqual(Array(50).fill('done'));
    await disk.close();
  });

  test('a server that takes one connection has no more', async () => {
    await closeExports(serving);
    await startServer(1);
    const disk = await connectNode();
    const open = shutGate();
    const reads = Array.from({ length: 50 }, (_, at) => outcomeOf(disk.read(at * 512, new Uint8Array(512))));
    await platform.settle();
    expect(sockets.connected).toBe(1);
    open();
    await platform.settle();
    expect(reads.every(({ told }) => told === 'done')).toBe(true);
    await disk.close();
  });

  test('a bitmap shows as holes what it has recorded', async () => {
    await closeExports(serving);
    const servers = await follow({});
    const disk = await connectNode({ 'x-dirty-bitmap': 'base:allocation' });
    expect(await blockStatus(node, 0, 4096)).toMatchObject({ data: true, zero: false, allocated: true });
    await disk.close();
    expect(servers.length).toBe(1);
  });

  /** A server stops when its last request is over. */
  async function closing(close: () => Promise<void>, open: () => void): Promise<void> {
    const closed = close();
    await platform.settle();
    open();
    await closed;
  }
});
