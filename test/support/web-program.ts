/** `blockyard web` in a process of its own. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdirSync, readFileSync } from 'node:fs';
import { bundle } from './cli.ts';

/** A server that is started as users start it, and ends when it is told to. */
export class WebServer {
  private constructor(
    private readonly child: ChildProcess,
    readonly base: string,
    private readonly errors: readonly string[],
    private readonly outputs: readonly string[],
  ) {}

  static start(...argv: string[]): Promise<WebServer> {
    return WebServer.startLimited({}, ...argv);
  }

  /** One that may have no more than so many descriptors, and so large a heap. */
  static async startLimited(
    { descriptors, heapMiB }: { descriptors?: number; heapMiB?: number },
    ...argv: string[]
  ): Promise<WebServer> {
    const wrapper =
      descriptors === undefined ? [] : ['sh', '-c', `ulimit -n ${descriptors}; exec "$@"`, 'sh'];
    const flags = heapMiB === undefined ? [] : [`--max-old-space-size=${heapMiB}`];
    const program = [process.execPath, ...flags, bundle, 'web', '--port', '0', ...argv];
    const [command, ...words] = [...wrapper, ...program];
    const child = spawn(command!, words, { stdio: ['ignore', 'pipe', 'pipe'] });
    const errors: string[] = [];
    child.stderr!.setEncoding('utf8').on('data', (text: string) => errors.push(text));
    const outputs: string[] = [];
    child.stdout!.setEncoding('utf8').on('data', (text: string) => outputs.push(text));
    const ended = once(child.stdout!, 'close').then(() => true);
    for (let isOver = false; !isOver; ) {
      const base = /at (https?:\S+)\//.exec(outputs.join(''))?.[1];
      if (base !== undefined) return new WebServer(child, base, errors, outputs);
      isOver = await Promise.race([ended, once(child.stdout!, 'data').then(() => false)]);
    }
    throw new Error(`the server has ended: ${outputs.join('')}${errors.join('')}`);
  }

  /** What it has said of things that went wrong, by itself or by Node. */
  get complaints(): string {
    return this.errors.join('');
  }

  /** What it has printed. */
  get output(): string {
    return this.outputs.join('');
  }

  get hasEnded(): boolean {
    return this.child.exitCode !== null || this.child.signalCode !== null;
  }

  /** How many descriptors it has open. Linux only. */
  get descriptors(): number {
    return readdirSync(`/proc/${this.child.pid}/fd`).length;
  }

  /** How much memory it has, in bytes. Linux only. */
  get residentBytes(): number {
    const status = readFileSync(`/proc/${this.child.pid}/status`, 'utf8');
    return Number(/VmRSS:\s*(\d+) kB/.exec(status)![1]) * 1024;
  }

  /** Gives its exit status. */
  async stop(): Promise<number | null> {
    if (this.hasEnded) return this.child.exitCode;
    const ended = once(this.child, 'exit');
    this.child.kill('SIGTERM');
    return ((await ended) as [number | null])[0];
  }
}
