/**
 * One sequence of random commands to a server in the simulator: every command is answered, nothing crashes or hangs, the
 * graph stays sound, and in the end nothing is left: no job, no node, no device, no open file, no lock, no timer.
 *
 * What there is at the start, what is asked for and what happens between two commands belongs to the kind of server.
 */
import { expect } from 'vitest';
import { bitmapsOf } from '../../../host/bitmaps/node-bitmaps.ts';
import { createImage } from '../../../host/block/create.ts';
import type { BlockGraph } from '../../../host/block/graph.ts';
import { drivers } from '../../../host/drivers.ts';
import type { Platform } from '../../../host/platform/platform.ts';
import { createSimulation } from '../../../host/platform/sim/index.ts';
import type { QmpServer } from '../../../host/qmp/server.ts';
import { RecordingConnection } from '../../support/recording-connection.ts';
import { Seeded } from '../../support/seeded.ts';
import { CommandGenerator } from './generator.ts';
import { lastingViolations } from './invariants.ts';

/** blkverify ends the program when contents differ, as it is meant to. */
export const fuzzedDrivers = drivers.filter(({ name }) => name !== 'blkverify');

export const imageBytes = 4 << 20;
const commandsPerRun = 25;
/** Some commands write as much as there is room for. */
const capacityBytes = 256 << 20;

/** Those that end the server, and before that say nothing. */
const excluded = new Set(['quit', 'qmp_capabilities']);

export interface Fuzzed {
  createServer(platform: Platform): QmpServer;
  /** What is there before the first command. `send` is a client's. */
  setUp(server: QmpServer, send: (text: string) => Promise<void>): Promise<void>;
  /** Before each command. */
  between?(server: QmpServer, random: Seeded): void;
  /** When the server has closed: nothing hangs. */
  finish?(server: QmpServer): Promise<void>;
  /** Instead of what is made from the declared type; undefined: that. */
  makeArguments?(command: string, server: QmpServer, random: Seeded): object | undefined;
}

class Client extends RecordingConnection {
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

/** A chain of two images, and a raw one. */
async function makeImages(graph: BlockGraph): Promise<void> {
  const quiet = true;
  await createImage(graph, { filename: 'a.qcow2', format: 'qcow2', size: imageBytes, quiet });
  await createImage(graph, {
    filename: 'b.qcow2',
    format: 'qcow2',
    backingFile: 'a.qcow2',
    backingFormat: 'qcow2',
    quiet,
  });
  await createImage(graph, { filename: 'c.raw', format: 'raw', size: imageBytes, quiet });
}

function generatorFor(fuzzed: Fuzzed, server: QmpServer, random: Seeded): CommandGenerator {
  const { graph, jobs, machine } = server;
  return new CommandGenerator(
    random,
    server.commands.list().filter(({ name }) => !excluded.has(name)),
    {
      nodes: () => graph.nodes().map(({ name }) => name),
      jobs: () => jobs.list().map(({ id }) => id),
      bitmaps: () =>
        graph
          .nodes()
          .flatMap((node) => [...bitmapsOf(node)])
          .flatMap(({ name }) => name ?? []),
      drives: () => graph.backends.list().flatMap(({ name }) => (name === '' ? [] : name)),
      devices: () => (machine?.devices ?? []).flatMap(({ id }) => id ?? []),
    },
    (command) => fuzzed.makeArguments?.(command, server, random),
  );
}

/** Throws what is wrong, with the last commands. */
export async function fuzz(fuzzed: Fuzzed, seed: number): Promise<void> {
  const random = new Seeded(seed);
  const simulation = createSimulation(seed, {
    latency: { minNs: 1000, maxNs: 50_000 },
    record: false,
    capacityBytes,
  });
  const server = fuzzed.createServer(simulation.platform);
  const generator = generatorFor(fuzzed, server, random);
  const sent: string[] = [];
  const wait = (ns: number): Promise<void> =>
    new Promise((resolve) => void simulation.platform.clock.setTimer(ns, resolve));
  const internalErrors = (): string[] =>
    simulation.output.stderr.filter((line) => line.startsWith('internal error'));
  try {
    await simulation.run(async () => {
      const client = new Client();
      server.connect(client);
      const send = async (text: string): Promise<void> => {
        sent.push(text);
        await client.answered(text);
        expect(await lastingViolations(server, wait)).toEqual([]);
      };
      await send('{"execute":"qmp_capabilities"}');
      await makeImages(server.graph);
      await fuzzed.setUp(server, send);
      for (let i = 0; i < commandsPerRun; i++) {
        fuzzed.between?.(server, random);
        await send(generator.next());
      }
      await server.stop();
      await server.close();
      await fuzzed.finish?.(server);
    });
    expect(internalErrors()).toEqual([]);
    expect(server.jobs.list()).toEqual([]);
    expect(server.machine?.devices ?? []).toEqual([]);
    expect(server.graph.backends.list().map(({ name }) => name)).toEqual([]);
    expect(server.graph.nodes().map(({ name }) => name)).toEqual([]);
    expect(simulation.openFiles).toEqual([]);
    expect(simulation.pendingTimers).toBe(0);
  } catch (error) {
    const told = internalErrors().join('\n');
    throw new Error(`seed ${seed}:\n${sent.slice(-6).join('\n')}\n${told}`, { cause: error });
  }
}
