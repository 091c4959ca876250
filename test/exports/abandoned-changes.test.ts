/** What becomes of requests whose client is gone, for whoever comes next: perhaps the same client, that has lost its connection. */
import { beforeEach, describe, expect, test } from 'vitest';
import type { BlockBackend } from '../../host/block/backend.ts';
import type { BlockGraph } from '../../host/block/graph.ts';
import { drivers } from '../../host/drivers.ts';
import { exportsOf } from '../../host/exports/block-exports.ts';
import { createGraph } from '../../host/graph.ts';
import type { Connection } from '../../host/platform/connection.ts';
import { type ArrayDisk, arrayProtocol } from '../support/array-driver.ts';
import { attachAlone, readWrite } from '../support/attach.ts';
import { VirtualPlatform } from '../support/virtual-platform.ts';
import { VirtualSockets } from '../support/virtual-sockets.ts';

const sector = 512;

describe('an export whose client is gone', () => {
  const disks: ArrayDisk[] = [];
  let platform: VirtualPlatform & { sockets: VirtualSockets };
  let graph: BlockGraph;
  let disk: ArrayDisk;
  /** Lets the disk go on that holds its first request back. */
  let release: () => void;

  beforeEach(async () => {
    platform = Object.assign(new VirtualPlatform(), { sockets: new VirtualSockets() });
    graph = createGraph({ platform, drivers: [...drivers, arrayProtocol(disks)] });
    const node = await graph.open({ driver: 'array', size: 8 * sector });
    disk = disks.at(-1)!; // just opened
    await exportsOf(graph).startServer(
      { type: 'unix', path: 'sock' },
      { maxConnections: 0, handshakeMaxSeconds: 0 },
    );
    await exportsOf(graph).add({ id: 'e', node, writable: true, writethrough: false, name: '' });
    disk.gate = new Promise((resolve) => (release = resolve));
  });

  async function client(): Promise<BlockBackend> {
    return attachAlone(await graph.open({ driver: 'nbd', path: 'sock' }), readWrite);
  }

  /** The client goes while the disk is at it, and is never answered. */
  async function leaveBehind(request: (disk: BlockBackend) => Promise<unknown>): Promise<void> {
    const { sockets } = platform;
    const connect = sockets.connect.bind(sockets);
    let connection: Connection | undefined;
    sockets.connect = async (address) => (connection = await connect(address));
    void request(await client());
    await platform.settle();
    sockets.connect = connect;
    disk.gate = undefined;
    connection!.close(); // the client has one
  }

  test('does what the client had asked for before what it asks for then', async () => {
    await leaveBehind((first) => first.write(0, new Uint8Array(sector).fill(1)));
    const again = await client();
    let isDone = false;
    const second = again.write(0, new Uint8Array(sector).fill(2)).then(() => (isDone = true));
    await platform.settle();
    expect([isDone, disk.log.length]).toEqual([false, 1]);
    release();
    await second;
    expect(disk.bytes[0]).toBe(2);
    await again.close();
  });

  test('lets nobody wait for what only reads', async () => {
    await leaveBehind((first) => first.read(0, new Uint8Array(sector)));
    const again = await client();
    await again.write(0, new Uint8Array(sector).fill(2));
    release();
    await platform.settle();
    await again.close();
  });
});
