/**
 * A port of the machine and a human monitor that take turns on one terminal, as `mon:` in front of a device and `-nographic` have it. What
 * is typed goes to the one whose turn it is; what either has to say is shown at any time. Ctrl-A and a letter is for neither:
 *
 *    h  help       c  the other's turn   b  a break on the port   t  the time in front of each line, or not
 *    x  the end    s  commits all disks  Ctrl-A  is Ctrl-A
 *
 * The monitor begins when it has its first turn. Not here: more than one port, and another key than Ctrl-A (QEMU's -echr).
 */
import type { Connection, ConnectionHandlers } from '../../platform/connection.ts';

/** Has its turn, and loses it. */
interface TurnTaker {
  takeTurn(): void;
  leaveTurn(): void;
}

export interface MuxServices {
  /** The port's side. */
  connectPort(connection: Connection): void;
  connectMonitor(connection: Connection): TurnTaker;
  /** Gives what there is to say about it, if anything. */
  sendBreak(): string | undefined;
  commitAll(): void;
  end(): void;
  /** Nanoseconds. */
  nowNs(): number;
}

const escapeKey = 0x01;
const lf = 0x0a;

const help = [
  'C-a h    print this help',
  'C-a x    exit emulator',
  'C-a s    save disk data back to file (if -snapshot)',
  'C-a t    toggle console timestamps',
  'C-a b    send break (magic sysrq)',
  'C-a c    switch between console and monitor',
  'C-a C-a  sends C-a',
];

export class Mux {
  private readonly ends = { port: new MuxEnd(this), monitor: new MuxEnd(this) };
  private turn: 'port' | 'monitor' = 'port';
  private monitor: TurnTaker | undefined;
  private isEscaped = false;
  private hasTimes = false;
  private startNs = 0;
  private isAtLineStart = true;

  constructor(
    readonly terminal: Connection,
    private readonly services: MuxServices,
  ) {}

  start(): void {
    const { port, monitor } = this.ends;
    this.terminal.start({
      data: (bytes) => this.take(bytes),
      drained: () => {
        for (const end of [port, monitor]) end.handlers?.drained();
      },
      ended: () => {
        for (const end of [port, monitor]) end.handlers?.ended();
      },
      closed: () => {
        for (const end of [port, monitor]) end.handlers?.closed();
      },
    });
    this.services.connectPort(port);
  }

  write(bytes: Uint8Array): void {
    this.terminal.write(this.hasTimes ? this.withTimes(bytes) : bytes);
  }

  /** The terminal waits while the one wants it to whose turn it is. */
  updateFlow(): void {
    if (this.ends[this.turn].isPaused) this.terminal.pause();
    else this.terminal.resume();
  }

  private take(bytes: Uint8Array): void {
    let passed: number[] = [];
    const pass = (): void => {
      if (passed.length > 0) this.ends[this.turn].handlers?.data(Uint8Array.from(passed));
      passed = [];
    };
    for (const byte of bytes) {
      if (this.isEscaped) {
        this.isEscaped = false;
        if (byte === escapeKey) passed.push(byte);
        else {
          pass();
          this.command(String.fromCharCode(byte));
        }
      } else if (byte === escapeKey) this.isEscaped = true;
      else passed.push(byte);
    }
    pass();
  }

  private command(letter: string): void {
    const { services } = this;
    switch (letter) {
      case 'h':
      case '?':
        this.say(...help);
        break;
      case 'x':
        this.terminal.write(Buffer.from('QEMU: Terminated\n\r'));
        services.end();
        break;
      case 's':
        services.commitAll();
        break;
      case 'b': {
        const remark = services.sendBreak();
        if (remark !== undefined) this.say(remark);
        break;
      }
      case 'c':
        this.switchTurn();
        break;
      case 't':
        this.hasTimes = !this.hasTimes;
        this.startNs = services.nowNs();
        this.isAtLineStart = true;
    }
  }

  private switchTurn(): void {
    if (this.turn === 'monitor') {
      this.turn = 'port';
      this.monitor?.leaveTurn();
    } else {
      this.turn = 'monitor';
      if (this.monitor) this.monitor.takeTurn();
      else this.monitor = this.services.connectMonitor(this.ends.monitor);
    }
    this.updateFlow();
  }

  private say(...lines: readonly string[]): void {
    this.terminal.write(Buffer.from(`\n\r${lines.map((line) => `${line}\n\r`).join('')}`));
  }

  /** The time since they were asked for. */
  private withTimes(bytes: Uint8Array): Uint8Array {
    const shown: number[] = [];
    for (const byte of bytes) {
      if (this.isAtLineStart) shown.push(...Buffer.from(this.time()));
      shown.push(byte);
      this.isAtLineStart = byte === lf;
    }
    return Uint8Array.from(shown);
  }

  private time(): string {
    const at = new Date((this.services.nowNs() - this.startNs) / 1e6);
    return `[${at.toISOString().slice(11, 23)}] `;
  }
}

/** The terminal as one of the two sees it. */
class MuxEnd implements Connection {
  handlers: ConnectionHandlers | undefined;
  isPaused = false;

  constructor(private readonly mux: Mux) {}

  start(handlers: ConnectionHandlers): void {
    this.handlers = handlers;
  }

  write(bytes: Uint8Array): void {
    this.mux.write(bytes);
  }

  get unsentBytes(): number {
    return this.mux.terminal.unsentBytes;
  }

  pause(): void {
    this.isPaused = true;
    this.mux.updateFlow();
  }

  resume(): void {
    this.isPaused = false;
    this.mux.updateFlow();
  }

  close(): void {
    this.mux.terminal.close();
  }
}
