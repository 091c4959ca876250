/**
 * What a test may leave behind: nothing. Registers of everything of ours that is open in this process, and the
 * difference to an earlier moment.
 *
 * What the test itself has opened in a graph is closed first (own-handles.ts). Looked at are descriptors of scratch files and of sockets (an image lock lives as long as its descriptor), nodes in
 * any graph, files and events of any simulation, timers of the operating system's clock and of virtual ones, intervals,
 * and files outside the scratch directories. Nothing of it is in the program itself: constructors and methods are
 * wrapped here, in the process of the tests.
 *
 * Not looked at: what a simulation had open when it crashed or came to a deadlock, which is what it simulates.
 */
import { existsSync, mkdtempSync, readdirSync, readlinkSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { BlockGraph } from '../../host/block/graph.ts';
import type { BlockNode } from '../../host/block/node.ts';
import { clock as nodeClock } from '../../host/platform/node/clock.ts';
import type { Clock } from '../../host/platform/platform.ts';
import { Simulation } from '../../host/platform/sim/index.ts';
import { OwnHandles } from './own-handles.ts';
import { VirtualPlatform } from './virtual-platform.ts';

/** One for each thing that is open: what it is called, unique while it is. */
export type OpenThings = ReadonlySet<string>;

/** The event loop gets so many turns for what is closed already and only has to be over. */
const settlingTurns = 400;
const descriptorDirectory = '/proc/self/fd';

let isCheckedAfterEachTest = true;

/** For a test file whose tests share what they open one after the other: it is checked once, after the last one. */
export function sharesOverTests(): void {
  isCheckedAfterEachTest = false;
}

class LeakWatch {
  /** Temporary files of the test file and of the programs that it starts are in here. */
  readonly scratch: string;
  private readonly graphs = new Set<BlockGraph>();
  private readonly graphNumbers = new WeakMap<BlockGraph, number>();
  private readonly simulations = new Set<Simulation>();
  private readonly timers = new Map<object, string>();
  private readonly own = new OwnHandles();
  private graphCount = 0;
  private timerCount = 0;

  constructor() {
    this.scratch = mkdtempSync(join(tmpdir(), 'blockyard-test-'));
    process.env['TMPDIR'] = this.scratch;
    this.watchGraphs();
    this.watchSimulations();
    this.watchTimers(nodeClock);
    this.watchIntervals();
  }

  get isAfterEachTest(): boolean {
    return isCheckedAfterEachTest;
  }

  /** What is open now. */
  look(): OpenThings {
    return new Set([
      ...this.descriptors(),
      ...this.nodes(),
      ...this.simulated(),
      ...this.alarms(),
      ...this.timers.values(),
    ]);
  }

  /** A test begins. Gives what is open. */
  begin(): OpenThings {
    this.own.keep();
    return this.look();
  }

  /** What a test has left open. */
  leakedSince(before: OpenThings): Promise<string[]> {
    // Not awaited: what never comes to its end is among what is left.
    void this.own.release();
    return this.settled(before);
  }

  /** What all tests together have left open. */
  leakedInTheEnd(before: OpenThings): Promise<string[]> {
    void this.own.releaseAll();
    return this.settled(before);
  }

  /** What is open and was not `before`, when everything has had its time to end. */
  private async settled(before: OpenThings): Promise<string[]> {
    let leaked: string[] = [];
    for (let turn = 0; turn < settlingTurns; turn++) {
      leaked = [...this.look()].filter((thing) => !before.has(thing));
      if (leaked.length === 0) break;
      await new Promise((resolve) => setImmediate(resolve));
    }
    return leaked;
  }

  /** What nobody has removed, once the test file has taken its own directories away. */
  close(): string[] {
    const left = readdirSync(this.scratch).map((name) => `temporary file ${name}`);
    rmSync(this.scratch, { recursive: true, force: true });
    return left;
  }

  private watchGraphs(): void {
    const { graphs, graphNumbers } = this;
    const register = BlockGraph.prototype.register;
    const next = (): number => ++this.graphCount;
    BlockGraph.prototype.register = function (this: BlockGraph, node: BlockNode): void {
      register.call(this, node);
      if (!graphNumbers.has(this)) graphNumbers.set(this, next());
      graphs.add(this);
    };
  }

  private watchSimulations(): void {
    const { simulations } = this;
    const run = Simulation.prototype.run;
    Simulation.prototype.run = function <T>(this: Simulation, body: () => Promise<T>): Promise<T> {
      simulations.add(this);
      const running = run.call(this, body) as Promise<T>;
      // A deadlock: what it had open nobody can close any more.
      running.catch(() => simulations.delete(this));
      return running;
    };
  }

  private watchTimers(clock: Clock): void {
    const { timers } = this;
    const setTimer = clock.setTimer;
    clock.setTimer = (delayNs, callback) => {
      const key = {};
      timers.set(key, `timer ${++this.timerCount}`);
      const timer = setTimer(delayNs, () => {
        timers.delete(key);
        callback();
      });
      return {
        cancel() {
          timers.delete(key);
          timer.cancel();
        },
      };
    };
  }

  private watchIntervals(): void {
    const { timers } = this;
    const { setInterval: start, clearInterval: end } = globalThis;
    globalThis.setInterval = ((callback: () => void, ms?: number) => {
      const interval = start(callback, ms);
      timers.set(interval, `interval ${++this.timerCount}`);
      return interval;
    }) as typeof setInterval;
    globalThis.clearInterval = ((interval: NodeJS.Timeout | undefined) => {
      if (interval) timers.delete(interval);
      end(interval);
    }) as typeof clearInterval;
  }

  private *descriptors(): Generator<string> {
    if (!existsSync(descriptorDirectory)) return;
    for (const fd of readdirSync(descriptorDirectory)) {
      const target = targetOf(fd);
      if (target.startsWith(this.scratch) || target.startsWith('socket:')) yield `descriptor ${fd} ${target}`;
    }
  }

  private *nodes(): Generator<string> {
    for (const graph of this.graphs) {
      const nodes = graph.nodes();
      if (nodes.length === 0 || this.isCrashed(graph)) this.graphs.delete(graph);
      else for (const { name } of nodes) yield `node ${name} of graph ${this.graphNumbers.get(graph)}`;
    }
  }

  private isCrashed({ platform }: BlockGraph): boolean {
    for (const simulation of this.simulations) {
      if (simulation.crashed && simulation.platform.files === platform.files) return true;
    }
    return false;
  }

  private *alarms(): Generator<string> {
    let number = 0;
    for (const { pendingTimers } of VirtualPlatform.withTimers) {
      number++;
      if (pendingTimers > 0) yield `timer of virtual platform ${number}`;
    }
  }

  private *simulated(): Generator<string> {
    for (const simulation of this.simulations) {
      const { openFiles, pendingTimers } = simulation;
      if (simulation.crashed || (openFiles.length === 0 && pendingTimers === 0)) continue;
      for (const path of openFiles) yield `simulated file ${path}`;
      if (pendingTimers > 0) yield 'simulated timers';
    }
  }
}

/** The one of this test file. */
export const leakWatch = new LeakWatch();

/** Empty when it was closed in the meantime. */
function targetOf(fd: string): string {
  try {
    return readlinkSync(`${descriptorDirectory}/${fd}`);
  } catch {
    return '';
  }
}
