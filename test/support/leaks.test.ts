/** The harness that looks for what tests leave open: it finds what it is there for. */
import { closeSync, openSync } from 'node:fs';
import { createServer } from 'node:net';
import { describe, expect, test } from 'vitest';
import { drivers } from '../../host/drivers.ts';
import { nodePlatform } from '../../host/platform/node/index.ts';
import { createSimulation } from '../../host/platform/sim/index.ts';
import { commands } from '../../host/qmp/commands/index.ts';
import { QmpServer } from '../../host/qmp/server.ts';
import { leakWatch } from './leaks.ts';
import { scratchDirectory } from './scratch.ts';
import { VirtualPlatform } from './virtual-platform.ts';

const file = scratchDirectory();

describe('What is left open is found', () => {
  test.skipIf(process.platform !== 'linux')('as the descriptor of a scratch file', async () => {
    const before = leakWatch.look();
    const fd = openSync(file('left'), 'w');
    expect(await leakWatch.leakedSince(before)).toEqual([`descriptor ${fd} ${file('left')}`]);
    closeSync(fd);
    expect(await leakWatch.leakedSince(before)).toEqual([]);
  });

  test.skipIf(process.platform !== 'linux')('as a socket', async () => {
    const before = leakWatch.look();
    const server = createServer();
    await new Promise<void>((resolve) => server.listen(file('socket'), resolve));
    expect(await leakWatch.leakedSince(before)).toEqual([expect.stringMatching(/^descriptor \d+ socket:/)]);
    server.close();
    expect(await leakWatch.leakedSince(before)).toEqual([]);
  });

  test('as a node that the program has opened', async () => {
    const before = leakWatch.look();
    const server = new QmpServer({ platform: nodePlatform, drivers, commands });
    await server.runLocally('blockdev-add', () => ({ driver: 'null-co', 'node-name': 'left' }));
    expect(await leakWatch.leakedSince(before)).toEqual([expect.stringMatching(/^node left of graph/)]);
    await server.close();
    expect(await leakWatch.leakedSince(before)).toEqual([]);
  });

  test('as a timer of the real, a virtual or a simulated clock', async () => {
    const before = leakWatch.look();
    const simulation = createSimulation(1);
    const far = 1e12;
    const timers = [nodePlatform.clock, new VirtualPlatform().clock].map((clock) =>
      clock.setTimer(far, () => {}),
    );
    await simulation.run(
      async () => void (await simulation.platform.files.open('a', { write: true, create: 'exclusive' })),
    );
    expect(await leakWatch.leakedSince(before)).toEqual([
      'simulated file a',
      expect.stringMatching(/^timer of virtual platform/),
      expect.stringMatching(/^timer \d+$/),
    ]);
    for (const timer of timers) timer.cancel();
    simulation.crash();
    expect(await leakWatch.leakedSince(before)).toEqual([]);
  });

  test('but not what the test itself has opened in a graph', async () => {
    const before = leakWatch.look();
    const { graph } = new QmpServer({ platform: nodePlatform, drivers, commands });
    await graph.open({ driver: 'null-co', 'node-name': 'own' });
    expect(await leakWatch.leakedSince(before)).toEqual([]);
    expect(graph.nodes()).toEqual([]);
  });
});
