/**
 * Random valid and nearly valid commands in the simulator: every one is answered, nothing crashes or hangs, the graph
 * stays sound, and in the end nothing is left: no job, no node, no open file, no lock, no timer. FUZZ_RUNS sets how many
 * sequences, FUZZ_SEED the first of their seeds.
 */
import { expect, test } from 'vitest';
import { bitmapsOf } from '../../../host/bitmaps/node-bitmaps.ts';
import { createImage } from '../../../host/block/create.ts';
import type { BlockGraph } from '../../../host/block/graph.ts';
import { drivers } from '../../../host/drivers.ts';
import { createSimulation } from '../../../host/platform/sim/index.ts';
import { commands } from '../../../host/qmp/commands/index.ts';
import { QmpServer } from '../../../host/qmp/server.ts';
import { QmpClient } from '../../support/qmp-client.ts';
import { Seeded } from '../../support/seeded.ts';
import { CommandGenerator } from './generator.ts';
import { violations } from './invariants.ts';

const runs = Number(process.env['FUZZ_RUNS'] ?? 2000);
const firstSeed = Number(process.env['FUZZ_SEED'] ?? 1);
const batches = 10;
const commandsPerRun = 25;
/** The longest that a change of the graph takes. */
const settlingNs = 10_000_000;

/** Those that end the server, and before that say nothing. */
const excluded = new Set(['quit', 'qmp_capabilities']);

const start = [
  { driver: 'null-co', 'node-name': 'n0', size: 4 << 20, 'read-zeroes': true },
  { driver: 'memory', 'node-name': 'n1', size: 4 << 20 },
  { driver: 'qcow2', 'node-name': 'n2', file: { driver: 'file', filename: 'b.qcow2' } },
] as const;

/** A chain of two images, and a raw one. */
async function makeImages(graph: BlockGraph): Promise<void> {
  const quiet = true;
  await createImage(graph, { filename: 'a.qcow2', format: 'qcow2', size: 4 << 20, quiet });
  await createImage(graph, {
    filename: 'b.qcow2',
    format: 'qcow2',
    backingFile: 'a.qcow2',
    backingFormat: 'qcow2',
    quiet,
  });
  await createImage(graph, { filename: 'c.raw', format: 'raw', size: 4 << 20, quiet });
}

class Client extends QmpClient {
  private count = 0;
  private wanted = '';
  private onAnswer = (): void => {};

  override write(bytes: Uint8Array): void {
    super.write(bytes);
    if (this.received.includes(this.wanted)) this.onAnswer();
  }

  /** Sends something, whatever it is, and settles when what is sent after it was answered. */
  answered(text: string): Promise<void> {
    this.received = '';
    this.wanted = `"id": "after ${++this.count}"`;
    return new Promise((resolve) => {
      this.onAnswer = resolve;
      this.send(`${text}\n{"execute": "query-version", "id": "after ${this.count}"}\n`);
    });
  }
}

async function fuzz(seed: number): Promise<void> {
  const random = new Seeded(seed);
  const simulation = createSimulation(seed, { latency: { minNs: 1000, maxNs: 50_000 }, record: false });
  const server = new QmpServer({ platform: simulation.platform, drivers, commands });
  const generator = new CommandGenerator(
    random,
    server.commands.list().filter(({ name }) => !excluded.has(name)),
    {
      nodes: () => server.graph.nodes().map(({ name }) => name),
      jobs: () => server.jobs.list().map(({ id }) => id),
      bitmaps: () =>
        server.graph
          .nodes()
          .flatMap((node) => [...bitmapsOf(node)])
          .flatMap(({ name }) => name ?? []),
    },
  );
  const sent: string[] = [];
  try {
    await simulation.run(async () => {
      const client = new Client();
      server.connect(client);
      const send = async (text: string): Promise<void> => {
        sent.push(text);
        await client.answered(text);
        if (violations(server.graph).length === 0) return;
        // A job may be in the middle of something: what is wrong then is not wrong for long.
        await new Promise<void>((resolve) => void simulation.platform.clock.setTimer(settlingNs, resolve));
        expect(violations(server.graph)).toEqual([]);
      };
      await send('{"execute":"qmp_capabilities"}');
      await makeImages(server.graph);
      for (const node of start) await send(JSON.stringify({ execute: 'blockdev-add', arguments: node }));
      for (let i = 0; i < commandsPerRun; i++) await send(generator.next());
      await server.stop();
      await server.close();
    });
    expect(simulation.output.stderr.filter((line) => line.startsWith('internal error'))).toEqual([]);
    expect(server.jobs.list()).toEqual([]);
    expect(server.graph.nodes().map(({ name }) => name)).toEqual([]);
    expect(simulation.openFiles).toEqual([]);
    expect(simulation.pendingTimers).toBe(0);
  } catch (error) {
    const told = simulation.output.stderr.filter((line) => line.startsWith('internal error')).join('\n');
    throw new Error(`seed ${seed}:\n${sent.slice(-6).join('\n')}\n${told}`, { cause: error });
  }
}

const each = Math.ceil(runs / batches);
for (let batch = 0; batch < batches; batch++) {
  const first = firstSeed + batch * each;
  test(`seeds from ${first} to ${first + each - 1}`, async () => {
    for (let seed = first; seed < first + each; seed++) await fuzz(seed);
  }, 600_000);
}
