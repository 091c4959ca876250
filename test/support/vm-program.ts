/**
 * `blockyard vm` as a process of its own: QMP on its standard streams, and the guest's shell on its serial port. Nothing is
 * waited for longer than a bound; what came until then is in the error.
 */
import { type ChildProcessByStdio, spawn } from 'node:child_process';
import { once } from 'node:events';
import type * as net from 'node:net';
import type { Readable, Writable } from 'node:stream';
import { connectWhenListening } from './connect-when-listening.ts';

type Message = Record<string, unknown> & { event?: string; data?: Record<string, unknown> };

/** Text that comes, and who waits for some of it. */
class Inbox {
  text = '';
  isOver = false;
  private wakers: (() => void)[] = [];

  constructor(private readonly name: string) {}

  add(text: string): void {
    this.text += text;
    this.wake();
  }

  end(): void {
    this.isOver = true;
    this.wake();
  }

  /** Takes everything up to and with the first match. */
  async take(pattern: RegExp, boundMs: number): Promise<RegExpExecArray> {
    const bound = AbortSignal.timeout(boundMs);
    bound.addEventListener('abort', () => this.wake());
    for (;;) {
      const match = pattern.exec(this.text);
      if (match) {
        this.text = this.text.slice(match.index + match[0].length);
        return match;
      }
      if (this.isOver || bound.aborted) {
        const why = this.isOver ? 'it is over' : `not within ${boundMs} ms`;
        throw new Error(
          `${this.name}: no ${pattern}, ${why}; last came ${JSON.stringify(this.text.slice(-2000))}`,
        );
      }
      await new Promise<void>((resolve) => this.wakers.push(resolve));
    }
  }

  private wake(): void {
    for (const wake of this.wakers.splice(0)) wake();
  }
}

export class VmProgram {
  private readonly answers = new Inbox('QMP');
  private readonly output = new Inbox('serial port');
  private readonly events: Message[] = [];
  private errors = '';
  private marks = 0;

  private constructor(
    private readonly child: ChildProcessByStdio<Writable, Readable, Readable>,
    private readonly serial: net.Socket,
  ) {
    serial.setEncoding('latin1');
    serial.on('data', (text: string) => this.output.add(text));
    serial.on('close', () => this.output.end());
  }

  /** `serialPath`: where a socket may be made. Settles when the machine is complete. */
  static async start(
    command: readonly [string, ...string[]],
    serialPath: string,
    args: readonly string[],
  ): Promise<VmProgram> {
    const [program, ...first] = command;
    const port = `unix:${serialPath},server=on,wait=off`;
    const child = spawn(program, [...first, ...args, '-serial', port, '-qmp', 'stdio'], { stdio: 'pipe' });
    let errors = '';
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      errors += text;
    });
    const serial = await connectWhenListening(serialPath, () => {
      if (child.exitCode !== null) throw new Error(`blockyard vm did not start: ${errors}`);
    });
    const vm = new VmProgram(child, serial);
    child.stderr.on('data', (text: string) => {
      vm.errors += text;
    });
    child.stdout.setEncoding('utf8').on('data', (text: string) => vm.answers.add(text));
    child.on('exit', () => vm.answers.end());
    await vm.nextMessage(60_000);
    await vm.qmp('qmp_capabilities');
    return vm;
  }

  /** Errors: what the command answers. */
  async qmp(execute: string, args: object = {}, boundMs = 60_000): Promise<unknown> {
    this.child.stdin.write(`${JSON.stringify({ execute, arguments: args })}\n`);
    for (;;) {
      const message = await this.nextMessage(boundMs);
      if ('event' in message) this.events.push(message);
      else if ('return' in message) return message['return'];
      else throw new Error(`${execute}: ${JSON.stringify(message)}`);
    }
  }

  /** A line of the human monitor. */
  async monitor(line: string): Promise<string> {
    return (await this.qmp('human-monitor-command', { 'command-line': line })) as string;
  }

  /** The first event of that name and those data that nobody has taken yet. */
  async event(name: string, data: Record<string, unknown> = {}, boundMs = 60_000): Promise<Message> {
    const isWanted = (message: Message): boolean =>
      message.event === name && Object.entries(data).every(([key, value]) => message.data?.[key] === value);
    for (;;) {
      const index = this.events.findIndex(isWanted);
      if (index >= 0) return this.events.splice(index, 1)[0]!;
      this.events.push(await this.nextMessage(boundMs));
    }
  }

  /** Takes what the guest prints up to and with a match. */
  async untilSerial(pattern: RegExp, boundMs = 60_000): Promise<RegExpExecArray> {
    return this.output.take(pattern, boundMs);
  }

  /** Types a line on the serial port, and takes what the guest prints after it up to and with a match. */
  async serialLine(line: string, pattern: RegExp, boundMs = 60_000): Promise<RegExpExecArray> {
    this.serial.write(`${line}\r`);
    await this.output.take(new RegExp(`${line}\r\n`), boundMs);
    return this.output.take(pattern, boundMs);
  }

  /** Linux from test/guest has its shell. */
  async untilReady(): Promise<void> {
    await this.output.take(/guest ready/, 170_000);
    await this.shell('true');
  }

  /** What a line of the guest's shell prints. Errors: it fails. */
  async shell(line: string, boundMs = 60_000): Promise<string> {
    const mark = `end-${++this.marks}`;
    // The quotes keep the mark out of a terminal's echo.
    this.serial.write(`${line}\necho "=""${mark}" $?=\n`);
    const match = await this.output.take(new RegExp(`([^]*?)=${mark} (\\d+)=`), boundMs);
    const text = match[1]!.replaceAll('\r', '').trim();
    if (match[2] !== '0') throw new Error(`guest: ${line} gave ${match[2]}: ${text}`);
    return text;
  }

  /** Ends it by `quit`; gives its exit status and what it said about errors. */
  async quit(): Promise<{ status: number | null; errors: string }> {
    return this.ended(() => this.qmp('quit').catch(() => {}));
  }

  /** The same by a signal. */
  async terminate(): Promise<{ status: number | null; errors: string }> {
    return this.ended(async () => this.child.kill('SIGTERM'));
  }

  /** The same by itself. */
  async whenEnded(): Promise<{ status: number | null; errors: string }> {
    const { exitCode: status } = this.child;
    return status === null ? this.ended(async () => {}) : { status, errors: this.errors };
  }

  private async ended(end: () => Promise<unknown>): Promise<{ status: number | null; errors: string }> {
    const exited = once(this.child, 'exit');
    await end();
    const [status] = (await exited) as [number | null];
    this.serial.destroy();
    return { status, errors: this.errors };
  }

  kill(): void {
    this.child.kill('SIGKILL');
    this.serial.destroy();
  }

  private async nextMessage(boundMs: number): Promise<Message> {
    const [line] = await this.answers.take(/^[^\n]*\n/, boundMs);
    return JSON.parse(line) as Message;
  }
}
