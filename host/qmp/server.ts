/**
 * The block monitor: nodes, jobs, and all clients that are connected to them.
 *
 * One command runs at a time, whoever sent it; clients take turns. Events go to every client that has negotiated, the
 * moment they happen, and so before the answer of the command that caused them. A bug in a command ends the session of
 * the client that sent it, and nothing else.
 */
import { assert } from '../base/assert.ts';
import { createDeferred } from '../base/deferred.ts';
import type { BlockError } from '../base/errors.ts';
import type { DriverDefinition } from '../block/driver.ts';
import type { BlockGraph, GraphEvent } from '../block/graph.ts';
import type { BlockNode } from '../block/node.ts';
import { createGraph } from '../graph.ts';
import { JobRegistry } from '../jobs/job-registry.ts';
import { Machine, type MachineOptions, type ShutdownReason } from '../machine/machine.ts';
import type { AnyObjectType } from '../objects/object-type.ts';
import { UserObjects } from '../objects/user-objects.ts';
import type { Connection } from '../platform/connection.ts';
import { Pacer } from '../platform/pacer.ts';
import type { Clock, Platform } from '../platform/platform.ts';
import type { Type } from '../qapi/types.ts';
import { connectionClose, connectionOpen } from '../trace/events.ts';
import { type AnyCommand, type CommandContext, CommandTable } from './command.ts';
import { dispatch } from './dispatch.ts';
import { EventLimiter } from './event-limiter.ts';
import { events as qmpEvents } from './events.ts';
import { Monitor } from './monitor.ts';
import { type Incoming, type Outcome, QmpProtocol } from './protocol.ts';

/** What a block layer with a monitor is made of. */
export interface QmpServerOptions<Given extends MachineOptions | undefined = MachineOptions | undefined> {
  platform: Platform;
  drivers: readonly DriverDefinition[];
  commands: readonly AnyCommand[];
  /** Of `object-add`. Absent: those that there are everywhere. */
  objectTypes?: readonly AnyObjectType[];
  /** Absent: there is none, and `commands` do without it. */
  machine?: Given;
  /** What limits and latencies of disks keep to instead of the platform's clock. */
  guestClock?: Clock;
  /** What ends before the jobs do, when the program is to end. */
  beforeEnd?(graph: BlockGraph): Promise<void>;
  /** Hears of a bug in a command. Absent: it is printed, with its stack. */
  reportBug?(error: unknown): void;
}

/** A block layer with its jobs, objects and perhaps a machine, and QMP monitors for whoever connects. */
export class QmpServer<Given extends MachineOptions | undefined = MachineOptions | undefined> {
  readonly graph: BlockGraph;
  readonly jobs: JobRegistry;
  readonly objects: UserObjects;
  /** There is one when options for it were given. */
  readonly machine: Given extends MachineOptions ? Machine : undefined;
  readonly commands: CommandTable;
  private readonly platform: Platform;
  private readonly reportBug: (error: unknown) => void;
  private readonly beforeEnd: QmpServerOptions['beforeEnd'];
  private readonly limiter: EventLimiter;
  /** The client whose turn is next comes first. */
  private monitors: Monitor[] = [];
  private clientCount = 0;
  private running = false;
  private ending = false;
  private readonly ended = createDeferred();

  constructor(options: QmpServerOptions<Given>) {
    const { platform, drivers, commands, objectTypes, machine, guestClock, reportBug, beforeEnd } = options;
    this.platform = platform;
    this.beforeEnd = beforeEnd;
    this.reportBug = reportBug ?? ((error) => platform.console.stderr(`internal error: ${stackOf(error)}`));
    this.limiter = new EventLimiter(qmpEvents, platform.clock, ({ name, data }, timestamp) => {
      for (const monitor of [...this.monitors]) monitor.event(timestamp, name, data);
    });
    const emit = (event: GraphEvent): void => this.emit(event);
    const closeFailed = ({ name }: BlockNode, { message }: BlockError): void => {
      platform.console.stderr(`Node '${name}' is closed, but part of what it held is lost: ${message}`);
    };
    const guestPlatform = guestClock ? { ...platform, clock: guestClock } : platform;
    this.graph = createGraph({ platform: guestPlatform, drivers, emit, closeFailed });
    // Jobs go on while the guest's clock stands still.
    this.jobs = new JobRegistry({ platform, emit, guests: this.graph.guestLatency });
    this.objects = new UserObjects({ graph: this.graph }, objectTypes);
    const { graph, jobs, objects } = this;
    const made = machine && new Machine({ graph, jobs, tree: objects.tree, emit }, machine);
    this.machine = made as Given extends MachineOptions ? Machine : undefined; // as `machine` is
    this.commands = new CommandTable(commands, this.graph.drivers);
  }

