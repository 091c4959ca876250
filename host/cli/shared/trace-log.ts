/**
 * `--trace [[enable=]PATTERN][,events=FILE][,file=FILE]` of every tool, and the log that it makes: one line for each event,
 * on standard error or in a file, as QEMU writes it (specification: cli, section 7).
 *
 * PATTERN is a name or has `*` and `?`; a dash in front of it turns events off. A file of events has one on each line; `#`
 * starts a comment. The options may be repeated: all of them count, in their order, and the last `file`. A program that
 * serves a monitor has the log also without the option: clients can turn events on.
 */
import * as fs from 'node:fs';
import { invalid } from '../../base/errors.ts';
import { fromSystemError } from '../../platform/node/errors.ts';
import { publishTrace } from '../../platform/node/trace-channels.ts';
import type { Clock } from '../../platform/platform.ts';
import { OptionValues, parseQemuOpts, type QemuOption } from '../../qapi/qemu-opts.ts';
import type { TraceRecord } from '../../trace/event.ts';
import { tracer } from '../../trace/events.ts';
import { ExitStatus } from './exit-status.ts';
import type { Tool } from './tool.ts';

const known: readonly QemuOption[] = ['enable', 'events', 'file'].map((name) => ({ name, type: 'string' }));

export class TraceLog {
  private path: string | undefined;
  private descriptor: number | undefined;
  private detach: () => void = () => {};

  constructor(
    private readonly tool: Tool,
    private readonly clock: Clock,
  ) {}

  /**
   * One option; `context`, the option as it was typed, is named with what is wrong in it. Errors: BlockError, ExitStatus
   * when it has been reported, or when help was asked for and printed.
   */
  take(text: string, context?: string): void {
    const warn = (message: string, hint?: string): void =>
      this.tool.report(`${context === undefined ? '' : `${context}: `}warning: ${message}`, hint);
    const { pairs } = parseQemuOpts(text, { impliedKey: 'enable', warn });
    const values = new OptionValues(pairs, known);
    const pattern = values.string('enable');
    if (pattern === 'help' || pattern === '?') this.printEvents();
    if (pattern !== undefined) select(pattern, warn);
    const events = values.string('events');
    if (events !== undefined) this.takeEvents(events);
    this.path = values.string('file') ?? this.path;
  }

  /** From now on events are written, to the file that was named last. Errors: BlockError. */
  begin(): void {
    const before = this.detach;
    const { path, descriptor } = this;
    if (path !== undefined) {
      this.descriptor = openLog(path);
      this.path = undefined;
    }
    this.detach = tracer.attach((record) => this.write(record), this.clock);
    before();
    if (descriptor !== undefined && descriptor !== this.descriptor) fs.closeSync(descriptor);
  }

  /** Harmless when it has not begun. */
  end(): void {
    this.detach();
    if (this.descriptor !== undefined) fs.closeSync(this.descriptor);
    this.descriptor = undefined;
  }

  private write(record: TraceRecord): void {
    const line = this.tool.hasTimestamps ? `${stampOf(record)}${record.line}` : record.line;
    if (this.descriptor === undefined) this.tool.error(`${line}\n`);
    else writeLine(this.descriptor, line);
    publishTrace(record);
  }

  private printEvents(): never {
    for (const { name } of tracer.find('*')) this.tool.out(`${name}\n`);
    throw new ExitStatus(0);
  }

  private takeEvents(path: string): void {
    let lines: string[];
    try {
      lines = fs.readFileSync(path, 'utf8').split(/\n/);
    } catch (error) {
      this.tool.error(`${this.tool.name}:${path}: ${fromSystemError(error).message}\n`);
      throw new ExitStatus(1);
    }
    lines.forEach((line, index) => {
      if (line === '' || line.startsWith('#')) return;
      select(line, (message) =>
        this.tool.error(`${this.tool.name}:${path}:${index + 1}: warning: ${message}\n`),
      );
    });
  }
}

function select(text: string, warn: (message: string) => void): void {
  const isOff = text.startsWith('-');
  const pattern = isOff ? text.slice(1) : text;
  if (!tracer.select(pattern, !isOff)) warn(`trace event '${pattern}' does not exist`);
}

/** `12132@1795970985.506199:` */
function stampOf({ time: { seconds, microseconds } }: TraceRecord): string {
  return `${process.pid}@${seconds}.${String(microseconds).padStart(6, '0')}:`;
}

function writeLine(descriptor: number, line: string): void {
  try {
    fs.writeSync(descriptor, `${line}\n`);
  } catch {
    // A full disk costs lines of the log, not what they are about.
  }
}

/** `%d` in the name stands for the process. */
function openLog(template: string): number {
  if (/%(?!d)|%.*%/.test(template)) throw invalid(`Bad logfile template: ${template}`);
  const path = template.replace('%d', `${process.pid}`);
  try {
    return fs.openSync(path, 'w');
  } catch (error) {
    throw fromSystemError(error).within(`Error opening logfile ${path}`);
  }
}
