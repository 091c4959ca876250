/**
 * What the subcommands of `img` share in reading their command line: common options, and the words for mistakes.
 */
import { type CacheMode, parseCacheMode } from '../shared/cache-mode.ts';
import { ExitStatus } from '../shared/exit-status.ts';
import { OptionReader, type OptionSpec, type ParsedOption, UsageError } from '../shared/getopt.ts';
import { parseInteger, parseSize } from '../shared/numbers.ts';
import type { Tool } from '../shared/tool.ts';

const help: OptionSpec = { short: 'h', long: 'help' };

/** `--help` behind a subcommand shows the help of all. */
export class HelpWanted extends Error {}

/** Options that several subcommands have. */
export const common = {
  object: { long: 'object', argument: true },
  imageOpts: { long: 'image-opts' },
  format: { short: 'f', long: 'format', argument: true },
  output: { long: 'output', argument: true },
  forceShare: { short: 'U', long: 'force-share' },
  quiet: { short: 'q', long: 'quiet' },
  progress: { short: 'p', long: 'progress' },
} as const satisfies Record<string, OptionSpec>;

/**
 * Walks through the options in order and returns the operands. Refuses what fits no option. Errors: HelpWanted.
 */
export async function readCommandLine(
  tool: Tool,
  argv: readonly string[],
  specs: readonly OptionSpec[],
  take: (option: ParsedOption) => void,
): Promise<string[]> {
  const reader = new OptionReader(argv, [help, ...specs]);
  try {
    for (const option of reader.options()) {
      if (option.name === 'help') throw new HelpWanted();
      if (option.name === 'object') await tool.addObject(option.value);
      else take(option);
    }
  } catch (error) {
    if (!(error instanceof UsageError)) throw error;
    const { problem, word } = error;
    if (problem === 'missing-argument') tool.failUsage(`missing argument for option '${word}'`);
    tool.failUsage(`unrecognized option '${word}'`);
  }
  return reader.operands;
}

export type OutputFormat = 'human' | 'json';

export function parseOutputFormat(tool: Tool, value: string): OutputFormat {
  if (value === 'human' || value === 'json') return value;
  return tool.fail('--output must be used with human or json as argument.');
}

/** A size from 0 to `max`; `what` names it in messages. */
export function parseSizeOption(
  tool: Tool,
  what: string,
  text: string,
  max = Number.POSITIVE_INFINITY,
): number {
  const parsed = parseSize(text);
  if (parsed.ok && parsed.value <= max) return parsed.value;
  if (!parsed.ok && parsed.problem === 'invalid') {
    tool.report(`Invalid ${what} specified. You may use k, M, G, T, P or E suffixes for`);
    tool.report('kilobytes, megabytes, gigabytes, terabytes, petabytes and exabytes.');
    throw new ExitStatus(1);
  }
  const limit = Number.isFinite(max) ? String(max) : '9223372036854775807';
  return tool.fail(`Invalid ${what} specified. Must be between 0 and ${limit}.`);
}

const maxInt = 2_147_483_647;

export function parseIntegerOption(tool: Tool, message: string, text: string, max = maxInt): number {
  return parseInteger(text, max) ?? tool.fail(message);
}

export function parseCacheOption(tool: Tool, text: string, message: string, status = 1): CacheMode {
  return parseCacheMode(text) ?? tool.fail(message, { status });
}

/** `--image-opts` describes the format too. */
export function checkImageOpts(tool: Tool, imageOpts: boolean, format: string | undefined, status = 1): void {
  if (imageOpts && format !== undefined) {
    tool.fail('--image-opts and --format are mutually exclusive', { status });
  }
}
