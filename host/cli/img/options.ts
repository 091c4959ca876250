/**
 * What the subcommands of `img` share in reading their command line: common options, and the words for mistakes.
 */
import { type CacheMode, parseCacheMode } from '../shared/cache-mode.ts';
import {
  describeUsageError,
  OptionReader,
  type OptionSpec,
  type ParsedOption,
  type ReaderSettings,
  UsageError,
} from '../shared/getopt.ts';
import { type ParsedNumber, parseCount, parseSize } from '../shared/numbers.ts';
import type { Tool } from '../shared/tool.ts';

export const helpSpec: OptionSpec = { short: 'h', long: 'help' };

/** In front of the subcommand. */
export const standardOptions: readonly OptionSpec[] = [
  helpSpec,
  { short: 'V', long: 'version' },
  { short: 'T', long: 'trace', argument: true },
];

/** Behind a subcommand, too, which QEMU's tool does not have: that has it in front. */
export const traceSpec: OptionSpec = { long: 'trace', argument: true };

/** `--help` behind a subcommand shows the help of that. */
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
 * Walks through the options in order and returns the operands. Refuses what fits no option, and objects that cannot be
 * made, these with exit status `objectStatus`. Errors: HelpWanted.
 */
export async function readCommandLine(
  tool: Tool,
  argv: readonly string[],
  specs: readonly OptionSpec[],
  take: (option: ParsedOption) => void,
  settings: ReaderSettings & { objectStatus?: number } = {},
): Promise<string[]> {
  const own = isOurs(tool) ? [helpSpec, traceSpec] : [helpSpec];
  const reader = new OptionReader(argv, [...own, ...specs], settings);
  let isTraced = false;
  try {
    for (const option of reader.options()) {
      if (option.name === 'help') throw new HelpWanted();
      if (option.name === traceSpec.long) {
        isTraced = true;
        (await tool.trace()).take(option.value);
        continue;
      }
      if (option.name === 'object') await tool.addObject(option.value, settings.objectStatus);
      else take(option);
    }
  } catch (error) {
    if (!(error instanceof UsageError)) throw error;
    tool.failOption(describeUsageError(error));
  }
  if (isTraced) (await tool.trace()).begin();
  return reader.operands;
}

/** Under the name of QEMU's tool it has what that has, and no more. */
export function isOurs({ name }: Tool): boolean {
  return name.startsWith('blockyard ');
}

export type OutputFormat = 'human' | 'json';

export function parseOutputFormat(tool: Tool, value: string): OutputFormat {
  if (value === 'human' || value === 'json') return value;
  return tool.failUsage(`--output expects 'human' or 'json' not '${value}'`);
}

interface Range {
  min?: number;
  max?: number;
}

/** A size within the range, from 0 on unless that says more; `what` names it in messages. */
export function parseSizeOption(tool: Tool, what: string, text: string, range: Range = {}): number {
  return Number(parseExactSizeOption(tool, what, text, range));
}

/** The same with all digits, where they are shown. */
export function parseExactSizeOption(tool: Tool, what: string, text: string, range: Range = {}): bigint {
  return within(tool, what, text, parseSize(text), range);
}

/** As `parseSizeOption`, without suffixes. */
export function parseCountOption(tool: Tool, what: string, text: string, range: Range = {}): number {
  return Number(within(tool, what, text, parseCount(text), { max: maxInt, ...range }));
}

const maxInt = 2_147_483_647;

function within(tool: Tool, what: string, text: string, parsed: ParsedNumber, range: Range): bigint {
  const { min = 0, max } = range;
  if (parsed.ok && parsed.value >= min && parsed.value <= (max ?? parsed.value)) return parsed.value;
  if (!parsed.ok && parsed.problem === 'invalid') tool.fail(`Invalid ${what} specified: '${text}'.`);
  return tool.fail(`Invalid ${what} specified. Must be between ${min} and ${max ?? '9223372036854775807'}.`);
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