  /** Settles when a client or `stop` has ended the server. Nodes and connections are still there. */
  get whenEnded(): Promise<void> {
    return this.ended.promise;
  }

  /** Serves a client. */
  connect(connection: Connection, options: { pretty?: boolean | undefined; onClosed?(): void } = {}): void {
    const told = { server: 'qmp', client: `${++this.clientCount}` };
    if (connectionOpen.enabled) connectionOpen.emit(told);
    const monitor: Monitor = new Monitor(connection, {
      pretty: options.pretty,
      onRequest: () => this.wake(),
      onOutOfBand: (incoming) => void this.answerOutOfBand(monitor, incoming),
      onClosed: () => {
        this.monitors = this.monitors.filter((other) => other !== monitor);
        if (connectionClose.enabled) connectionClose.emit(told);
        options.onClosed?.();
      },
    });
    this.monitors.push(monitor);
    this.wake();
  }

  /** Runs a command for the program itself, with the arguments that `read` gives, checked against the command's type. */
  async runLocally(name: string, read: (type: Type) => unknown = () => ({})): Promise<unknown> {
    const command = this.commands.find(name);
    assert(command, `command ${name} is not registered`);
    return command.run(this.contextFor(new QmpProtocol()), read(command.args) as object);
  }

  emit(event: GraphEvent): void {
    this.limiter.emit(event);
  }

  /** Cancels all jobs and ends the server; clients of a machine are told why. */
  async stop(reason: ShutdownReason = 'host-signal'): Promise<void> {
    this.machine?.shutDown(reason);
    await this.beforeEnd?.(this.graph);
    // What is in flight comes to rest, in a machine once more for its devices, before jobs are told.
    if (this.machine) await this.comeToRest();
    await this.comeToRest();
    await this.jobs.cancelAll();
    this.ending = true;
    if (!this.running) this.ended.resolve();
  }

  private async comeToRest(): Promise<void> {
    this.graph.drainAllEnd(await this.graph.drainAllBegin());
  }

  /** Closes the machine and all nodes that clients have added, then the connections. */
  async close(): Promise<void> {
    await this.machine?.close();
    for (const node of this.graph.nodes()) if (node.monitorOwned) await this.graph.unref(node);
    this.limiter.close();
    for (const monitor of [...this.monitors]) monitor.close();
  }

  private wake(): void {
    if (this.running || this.ending) return;
    this.running = true;
    void this.serve().finally(() => {
      this.running = false;
      if (this.ending) this.ended.resolve();
      else if (this.monitors.some((monitor) => monitor.hasRequest)) this.wake();
    });
  }

  private async serve(): Promise<void> {
    // However fast clients send commands.
    const pacer = new Pacer(this.platform.clock);
    for (let monitor = this.takeTurn(); monitor && !this.ending; monitor = this.takeTurn()) {
      const incoming = monitor.next()!; // takeTurn saw it
      const outcome = await this.execute(monitor, incoming);
      if (outcome) monitor.answer(incoming, outcome);
      else monitor.close();
      await pacer.breathe();
    }
  }

  /** The next client with something to do; it goes to the end of the row. */
  private takeTurn(): Monitor | undefined {
    const index = this.monitors.findIndex((monitor) => monitor.hasRequest);
    if (index < 0) return undefined;
    const monitor = this.monitors.splice(index, 1)[0]!; // it was found there
    this.monitors.push(monitor);
    return monitor;
  }

  private async answerOutOfBand(monitor: Monitor, incoming: Incoming): Promise<void> {
    const outcome = await this.execute(monitor, incoming);
    if (outcome) monitor.answerOutOfBand(incoming, outcome);
    else monitor.close();
  }

  /** Undefined after a bug. */
  private async execute(monitor: Monitor, incoming: Incoming): Promise<Outcome | undefined> {
    try {
      return await dispatch(this.contextFor(monitor.session), incoming);
    } catch (error) {
      this.reportBug(error);
      return undefined;
    }
  }

  private contextFor(session: QmpProtocol): CommandContext {
    return {
      graph: this.graph,
      jobs: this.jobs,
      commands: this.commands,
      objects: this.objects,
      machine: this.machine,
      session,
      shutdown: (reason) => this.stop(reason),
    };
  }
}

function stackOf(error: unknown): string | undefined {
  return error instanceof Error ? error.stack : String(error);
}
