/** `img check`: the consistency check of a format, and repair (specification: cli, sections 2 and 3). */
import { asBlockError } from '../../base/errors.ts';
import type { BlockBackend } from '../../block/backend.ts';
import type { CheckOptions, CheckResult } from '../../block/driver.ts';
import { formatPrettyJson } from '../../qapi/json-output.ts';
import { openImage } from '../shared/open-image.ts';
import type { Tool } from '../shared/tool.ts';
import {
  checkImageOpts,
  common,
  type OutputFormat,
  parseCacheOption,
  parseOutputFormat,
  readCommandLine,
} from './options.ts';

/** Its options, beside `--help`. */
export const specs = [
  common.quiet,
  common.format,
  { short: 'T', long: 'cache', argument: true },
  { short: 'r', long: 'repair', argument: true },
  common.output,
  common.object,
  common.imageOpts,
  common.forceShare,
];

const status = { clean: 0, failed: 1, corruptions: 2, leaks: 3, unsupported: 63 } as const;

export async function run(tool: Tool, argv: string[]): Promise<number> {
  let format: string | undefined;
  let output: OutputFormat = 'human';
  let imageOpts = false;
  let forceShare = false;
  let quiet = false;
  let cacheName = 'writeback';
  let repair: CheckOptions['fix'] = { leaks: false, errors: false };
  const operands = await readCommandLine(tool, argv, specs, ({ name, value }) => {
    if (name === 'format') format = value;
    else if (name === 'output') output = parseOutputFormat(tool, value);
    else if (name === 'image-opts') imageOpts = true;
    else if (name === 'force-share') forceShare = true;
    else if (name === 'quiet') quiet = true;
    else if (name === 'cache') cacheName = value;
    else repair = parseRepair(tool, value);
  });
  if (operands.length !== 1) tool.failUsage('Expecting one image file name');
  checkImageOpts(tool, imageOpts, format);
  const cache = parseCacheOption(tool, cacheName, `Invalid source cache option: ${cacheName}`);
  const name = operands[0]!; // checked above
  const graph = await tool.createGraph();
  const repairing = repair.leaks || repair.errors;
  const image = await openImage(
    tool,
    graph,
    { name, imageOpts, format },
    { flags: { check: true }, cache, forceShare, write: repairing },
  );
  try {
    let outcome = await check(tool, image, repair);
    const { leaksFixed, corruptionsFixed } = outcome;
    if (leaksFixed > 0 || corruptionsFixed > 0) {
      if (output === 'human' && !quiet) tool.out(repairedText(outcome));
      outcome = await check(tool, image, { leaks: false, errors: false });
      outcome = { ...outcome, leaksFixed, corruptionsFixed };
    }
    if (!quiet) {
      if (output === 'human') tool.out(humanText(outcome));
      else tool.out(jsonText(outcome, name, image.node.definition.name));
    }
    if (outcome.corruptions > 0) return status.corruptions;
    if (outcome.leaks > 0) return status.leaks;
    return outcome.checkErrors > 0 ? status.failed : status.clean;
  } finally {
    await tool.close([image]);
  }
}

function parseRepair(tool: Tool, value: string): CheckOptions['fix'] {
  if (value === 'leaks') return { leaks: true, errors: false };
  if (value === 'all') return { leaks: true, errors: true };
  return tool.failUsage(`--repair (-r) expects 'leaks' or 'all' not '${value}'`);
}

async function check(tool: Tool, image: BlockBackend, fix: CheckOptions['fix']): Promise<CheckResult> {
  const { definition, driver } = image.node;
  const refuse = (): never =>
    tool.fail('This image format does not support checks', { status: status.unsupported });
  if (!definition.check) return refuse();
  try {
    return await definition.check(driver, {
      fix,
      report: (line, ends) => (ends ? tool.report(line) : tool.error(`${line}\n`)),
    });
  } catch (error) {
    const failure = asBlockError(error);
    // It can be checked, but not repaired.
    if (failure.errno === 'ENOTSUP') return refuse();
    return tool.fail(`Check failed: ${failure.message}`, { status: status.failed });
  }
}

function repairedText({ leaksFixed, corruptionsFixed }: CheckResult): string {
  return [
    'The following inconsistencies were found and repaired:',
    '',
    `    ${leaksFixed} leaked clusters`,
    `    ${corruptionsFixed} corruptions`,
    '',
    'Double checking the fixed image now...',
    '',
  ].join('\n');
}

function humanText(result: CheckResult): string {
  const { corruptions, leaks, checkErrors, allocatedClusters: allocated, totalClusters: total } = result;
  const lines: string[] = [];
  if (corruptions > 0) {
    lines.push('', `${corruptions} errors were found on the image.`);
    lines.push('Data may be corrupted, or further writes to the image may corrupt it.');
  }
  if (leaks > 0) {
    lines.push('', `${leaks} leaked clusters were found on the image.`);
    lines.push('This means waste of disk space, but no harm to data.');
  }
  if (checkErrors > 0) lines.push('', `${checkErrors} internal errors have occurred during the check.`);
  if (lines.length === 0) lines.push('No errors were found on the image.');
  if (total > 0 && allocated > 0) {
    const share = (count: number, of: number): string => `${((count * 100) / of).toFixed(2)}%`;
    lines.push(
      `${allocated}/${total} = ${share(allocated, total)} allocated, ` +
        `${share(result.fragmentedClusters, allocated)} fragmented, ` +
        `${share(result.compressedClusters, allocated)} compressed clusters`,
    );
  }
  if (result.imageEndOffset > 0) lines.push(`Image end offset: ${result.imageEndOffset}`);
  return `${lines.join('\n')}\n`;
}

function jsonText(result: CheckResult, filename: string, format: string): string {
  const some = (key: string, count: number): object => (count > 0 ? { [key]: count } : {});
  const report = {
    filename,
    format,
    'check-errors': result.checkErrors,
    ...some('image-end-offset', result.imageEndOffset),
    ...some('corruptions', result.corruptions),
    ...some('leaks', result.leaks),
    ...some('corruptions-fixed', result.corruptionsFixed),
    ...some('leaks-fixed', result.leaksFixed),
    ...some('total-clusters', result.totalClusters),
    ...some('allocated-clusters', result.allocatedClusters),
    ...some('fragmented-clusters', result.fragmentedClusters),
    ...some('compressed-clusters', result.compressedClusters),
  };
  return `${formatPrettyJson(report)}\n`;
}
