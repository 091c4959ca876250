/**
 * The storage daemon's options, and those of QEMU's that it does not serve (specification: cli, section 5).
 *
 * A first pass over the command line finds what concerns the process as a whole; the others take effect one by one, in
 * the order given.
 */
import { describeUsageError, OptionReader, type OptionSpec, UsageError } from '../shared/getopt.ts';
import type { Tool } from '../shared/tool.ts';

export const specs: readonly OptionSpec[] = [
  { long: 'blockdev', argument: true },
  { long: 'chardev', argument: true },
  { long: 'daemonize' },
  { long: 'export', argument: true },
  { short: 'h', long: 'help' },
  { long: 'monitor', argument: true },
  { long: 'nbd-server', argument: true },
  { long: 'object', argument: true },
  { long: 'pidfile', argument: true },
  { short: 'T', long: 'trace', argument: true },
  { short: 'V', long: 'version' },
];

/** An option that takes effect in its turn. */
export interface Step {
  name: 'blockdev' | 'chardev' | 'export' | 'monitor' | 'nbd-server' | 'object' | 'trace';
  value: string;
  /** How it was named. */
  spelling: string;
}

export interface CommandLine {
  /** Nothing else is to be done. */
  print: 'help' | 'version' | undefined;
  daemonize: boolean;
  pidfile: string | undefined;
  steps: readonly Step[];
  /** A word that is no option; there should be none. */
  operand: string | undefined;
}

/** Reports a mistake and ends. */
export function readCommandLine(tool: Tool, argv: readonly string[]): CommandLine {
  const line = { daemonize: false, pidfile: undefined as string | undefined };
  const steps: Step[] = [];
  const reader = new OptionReader(argv, specs);
  try {
    for (const { name, value, spelling } of reader.options()) {
      if (name === 'help' || name === 'version') {
        return { ...line, print: name, steps: [], operand: undefined };
      }
      if (name === 'daemonize') line.daemonize = true;
      else if (name === 'pidfile') line.pidfile = value;
      else steps.push({ name: name as Step['name'], value, spelling });
    }
  } catch (error) {
    if (!(error instanceof UsageError)) throw error;
    tool.fail(describeUsageError(error));
  }
  return { ...line, print: undefined, steps, operand: reader.operands[0] };
}
