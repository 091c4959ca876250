/** The simulated network: what arrives of what is written, and who hears of it when connections break and machines go. */
import { beforeEach, describe, expect, test } from 'vitest';
import type { Connection } from '../../../host/platform/connection.ts';
import { createSimulation, SimNetwork, type Simulation } from '../../../host/platform/sim/index.ts';

const address = { type: 'unix', path: 'there' } as const;

/** One side of a connection, and what it is told. */
class Side {
  said = '';
  isOver = false;

  constructor(readonly connection: Connection) {
    connection.start({
      data: (bytes) => void (this.said += Buffer.from(bytes).toString()),
      drained: () => {},
      ended: () => {},
      closed: () => void (this.isOver = true),
    });
  }

  say(text: string): void {
    this.connection.write(Buffer.from(text));
  }
}

describe('between two machines', () => {
  let world: Simulation;
  let network: SimNetwork;
  let [server, client]: Simulation[] = [];

  beforeEach(() => {
    world = createSimulation(1, { record: false });
    network = new SimNetwork(world, 1, { latency: { minNs: 1000, maxNs: 9000 }, maxSilenceNs: 1e9 });
    [server, client] = [1, 2].map((seed) => createSimulation(seed, { beside: world, network }));
  });

  const wait = (ns: number): Promise<void> =>
    new Promise((resolve) => void world.platform.clock.setTimer(ns, resolve));

  async function join(): Promise<{ listening: Side; connected: Side }> {
    let listening: Side | undefined;
    await server!.platform.sockets!.listen(address, (connection) => (listening = new Side(connection)));
    const connected = new Side(await client!.platform.sockets!.connect(address));
    return { listening: listening!, connected }; // it was accepted
  }

  test('what is written arrives in its order, also what was written before the end', () =>
    world.run(async () => {
      const { listening, connected } = await join();
      const words = Array.from({ length: 50 }, (_, index) => `word ${index};`);
      for (const word of words) connected.say(word);
      expect(listening.said).toBe('');
      connected.connection.close();
      await wait(1e6);
      expect([listening.said, listening.isOver, connected.isOver]).toEqual([words.join(''), true, false]);
    }));

  test('both hear of a connection that breaks, and what was on its way is lost', () =>
    world.run(async () => {
      const { listening, connected } = await join();
      connected.say('lost');
      network.cut();
      await wait(1e6);
      expect([listening.said, listening.isOver, connected.isOver]).toEqual(['', true, true]);
    }));

  test('a machine goes alone, and others hear of it some time later', () =>
    world.run(async () => {
      const { listening, connected } = await join();
      let rings = 0;
      for (const { platform } of [server!, client!]) platform.clock.setTimer(1e6, () => void rings++);
      server!.crash();
      await wait(1e9 + 1e6);
      expect([listening.isOver, connected.isOver, rings]).toEqual([false, true, 1]);
      await expect(client!.platform.sockets!.connect(address)).rejects.toThrow('Connection refused');
    }));
});
