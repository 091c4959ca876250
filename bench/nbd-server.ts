/** A process that serves an image over NBD on a unix socket of its own, until it is stopped. */
import { type ChildProcess, spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { type Command, cpuSecondsOf } from './side.ts';

const socketWaitMs = 10_000;

export function socketOf(image: string): string {
  return `${image}.socket`;
}

/** One that serves an image on a socket of its own. */
export class Server {
  private constructor(
    readonly name: string,
    readonly image: string,
    private readonly socket: string,
    private readonly child: ChildProcess,
  ) {}

  /** Settles when it listens. */
  static async start(name: string, image: string, { program, args }: Command): Promise<Server> {
    const socket = socketOf(image);
    const child = spawn(program, args, { stdio: ['ignore', 'inherit', 'inherit'] });
    const until = Date.now() + socketWaitMs;
    while (!existsSync(socket)) {
      if (child.exitCode !== null || Date.now() > until) throw new Error(`${name} does not serve`);
      await new Promise((done) => setTimeout(done, 20));
    }
    return new Server(name, image, socket, child);
  }

  get uri(): string {
    return `nbd+unix:///?socket=${this.socket}`;
  }

  /** Processor time so far, in seconds. */
  cpuSeconds(): number {
    return cpuSecondsOf(this.child.pid!); // it runs
  }

  async stop(): Promise<void> {
    const gone = new Promise((done) => this.child.once('exit', done));
    this.child.kill('SIGTERM');
    await gone;
  }
}
