/**
 * A story that goes on when its process is killed: each of its lives is a simulation of its own, over the storage that the
 * one before has left. What was written is there; nothing of what was under way goes on.
 */
import type { Platform } from '../../host/platform/platform.ts';
import {
  createSimulation,
  SimStorage,
  SimulatedCrash,
  type Simulation,
  type SimulationOptions,
} from '../../host/platform/sim/index.ts';

export class Lives {
  private readonly storage = new SimStorage();
  private count = 0;

  constructor(
    private readonly seed: number,
    private readonly latency: NonNullable<SimulationOptions['latency']>,
  ) {}

  /** Begins life after life until one is not killed. Gives how many were. */
  async live(body: (simulation: Simulation, life: number) => Promise<void>): Promise<number> {
    for (let kills = 0; ; kills++) {
      const simulation = this.next();
      try {
        await simulation.run(() => body(simulation, kills));
        return kills;
      } catch (error) {
        if (!(error instanceof SimulatedCrash)) throw error;
      }
    }
  }

  /** Another process that looks at what they have left. */
  lookAt(look: (platform: Platform) => Promise<void>): Promise<void> {
    const simulation = this.next();
    return simulation.run(() => look(simulation.platform));
  }

  private next(): Simulation {
    const { storage, latency } = this;
    return createSimulation(this.seed * 100 + this.count++, { storage, latency, record: false });
  }
}
