/**
 * What a command-line tool has in its hands: the name it goes by, where its output goes, and the platform.
 *
 * Everything a tool prints passes here, so that tests run it in process, and so that a line for the terminal from the
 * layers below (a warning, `Formatting …`) comes out in order with the tool's own.
 */
import { BlockError } from '../../base/errors.ts';
import type { BlockGraph } from '../../block/graph.ts';
import type { ObjectOptions } from '../../objects/types.ts';
import { clock } from '../../platform/node/clock.ts';
import { fromDenial } from '../../platform/node/errors.ts';
import type { Console, Files, Platform } from '../../platform/platform.ts';
import { ExitStatus } from './exit-status.ts';
import { describeInternalError, internalErrorStatus } from './internal-error.ts';
import { processTerminal, type Terminal } from './terminal.ts';
import type { TraceLog } from './trace-log.ts';

export type { Terminal };

/** Whose mistake something is: the option as it was given, or the file and line that it comes from. */
interface OptionOrigin {
  readonly context?: string | undefined;
  readonly place?: string | undefined;
}

export class Tool {
  /** Of `--object`: what every graph that is made from now on has. */
  private readonly objects: ObjectOptions[] = [];
  private traceLog: Promise<TraceLog> | undefined;
  /** The option that takes effect just now. */
  private option: OptionOrigin = {};
  /** The command has said why it gives up. */
  private hasFailed = false;
  /** The subcommand that runs: where hints say that there is help. */
  command: string | undefined;
  /** The time stands in front of what is reported, and of lines of the log. */
  hasTimestamps = false;

  constructor(
    /** The name in messages: that of the link we were started through, or `blockyard img`. */
    readonly name: string,
    private readonly terminal: Terminal = processTerminal,
  ) {}

  out(text: string): void {
    this.terminal.out(text);
  }

  error(text: string): void {
    this.terminal.error(text);
  }

  /** `NAME: MESSAGE`, and hint lines as they are. `place`: file and line of what it is about. */
  report(message: string, hint?: string, place?: string): void {
    const origin = place === undefined ? this.name : `${this.name}:${place}`;
    this.error(`${this.hasTimestamps ? `${timestamp()} ` : ''}${origin}: ${message}\n`);
    if (hint !== undefined) this.error(`${hint.replace(/\n$/, '')}\n`);
  }

  reportError({ message, hint }: BlockError): void {
    this.report(message, hint);
  }

  /** Says that there is a bug, and that it should be reported. */
  reportInternalError(error: unknown): void {
    this.error(describeInternalError(this.name, error));
  }

  /** What somebody has to say about the option `context`. */
  commentsOn(context: string): {
    warn(message: string, hint?: string): void;
    info(message: string): void;
    report(message: string): void;
  } {
    return {
      warn: (message, hint) => this.report(`${context}: warning: ${message}`, hint),
      info: (message) => this.report(`${context}: info: ${message}`),
      // What happens later is no fault of the option.
      report: (message) => this.report(message),
    };
  }

  warn(message: string, hint?: string): void {
    this.report(`warning: ${message}`, hint);
  }

  /** Reports and gives up. */
  fail(message: string, options: { hint?: string; status?: number } = {}): never {
    this.report(message, options.hint);
    this.hasFailed = true;
    throw new ExitStatus(options.status ?? 1);
  }

  /** A mistake on the command line. */
  failUsage(message: string, status = 1): never {
    return this.fail(message, { hint: `Try '${this.fullName} --help' for more info`, status });
  }

  /** An option that is none, or is wrong in itself: the subcommand stands in front, as getopt has it. */
  failOption(message: string): never {
    this.error(`${this.fullName}: ${message}\n`);
    this.error(`Try '${this.fullName} --help' for more info\n`);
    throw new ExitStatus(1);
  }

  private get fullName(): string {
    return this.command === undefined ? this.name : `${this.name} ${this.command}`;
  }

  /**
   * Runs `act`; an operating error in it is reported, `context: ` in front, or with the place in a file that it comes from, and
   * ends the command.
   */
  async attempt<T>(act: () => Promise<T>, options: OptionOrigin & { status?: number } = {}): Promise<T> {
    try {
      return await act();
    } catch (error) {
      if (!(error instanceof BlockError)) throw error;
      const { message, hint } = options.context === undefined ? error : error.within(options.context);
      this.report(message, hint, options.place);
      this.hasFailed = true;
      throw new ExitStatus(options.status ?? 1);
    }
  }

