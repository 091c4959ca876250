/**
 * A QMP client over a child's standard streams, just enough to time jobs.
 */
import { type ChildProcessWithoutNullStreams, spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import type { Command } from './side.ts';

interface Message {
  return?: unknown;
  error?: { desc: string };
  event?: string;
  data?: Record<string, unknown>;
}

export class QmpChild {
  private readonly child: ChildProcessWithoutNullStreams;
  private readonly replies: ((message: Message) => void)[] = [];
  private readonly watchers = new Set<(message: Message) => void>();

  private constructor({ program, args }: Command) {
    this.child = spawn(program, args);
    createInterface({ input: this.child.stdout }).on('line', (line) => {
      if (!line.startsWith('{')) return;
      const message = JSON.parse(line) as Message;
      if (message.event !== undefined) for (const watch of this.watchers) watch(message);
      else if ('return' in message || message.error) this.replies.shift()?.(message);
    });
    this.child.stderr.pipe(process.stderr);
  }

  static async start(command: Command): Promise<QmpChild> {
    const qmp = new QmpChild(command);
    await qmp.execute('qmp_capabilities');
    return qmp;
  }

  async execute(command: string, args: object = {}): Promise<unknown> {
    const reply = new Promise<Message>((resolve) => this.replies.push(resolve));
    this.child.stdin.write(`${JSON.stringify({ execute: command, arguments: args })}\n`);
    const message = await reply;
    if (message.error) throw new Error(`${command}: ${message.error.desc}`);
    return message.return;
  }

  /** Settles when `count` jobs have completed. Throws when one failed. */
  jobsCompleted(count: number): Promise<void> {
    return new Promise((resolve, reject) => {
      let left = count;
      const watch = ({ event, data }: Message): void => {
        if (event !== 'BLOCK_JOB_COMPLETED' && event !== 'BLOCK_JOB_CANCELLED') return;
        if (data?.['error'] !== undefined || event === 'BLOCK_JOB_CANCELLED') {
          reject(new Error(`job ${String(data?.['device'])}: ${String(data?.['error'] ?? 'cancelled')}`));
        }
        if (--left > 0) return;
        this.watchers.delete(watch);
        resolve();
      };
      this.watchers.add(watch);
    });
  }

  async quit(): Promise<void> {
    const gone = new Promise((resolve) => this.child.on('exit', resolve));
    await this.execute('quit');
    await gone;
  }
}
