/**
 * A client that waits for its server (`reconnect-delay`), and a server that is killed at any moment: of what it has answered since the
 * last flush it forgets some. The disk shows nothing of that.
 *
 * How many seeds: NBD_FORGETTING (default: 40), from NBD_FORGETTING_SEED (default: 1) on.
 */
import { describe, expect, test } from 'vitest';
import type { Driver, DriverDefinition } from '../../host/block/driver.ts';
import { drivers } from '../../host/drivers.ts';
import { closeExports, exportsOf } from '../../host/exports/block-exports.ts';
import { createGraph } from '../../host/graph.ts';
import { empty } from '../../host/qapi/types.ts';
import { ArrayDisk } from '../support/array-driver.ts';
import { attachAlone, readWrite } from '../support/attach.ts';
import { Seeded } from '../support/seeded.ts';
import { VirtualPlatform } from '../support/virtual-platform.ts';
import { VirtualSockets } from '../support/virtual-sockets.ts';

const seeds = Number(process.env['NBD_FORGETTING'] ?? 40);
const firstSeed = Number(process.env['NBD_FORGETTING_SEED'] ?? 1);
const sector = 512;
const size = 32 * sector;
const address = { type: 'unix', path: 'sock' } as const;

/** Knows what is durable. */
class ForgetfulDisk extends ArrayDisk {
  private durable: Uint8Array;

  constructor(content: Uint8Array) {
    super(content.length);
    this.bytes.set(content);
    this.durable = content.slice();
  }

  override async flush(): Promise<void> {
    const now = this.bytes.slice();
    await super.flush();
    this.durable = now;
  }

  async writeZeroes(offset: number, bytes: number): Promise<void> {
    await this.write(offset, new Uint8Array(bytes));
  }

  /** What is there when it has been killed: of each sector that is not durable, one or the other. */
  contentAfterKill(random: Seeded): Uint8Array {
    const content = this.durable.slice();
    for (let at = 0; at < content.length; at += sector) {
      if (random.oneIn(2)) content.set(this.bytes.subarray(at, at + sector), at);
    }
    return content;
  }
}

class Servers {
  readonly platform = Object.assign(new VirtualPlatform(), { sockets: new VirtualSockets() });
  private disk = new ForgetfulDisk(new Uint8Array(size));
  private graph = this.createGraph();
  flushes = 0;

  private createGraph(): ReturnType<typeof createGraph> {
    const forgetful: DriverDefinition = {
      name: 'forgetful',
      kind: 'protocol',
      options: empty as never,
      open: async (): Promise<Driver> => this.disk,
    };
    return createGraph({ platform: this.platform, drivers: [...drivers, forgetful] });
  }

  async start(): Promise<void> {
    const { graph } = this;
    const node = await graph.open({ driver: 'forgetful' });
    await exportsOf(graph).startServer(address, { maxConnections: 0, handshakeMaxSeconds: 0 });
    await exportsOf(graph).add({ id: 'e', node, writable: true, writethrough: false, name: '' });
    await graph.unref(node);
  }

  /** What the one that was there still does is done to a disk that nobody sees. */
  async killAndStart(random: Seeded): Promise<void> {
    this.flushes += this.disk.log.filter((line) => line.startsWith('flush')).length;
    const content = this.disk.contentAfterKill(random);
    const old = this.graph;
    this.disk = new ForgetfulDisk(content);
    this.graph = this.createGraph();
    const { sockets } = this.platform;
    // Nobody reaches the old one any more.
    await sockets.listen(address, (connection) => connection.close());
    sockets.cut();
    await this.start();
    await closeExports(old);
  }

  stop(): Promise<void> {
    return closeExports(this.graph);
  }
}

describe('a disk whose server is killed', () => {
  test.each(Array.from({ length: seeds }, (_, at) => firstSeed + at))(
    'forgets nothing: seed %i',
    async (seed) => {
      const random = new Seeded(seed);
      const servers = new Servers();
      const { platform } = servers;
      await servers.start();
      const graph = createGraph({ platform, drivers });
      const node = await graph.open({
        driver: 'nbd',
        path: 'sock',
        'reconnect-delay': 60,
        'x-connections': 1 + random.below(4),
      });
      const disk = await attachAlone(node, readWrite);
      const expected = new Uint8Array(size);
      let number = 0;
      let kills = 0;
      for (let step = 0; step < 60; step++) {
        const requests: Promise<void>[] = [];
        // Each of its own part of the disk: what is asked for at the same time may be done in any order.
        for (let part = 0; part < 4; part++) {
          const offset = part * (size / 4) + random.below(6) * sector;
          const bytes = (1 + random.below(2)) * sector;
          const what = random.below(8);
          const data = new Uint8Array(bytes).fill(++number);
          if (what < 5) requests.push(disk.write(offset, data, { fua: random.oneIn(4) }));
          else if (what === 5) requests.push(disk.writeZeroes(offset, bytes, {}));
          else continue;
          expected.set(what === 5 ? new Uint8Array(bytes) : data, offset);
        }
        if (random.oneIn(8)) requests.push(disk.flush());
        if (random.oneIn(4)) {
          kills++;
          // At some moment of all that.
          for (let turns = random.below(12); turns > 0; turns--) await platform.clock.yield();
          await servers.killAndStart(random);
        }
        let isDone = false;
        const all = Promise.all(requests).then(() => (isDone = true));
        while (!isDone) await platform.advance(2e9);
        await all;
      }
      await servers.killAndStart(random);
      const read = new Uint8Array(size);
      const reading = disk.read(0, read);
      await platform.advance(2e9);
      await reading;
      expect(Buffer.compare(read, expected)).toBe(0);
      expect(kills).toBeGreaterThan(3);
      await disk.close();
      await servers.stop();
    },
  );

  test('flushes by itself what would be too much to keep', async () => {
    const servers = new Servers();
    await servers.start();
    const graph = createGraph({ platform: servers.platform, drivers });
    const node = await graph.open({ driver: 'nbd', path: 'sock', 'reconnect-delay': 60 });
    const disk = await attachAlone(node, readWrite);
    const data = new Uint8Array(size);
    for (let bytes = 0; bytes < 70 << 20; bytes += size) await disk.write(0, data);
    await servers.killAndStart(new Seeded(1));
    expect(servers.flushes).toBe(1);
    await disk.close();
    await servers.stop();
  });
});
