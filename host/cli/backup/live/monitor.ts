/**
 * The monitor of a daemon whose disks are backed up: a QMP client that says when it is lost, and comes back to clear up.
 *
 * A monitor on a socket serves one client at a time and lets others wait without a word, so one that is not greeted in time gives up.
 */
import { BlockError } from '../../../base/errors.ts';
import type { Connection } from '../../../platform/connection.ts';
import type { Sockets } from '../../../platform/sockets.ts';
import type { JsonValue } from '../../../qapi/json-value.ts';
import { QmpClient, QmpError } from '../../../qmp/client.ts';

const greetingMs = 10_000;
const pollMs = 20;
const goneMs = 30_000;

export class LiveMonitor {
  private isLost = false;

  private constructor(
    private readonly sockets: Sockets,
    /** Of the socket. */
    readonly path: string,
    private client: QmpClient,
    private readonly jobEnded: (job: string, error: string) => void,
    private readonly lost: () => void,
  ) {}

  /**
   * `jobEnded`: a backup job is over, whatever for. `lost`: the connection is. Errors: nobody listens there, or nobody answers.
   */
  static async connect(
    sockets: Sockets,
    path: string,
    hears: { jobEnded(job: string, error: string): void; lost(): void },
  ): Promise<LiveMonitor> {
    const isLost = { told: (): void => {} };
    const client = await greeted(sockets, path, () => isLost.told());
    const monitor = new LiveMonitor(sockets, path, client, hears.jobEnded, hears.lost);
    isLost.told = () => monitor.noteLost();
    monitor.listen();
    return monitor;
  }

  /** Errors: the daemon's, or that the connection is lost, after the command's name. */
  async run(command: string, args?: object): Promise<JsonValue> {
    try {
      return await this.client.run(command, args);
    } catch (error) {
      if (!(error instanceof QmpError)) throw error;
      throw new BlockError('EIO', `${this.path}: ${command}: ${error.message}`, {
        cause: error,
      });
    }
  }

  /** Undefined: the daemon does not know the command. */
  async runIfKnown(command: string, args?: object): Promise<JsonValue | undefined> {
    try {
      return await this.run(command, args);
    } catch (error) {
      if (!(error instanceof BlockError) || !(error.cause instanceof QmpError)) throw error;
      if (error.cause.errorClass !== 'CommandNotFound') throw error;
      return undefined;
    }
  }

  /** Asks until `isGone`. Errors: it is not within half a minute. */
  async until(what: string, isGone: () => Promise<boolean>): Promise<void> {
    for (let left = goneMs; !(await isGone()); left -= pollMs) {
      if (left <= 0) throw new BlockError('ETIMEDOUT', `${this.path}: ${what} does not end`);
      await new Promise((resolve) => setTimeout(resolve, pollMs));
    }
  }

  /** Connects again if the connection is lost. False: nobody listens there any more. Errors: as `connect`. */
  async comeBack(): Promise<boolean> {
    if (!this.isLost) return true;
    try {
      this.client = await greeted(this.sockets, this.path, () => {});
    } catch (error) {
      if (isNobodyThere(error)) return false;
      throw error;
    }
    this.isLost = false;
    return true;
  }

  close(): void {
    this.isLost = true;
    this.client.close();
  }

  private listen(): void {
    for (const event of ['BLOCK_JOB_COMPLETED', 'BLOCK_JOB_CANCELLED'])
      this.client.on(event, ({ data }) =>
        this.jobEnded(String(data['device']), String(data['error'] ?? 'it was cancelled')),
      );
  }

  private noteLost(): void {
    if (this.isLost) return;
    this.isLost = true;
    this.lost();
  }
}

/** Of what `connect` rejects with. */
function isNobodyThere(error: unknown): boolean {
  if (!(error instanceof Error)) return false;
  const { code } = error as NodeJS.ErrnoException;
  return code === 'ECONNREFUSED' || code === 'ENOENT' || isNobodyThere(error.cause);
}

async function greeted(sockets: Sockets, path: string, lost: () => void): Promise<QmpClient> {
  const connection = telling(await sockets.connect({ type: 'unix', path }), lost);
  let timer: NodeJS.Timeout | undefined;
  const tooLate = new Promise<never>((_, reject) => {
    timer = setTimeout(() => {
      reject(new BlockError('ETIMEDOUT', `'${path}': no greeting: another client may be connected`));
      connection.close();
    }, greetingMs);
  });
  try {
    return await Promise.race([QmpClient.connect(connection), tooLate]);
  } catch (error) {
    if (!(error instanceof QmpError)) throw error;
    throw new BlockError('EIO', `'${path}' is no QMP monitor: ${error.message}`);
  } finally {
    clearTimeout(timer);
  }
}

/** The same connection; `lost` is called when it is over. */
function telling(connection: Connection, lost: () => void): Connection {
  return {
    start: (handlers) =>
      connection.start({
        ...handlers,
        ended: () => {
          handlers.ended();
          lost();
        },
        closed: () => {
          handlers.closed();
          lost();
        },
      }),
    write: (bytes, sent) => connection.write(bytes, sent),
    get unsentBytes() {
      return connection.unsentBytes;
    },
    pause: () => connection.pause(),
    resume: () => connection.resume(),
    close: () => connection.close(),
  };
}
