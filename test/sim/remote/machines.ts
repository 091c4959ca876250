/**
 * Machines with one clock and a network between them: each runs the block layer with a monitor, over storage of its own, and can be
 * killed at any moment. Another life of it goes on with what the storage has.
 */
import { drivers } from '../../../host/drivers.ts';
import { closeExports } from '../../../host/exports/block-exports.ts';
import {
  createSimulation,
  SimNetwork,
  type SimStorage,
  type Simulation,
  storageAt,
} from '../../../host/platform/sim/index.ts';
import { storageDaemonCommands } from '../../../host/qmp/commands/storage-daemon.ts';
import { QmpServer } from '../../../host/qmp/server.ts';
import type { Seeded } from '../../support/seeded.ts';

const ioLatency = { minNs: 1000, maxNs: 60_000 };
const networkLatency = { minNs: 5000, maxNs: 200_000 };
const maxSilenceNs = 2_000_000_000;

/** How a machine ends: its program alone, or all of it, with what was not flushed. */
export type End = 'program' | 'power';

export class World {
  readonly simulation: Simulation;
  readonly network: SimNetwork;
  private lives = 0;

  constructor(
    readonly seed: number,
    readonly random: Seeded,
  ) {
    this.simulation = createSimulation(seed, { record: false });
    const options = { latency: networkLatency, maxSilenceNs };
    this.network = new SimNetwork(this.simulation, seed, options);
  }

  wait(ns: number): Promise<void> {
    return new Promise((resolve) => void this.simulation.platform.clock.setTimer(ns, resolve));
  }

  /** What a machine makes that ends well: all of it is durable. */
  async prepare(make: (machine: Machine) => Promise<void>): Promise<SimStorage> {
    const machine = this.start(undefined);
    await make(machine);
    return machine.shutDown();
  }

  start(storage: SimStorage | undefined): Machine {
    const simulation = createSimulation(this.seed * 100 + this.lives++, {
      beside: this.simulation,
      network: this.network,
      latency: ioLatency,
      ...(storage && { storage }),
    });
    return new Machine(simulation, this.random);
  }
}

/** One life of a machine. */
export class Machine {
  readonly server: QmpServer;
  private readonly repairs: (() => void)[] = [];

  constructor(
    readonly simulation: Simulation,
    private readonly random: Seeded,
  ) {
    this.server = new QmpServer({
      platform: simulation.platform,
      drivers,
      commands: storageDaemonCommands,
      beforeEnd: closeExports,
    });
  }

  get isAlive(): boolean {
    return !this.simulation.crashed;
  }

  async execute<T>(name: string, args: object = {}): Promise<T> {
    return (await this.server.runLocally(name, () => args)) as T;
  }

  async listen(path: string): Promise<void> {
    await this.execute('nbd-server-start', { addr: { type: 'unix', data: { path } }, 'max-connections': 0 });
  }

  fail(rule: Parameters<Simulation['fail']>[0]): void {
    this.repairs.push(this.simulation.fail(rule));
  }

  /** Nothing fails any more. */
  repair(): void {
    for (const repair of this.repairs.splice(0)) repair();
  }

  /** What its next life finds. */
  kill(end: End): SimStorage {
    const { simulation, random } = this;
    simulation.crash(end === 'power' ? 'machine' : 'program');
    // It was recorded.
    return end === 'program' ? simulation.storage : storageAt(simulation.journal!, () => random.oneIn(2));
  }

  async shutDown(): Promise<SimStorage> {
    await this.server.stop();
    await this.server.close();
    return this.simulation.storage;
  }
}
