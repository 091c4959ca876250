/**
 * Several users of one character device that take turns, as `mux=on` has it, and `mon:` in front of a device: human monitors, ports
 * of the machine, QMP. What is typed goes to the one whose turn it is; what any has to say is shown at any time. Ctrl-A and a letter
 * is for none of them:
 *
 *    h  help       c  the next one's turn   b  a break on the port   t  the time in front of each line, or not
 *    x  the end    s  commits all disks     Ctrl-A  is Ctrl-A
 *
 * The last port has the first turn, else the first QMP monitor, else the last human one. A human monitor begins when it has its first turn, all others at once. When a client of a socket
 * follows another, all begin again, and who had the turn keeps it. Not here: another key than Ctrl-A (QEMU's -echr).
 */
import type { Connection, ConnectionHandlers } from '../../platform/connection.ts';
import type { ChardevUser, TurnTaker } from './user.ts';

/** What the letters do to the program. */
export interface MuxServices {
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
  private ends: readonly MuxEnd[] = [];
  private turn: number;
  private isEscaped = false;
  private hasTimes = false;
  /** When the first line was shown with a time. */
  private startNs: number | undefined;
  private isAtLineStart = false;

  /** There is at least one user. */
  constructor(
    private readonly users: readonly ChardevUser[],
    private readonly services: MuxServices,
  ) {
    this.turn = firstTurn(users);
  }

  /** A client is there; the one before is gone. */
  attach(terminal: Connection): void {
    const ends = this.users.map((user) => new MuxEnd(this, user, terminal));
    this.ends = ends;
    this.isEscaped = false;
    const tell = (what: (handlers: ConnectionHandlers) => void): void => {
      for (const { handlers } of ends) if (handlers) what(handlers);
    };
    terminal.start({
      data: (bytes) => this.take(bytes),
      drained: () => tell((handlers) => handlers.drained()),
      ended: () => tell((handlers) => handlers.ended()),
      closed: () => tell((handlers) => handlers.closed()),
    });
    for (const end of ends) if (end.user.kind !== 'monitor' || end === this.current) end.connect();
  }

  /** What is to be shown of `bytes`. */
  decorated(bytes: Uint8Array): Uint8Array {
    return this.hasTimes ? this.withTimes(bytes) : bytes;
  }

  hasTurn(end: MuxEnd): boolean {
    return end === this.current;
  }

  private get current(): MuxEnd {
    return this.ends[this.turn]!; // there is one for each user
  }

  private take(bytes: Uint8Array): void {
    let passed: number[] = [];
    const pass = (): void => {
      if (passed.length > 0) this.current.handlers?.data(Uint8Array.from(passed));
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
        this.show('QEMU: Terminated\n\r');
        services.end();
        break;
      case 's':
        services.commitAll();
        break;
      case 'b': {
        const remark = this.current.user.sendBreak?.();
        if (remark !== undefined) this.say(remark);
        break;
      }
      case 'c':
        this.switchTurn();
        break;
      case 't':
        this.hasTimes = !this.hasTimes;
        this.startNs = undefined;
    }
  }

  private switchTurn(): void {
    const { current: last } = this;
    this.turn = (this.turn + 1) % this.ends.length;
    last.leaveTurn();
    this.current.takeTurn();
  }

  private say(...lines: readonly string[]): void {
    this.show(`\n\r${lines.map((line) => `${line}\n\r`).join('')}`);
  }

  private show(text: string): void {
    this.current.write(Buffer.from(text));
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
    const nowNs = this.services.nowNs();
    this.startNs ??= nowNs;
    return `[${new Date((nowNs - this.startNs) / 1e6).toISOString().slice(11, 23)}] `;
  }
}

function firstTurn(users: readonly ChardevUser[]): number {
  const port = users.findLastIndex(({ kind }) => kind === 'port');
  if (port >= 0) return port;
  const control = users.findIndex(({ kind }) => kind === 'control');
  return control >= 0 ? control : users.length - 1;
}

/** The terminal as one of the users sees it. */
class MuxEnd implements Connection {
  handlers: ConnectionHandlers | undefined;
  private turnTaker: TurnTaker | undefined;
  private isConnected = false;
  private isPaused = false;

  constructor(
    private readonly mux: Mux,
    readonly user: ChardevUser,
    private readonly terminal: Connection,
  ) {}

  connect(): void {
    this.isConnected = true;
    this.turnTaker = this.user.connect(this) ?? undefined;
  }

  takeTurn(): void {
    if (!this.isConnected) this.connect();
    else this.turnTaker?.takeTurn();
    this.updateFlow();
  }

  leaveTurn(): void {
    this.turnTaker?.leaveTurn();
  }

  start(handlers: ConnectionHandlers): void {
    this.handlers = handlers;
  }

  write(bytes: Uint8Array): void {
    this.terminal.write(this.mux.decorated(bytes));
  }

  get unsentBytes(): number {
    return this.terminal.unsentBytes;
  }

  pause(): void {
    this.isPaused = true;
    this.updateFlow();
  }

  resume(): void {
    this.isPaused = false;
    this.updateFlow();
  }

  close(): void {
    this.terminal.close();
  }

  /** The terminal waits while the one wants it to whose turn it is. */
  private updateFlow(): void {
    if (!this.mux.hasTurn(this)) return;
    if (this.isPaused) this.terminal.pause();
    else this.terminal.resume();
  }
}
