/**
 * A child that serves QMP on its standard streams, just enough of it to time jobs.
 */
import { type ChildProcessWithoutNullStreams, spawn } from 'node:child_process';
import { StreamConnection } from '../host/platform/node/stream-connection.ts';
import { QmpClient } from '../host/qmp/client.ts';
import { type Command, cpuSecondsOf, peakMiBOf } from './side.ts';

export class QmpChild {
  private constructor(
    private readonly child: ChildProcessWithoutNullStreams,
    private readonly client: QmpClient,
  ) {}

  static async start({ program, args }: Command): Promise<QmpChild> {
    const child = spawn(program, args);
    child.stderr.pipe(process.stderr);
    const connection = new StreamConnection(child.stdout, child.stdin, () => child.stdin.end());
    return new QmpChild(child, await QmpClient.connect(connection));
  }

  /** Errors: QmpError. */
  run(command: string, args: object): Promise<unknown> {
    return this.client.run(command, args);
  }

  /** Settles when `count` jobs have completed. Throws when one failed. */
  jobsCompleted(count: number): Promise<void> {
    return new Promise((resolve, reject) => {
      let left = count;
      const ignoreCompleted = this.client.on('BLOCK_JOB_COMPLETED', ({ data }) => {
        if (data['error'] !== undefined) reject(jobError(data['device'], data['error']));
        if (--left > 0) return;
        ignoreCompleted();
        resolve();
      });
      this.client.on('BLOCK_JOB_CANCELLED', ({ data }) => reject(jobError(data['device'], 'cancelled')));
    });
  }

  /** Settles at the next one of that name. */
  event(name: string): Promise<void> {
    return new Promise((resolve) => {
      const ignore = this.client.on(name, () => {
        ignore();
        resolve();
      });
    });
  }

  /** Processor time so far. */
  cpuSeconds(): number {
    return cpuSecondsOf(this.child.pid!); // it runs
  }

  /** Most memory that was resident so far. */
  peakMiB(): number {
    return peakMiBOf(this.child.pid!); // it runs
  }

  async quit(): Promise<void> {
    const gone = new Promise((resolve) => this.child.on('exit', resolve));
    await this.client.run('quit');
    await gone;
  }
}

function jobError(device: unknown, reason: unknown): Error {
  return new Error(`job ${String(device)}: ${String(reason)}`);
}
