/**
 * The qtest protocol: lines of words in, lines that start with OK or FAIL out (specification: cli, section 6).
 *
 * Time is what it is about here. There are no ports, no memory and no interrupts: commands for those get the answer of a
 * machine that has nothing at any address.
 */
import * as fs from 'node:fs';
import { Lines } from '../../base/lines.ts';
import type { Connection } from '../../platform/connection.ts';
import { fromSystemError } from '../../platform/node/errors.ts';
import type { QtestClock } from './qtest-clock.ts';

const encoder = new TextEncoder();

export class QtestServer {
  private readonly logFd: number | undefined;
  private readonly connections = new Set<Connection>();

  /** Errors: BlockError, when there is no such log file to be made. */
  constructor(
    private readonly clock: QtestClock,
    log: string | undefined,
  ) {
    try {
      this.logFd = log === undefined ? undefined : fs.openSync(log, 'w');
    } catch (error) {
      throw fromSystemError(error).within(`Could not open '${log}'`);
    }
  }

  connect(connection: Connection): void {
    const input = new Lines();
    let work: Promise<void> = Promise.resolve();
    this.connections.add(connection);
    connection.start({
      data: (bytes) => {
        for (const line of input.take(bytes)) work = work.then(() => this.take(line, connection));
      },
      drained: () => {},
      ended: () => {},
      closed: () => void this.connections.delete(connection),
    });
  }

  close(): void {
    for (const connection of this.connections) connection.close();
    if (this.logFd !== undefined) fs.closeSync(this.logFd);
  }

  private async take(line: string, connection: Connection): Promise<void> {
    this.log('R', line);
    const answer = await this.answer(line.trim().split(/\s+/));
    this.log('S', answer);
    connection.write(encoder.encode(`${answer}\n`));
  }

  private log(direction: 'R' | 'S', line: string): void {
    const { seconds, microseconds } = this.clock.wallClock();
    if (this.logFd === undefined) return;
    fs.writeSync(this.logFd, `[${direction} +${seconds}.${String(microseconds).padStart(6, '0')}] ${line}\n`);
  }

  private async answer([command = '', ...words]: readonly string[]): Promise<string> {
    const number = (index: number): number => Number(words[index]);
    switch (command) {
      case 'clock_step': {
        const step = words.length > 0 ? number(0) : this.clock.untilNextTimer();
        if (step === undefined || !(step >= 0)) return `FAIL Cannot step the clock by '${words[0] ?? ''}'`;
        await this.clock.advanceTo(this.clock.nowNs() + step);
        return `OK ${this.clock.nowNs()}`;
      }
      case 'clock_set':
        if (!(number(0) >= 0)) return `FAIL Cannot set the clock to '${words[0] ?? ''}'`;
        await this.clock.advanceTo(number(0));
        return `OK ${this.clock.nowNs()}`;
      case 'inb':
        return 'OK 0x00ff';
      case 'inw':
        return 'OK 0xffff';
      case 'inl':
        return 'OK 0xffffffff';
      case 'outb':
      case 'outw':
      case 'outl':
      case 'writeb':
      case 'writew':
      case 'writel':
      case 'writeq':
      case 'write':
      case 'b64write':
      case 'memset':
        return 'OK';
      case 'readb':
      case 'readw':
      case 'readl':
      case 'readq':
        return 'OK 0x0000000000000000';
      case 'read':
        return `OK 0x${'00'.repeat(number(1) || 1)}`;
      case 'b64read':
        return `OK ${Buffer.alloc(number(1) || 1).toString('base64')}`;
      case 'endianness':
        return 'OK little';
      case 'irq_intercept_in':
      case 'irq_intercept_out':
        return 'FAIL Unknown device';
      default:
        return `FAIL Unknown command '${command}'`;
    }
  }
}
