/**
 * A simulated network: sockets of machines that have one clock (Simulation's `beside`). What is written arrives in its order, later and
 * in other pieces; connections break, and machines go.
 *
 * Bytes are not copied on their way: a writer that changes what it has not been told to be sent is found out. What was on its way in a
 * connection that breaks is lost, and both sides hear of it. Nobody hears of a machine's end from itself: the others are told some time
 * later. An operating system that goes on tells them of its program's end.
 *
 * Not simulated: one side alone saying that it has nothing more to say, and how much fits through.
 */
import { BlockError } from '../../base/errors.ts';
import type { Connection, ConnectionHandlers } from '../connection.ts';
import type { Listener, SocketAddress, Sockets } from '../sockets.ts';
import type { Simulation } from './index.ts';
import { Prng } from './prng.ts';

interface NetworkOptions {
  /** How long bytes travel. */
  readonly latency: { readonly minNs: number; readonly maxNs: number };
  /** How long it may take until somebody hears that a machine is gone. */
  readonly maxSilenceNs: number;
}

/** One piece in so many arrives as two. */
const cutOneIn = 4;

export class SimNetwork {
  readonly random: Prng;
  private readonly listeners = new Map<string, { machine: Simulation; accept: (end: Connection) => void }>();
  private readonly ends = new Set<End>();

  /** `world`: whose clock all machines have. */
  constructor(
    private readonly world: Simulation,
    seed: number,
    private readonly options: NetworkOptions,
  ) {
    this.random = new Prng(seed, 3);
  }

  /** The sockets of one machine. */
  socketsOf(machine: Simulation): Sockets {
    return {
      listen: async (address, accept) => this.listen(machine, nameOf(address), accept),
      connect: (address, signal) => this.connect(machine, nameOf(address), signal),
    };
  }

  /** All connections that there are break. */
  cut(): void {
    for (const end of this.ends) {
      end.drop();
      this.later(this.options.latency.minNs, () => end.lose());
    }
    this.ends.clear();
  }

  /** A machine is gone, or its program only: nobody listens there, and its connections break. */
  crashed(machine: Simulation, what: 'machine' | 'program'): void {
    for (const [name, listener] of this.listeners) {
      if (listener.machine === machine) this.listeners.delete(name);
    }
    for (const end of this.ends) {
      if (end.machine !== machine) continue;
      const { peer } = end;
      end.drop();
      peer.drop();
      const { latency, maxSilenceNs } = this.options;
      const silenceNs = what === 'machine' ? this.random.below(maxSilenceNs + 1) : latency.minNs;
      this.later(silenceNs, () => peer.lose());
      this.ends.delete(end);
      this.ends.delete(peer);
    }
  }

  /** Both sides have closed it, or one has and the other knows. */
  forget(end: End): void {
    this.ends.delete(end);
  }

  later(ns: number, callback: () => void): void {
    this.world.platform.clock.setTimer(ns, callback);
  }

  get nowNs(): number {
    return this.world.nowNs;
  }

  travelNs(): number {
    const { minNs, maxNs } = this.options.latency;
    return minNs + this.random.below(maxNs - minNs + 1);
  }

  private listen(machine: Simulation, name: string, accept: (connection: Connection) => void): Listener {
    if (this.listeners.has(name))
      throw new BlockError('EIO', 'Address already in use').within(`Failed to bind socket to '${name}'`);
    const listener = { machine, accept };
    this.listeners.set(name, listener);
    return {
      close: () => {
        if (this.listeners.get(name) === listener) this.listeners.delete(name);
      },
    };
  }

  private connect(machine: Simulation, name: string, signal: AbortSignal | undefined): Promise<Connection> {
    return new Promise((resolve, reject) => {
      const giveUp = (): void => reject(new BlockError('ECANCELED'));
      if (signal?.aborted) return giveUp();
      signal?.addEventListener('abort', giveUp);
      this.later(this.travelNs(), () => {
        if (machine.crashed || signal?.aborted) return;
        signal?.removeEventListener('abort', giveUp);
        const listener = this.listeners.get(name);
        if (!listener) {
          reject(new BlockError('EIO', 'Connection refused').within(`Failed to connect to '${name}'`));
          return;
        }
        const ours = new End(this, machine);
        const theirs = new End(this, listener.machine);
        ours.peer = theirs;
        theirs.peer = ours;
        this.ends.add(ours).add(theirs);
        listener.accept(theirs);
        resolve(ours);
      });
    });
  }
}