  /**
   * As `attempt`, for an option: what the layers below warn of while it takes effect names the option as well. One at a time.
   */
  async attemptOption<T>(act: () => Promise<T>, origin: OptionOrigin): Promise<T> {
    this.option = origin;
    try {
      return await this.attempt(act, origin);
    } finally {
      this.option = {};
    }
  }

  /**
   * Closes images: all of them, the last one first. Errors: the first one's, unless the command has failed anyway: most
   * likely it is for the same reason.
   */
  async close(images: readonly { close(): Promise<void> }[]): Promise<void> {
    const errors: unknown[] = [];
    for (const image of [...images].reverse()) {
      try {
        await image.close();
      } catch (error) {
        if (!this.hasFailed || !(error instanceof BlockError)) errors.push(error);
      }
    }
    if (errors.length > 0) throw errors[0];
  }

  /** The operating system, with our terminal. Loaded late: printing a usage error needs none of it. */
  async platform(): Promise<Platform> {
    const { nodePlatform } = await import('../../platform/node/index.ts');
    const console: Console = {
      stdout: (line) => this.out(`${line}\n`),
      stderr: (line) => this.error(`${line}\n`),
      error: (message) => this.report(message),
      warn: (message) => {
        const { context, place } = this.option;
        this.report(`${context === undefined ? '' : `${context}: `}warning: ${message}`, undefined, place);
      },
      fatal: nodePlatform.console.fatal,
    };
    return { ...nodePlatform, console };
  }

  /** `--object TEXT`. What is wrong with it is told before the next option is looked at; `status` is that of the program then. */
  async addObject(text: string, status = 1): Promise<void> {
    const { imageToolTypes, objectHelp, readImageToolObject } = await import('./object-option.ts');
    const help = await this.attempt(async () => objectHelp(text, imageToolTypes), { status });
    if (help !== undefined) {
      this.out(help);
      throw new ExitStatus(0);
    }
    this.objects.push(await this.attempt(async () => readImageToolObject(text), { status }));
    // Only to see whether it can be made.
    await this.createGraph({ status });
  }

  /**
   * The log of what is watched. Asked for by whoever has an option for it, or lets clients say what it is; the end of the
   * tool ends it.
   */
  trace(): Promise<TraceLog> {
    this.traceLog ??= this.openTraceLog();
    return this.traceLog;
  }

  private async openTraceLog(): Promise<TraceLog> {
    const { TraceLog } = await import('./trace-log.ts');
    return new TraceLog(this, clock);
  }

  /** What is to be done last. */
  async end(): Promise<void> {
    (await this.traceLog)?.end();
  }

  /** `mayBlock`: all that there is to do is to copy, as `FileOpenOptions` has it. */
  async createGraph(
    options: { quiet?: boolean; status?: number; mayBlock?: boolean } = {},
  ): Promise<BlockGraph> {
    const [platform, { createGraph }, { drivers }] = await Promise.all([
      this.platform(),
      import('../../graph.ts'),
      import('../../drivers.ts'),
    ]);
    const console = options.quiet ? { ...platform.console, stdout: () => {} } : platform.console;
    const files = options.mayBlock ? blocking(platform.files) : platform.files;
    const graph = createGraph({ platform: { ...platform, console, files }, drivers });
    if (this.objects.length > 0) {
      const { makeObjects } = await import('./object-option.ts');
      await this.attempt(() => makeObjects(graph, this.objects), {
        status: options.status ?? 1,
      });
    }
    return graph;
  }
}

/** `2026-11-29T17:44:31.433989Z` */
function timestamp(): string {
  const { seconds, microseconds } = clock.wallClock();
  return new Date(seconds * 1000).toISOString().replace('000Z', `${String(microseconds).padStart(6, '0')}Z`);
}

function blocking(files: Files): Files {
  return { ...files, open: (path, options) => files.open(path, { ...options, mayBlock: true }) };
}

/** Runs a tool's body to its exit status. Operating errors that nobody expected (closing an image, a file that Node
 * may not read) are reported, and bugs. */
export async function runTool(tool: Tool, body: () => Promise<number>): Promise<number> {
  process.on('SIGUSR1', ignore);
  try {
    return await body();
  } catch (error) {
    if (error instanceof ExitStatus) return error.status;
    const expected = error instanceof BlockError ? error : fromDenial(error);
    if (expected) {
      tool.reportError(expected);
      return 1;
    }
    tool.reportInternalError(error);
    return internalErrorStatus;
  } finally {
    process.off('SIGUSR1', ignore);
    await tool.end();
  }
}

/** SIGUSR1 asks for progress (progress.ts): where there is none nothing happens, and Node must not open its debugger. */
function ignore(): void {}