function nameOf(address: SocketAddress): string {
  return address.type === 'unix' ? address.path : JSON.stringify(address);
}

interface Piece {
  readonly bytes: Uint8Array;
  readonly sent: (() => void) | undefined;
}

class End implements Connection {
  /** Set before anything is written. */
  peer!: End;
  private handlers: ConnectionHandlers | undefined;
  /** Arrived, and not taken. */
  private readonly held: Piece[] = [];
  /** Of what was written: not taken by the peer. */
  unsentBytes = 0;
  /** When what was written last arrives. */
  private lastArrivalNs = 0;
  private isPaused = false;
  private isDelivering = false;
  /** Nothing arrives any more. */
  private isDropped = false;
  /** The peer has closed, and all that it wrote is here. */
  private isOver = false;
  private readonly putsInto: boolean;

  constructor(
    private readonly network: SimNetwork,
    readonly machine: Simulation,
  ) {
    this.putsInto = network.random.below(2) === 0;
  }

  start(handlers: ConnectionHandlers): void {
    this.handlers = handlers;
    this.deliver();
  }

  write(bytes: Uint8Array, sent?: () => void): void {
    if (this.machine.crashed || bytes.length === 0) return;
    const { random } = this.network;
    const isCut = bytes.length > 1 && random.below(cutOneIn) === 0;
    const at = isCut ? 1 + random.below(bytes.length - 1) : bytes.length;
    this.unsentBytes += bytes.length;
    if (isCut) this.travel({ bytes: bytes.subarray(0, at), sent: undefined });
    this.travel({ bytes: isCut ? bytes.subarray(at) : bytes, sent });
  }

  pause(): void {
    this.isPaused = true;
  }

  resume(): void {
    this.isPaused = false;
    this.deliver();
  }

  close(): void {
    const { peer, network } = this;
    this.handlers = undefined;
    if (this.isDropped || this.machine.crashed) return;
    this.isDropped = true;
    network.forget(this);
    this.arrive(() => {
      peer.isOver = true;
      peer.deliver();
    });
  }

  /** What is on its way to it does not arrive. */
  drop(): void {
    this.isDropped = true;
    this.held.length = 0;
  }

  /** It is told that there is no connection any more. */
  lose(): void {
    const { handlers } = this;
    this.handlers = undefined;
    if (!this.machine.crashed) handlers?.closed();
  }

  private travel(piece: Piece): void {
    const { peer } = this;
    this.arrive(() => {
      if (peer.isDropped) return;
      peer.held.push(piece);
      peer.deliver();
    });
  }

  /** After everything that was written before. */
  private arrive(callback: () => void): void {
    const { network } = this;
    this.lastArrivalNs = Math.max(this.lastArrivalNs, network.nowNs + network.travelNs());
    network.later(this.lastArrivalNs - network.nowNs, callback);
  }

  private deliver(): void {
    // What a handler causes to be written comes after what it is dealing with.
    if (this.isDelivering || this.machine.crashed) return;
    this.isDelivering = true;
    while (this.handlers && !this.isPaused) {
      const piece = this.held.shift();
      if (!piece) break;
      const { bytes, sent } = piece;
      const taken = this.give(bytes, this.handlers);
      const isWhole = taken === bytes.length;
      if (!isWhole && !this.isDropped) this.held.unshift({ bytes: bytes.subarray(taken), sent });
      this.peer.noteTaken(taken, isWhole ? sent : undefined);
    }
    this.isDelivering = false;
    if (!this.isOver || this.held.length > 0 || !this.handlers || this.isPaused) return;
    this.network.forget(this);
    this.isDropped = true;
    this.lose();
  }

  /** How many bytes were taken: half of all connections put them, as sockets do, where they are wanted. */
  private give(bytes: Uint8Array, { into, data }: ConnectionHandlers): number {
    if (!into || !this.putsInto) {
      data(bytes);
      return bytes.length;
    }
    const room = into.room();
    const part = bytes.subarray(0, room.length);
    room.set(part);
    into.filled(part.length);
    return part.length;
  }

  private noteTaken(bytes: number, sent: (() => void) | undefined): void {
    this.unsentBytes -= bytes;
    if (this.machine.crashed) return;
    sent?.();
    if (this.unsentBytes === 0) this.handlers?.drained();
  }
}
