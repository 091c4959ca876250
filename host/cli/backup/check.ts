/** `backup check`: whether a repository is whole. Exit status 1: it is not. */
import { checkRepository } from '../../store/check.ts';
import { readCommandLine } from '../img/options.ts';
import { Progress } from '../shared/progress.ts';
import type { Tool } from '../shared/tool.ts';
import { RepositoryOptions, repositorySpecs, withLock } from './options.ts';

/** Its options, beside `--help`. */
export const specs = [
  ...repositorySpecs,
  { long: 'read-data' },
  { long: 'read-data-subset', argument: true },
  { short: 'p', long: 'progress' },
];

const progressStep = 1;

export async function run(tool: Tool, argv: string[]): Promise<number> {
  const options = new RepositoryOptions();
  let readData = 0;
  let showProgress = false;
  const [extra] = await readCommandLine(tool, argv, specs, (option) => {
    if (options.take(option)) return;
    if (option.name === 'progress') showProgress = true;
    else readData = option.name === 'read-data' ? 1 : parseShare(tool, option.value);
  });
  if (extra !== undefined) tool.failUsage(`Unexpected argument: ${extra}`);
  const repository = await options.open(tool);
  const findings = await withLock(tool, repository, async () => {
    const progress = new Progress(tool, showProgress, progressStep).begin();
    try {
      return await tool.attempt(() =>
        checkRepository(repository, { readData, report: (done, of) => progress.set((done / of) * 100) }),
      );
    } finally {
      progress.finish();
    }
  });
  for (const error of findings.errors) tool.report(error);
  if (findings.orphans > 0)
    tool.out(
      `${findings.orphans} packs are named by no index: left by a backup that did not end, and harmless\n`,
    );
  const { snapshots, packs } = findings;
  const verdict =
    findings.errors.length === 0 ? 'No errors were found' : `${findings.errors.length} errors were found`;
  tool.out(`${verdict}: ${snapshots} snapshots, ${packs} packs\n`);
  return findings.errors.length === 0 ? 0 : 1;
}

/** `10%`, as restic has it. */
function parseShare(tool: Tool, text: string): number {
  const percent = Number(/^(\d+(?:\.\d+)?)%$/.exec(text)?.[1]);
  if (!(percent > 0 && percent <= 100))
    return tool.failUsage(`--read-data-subset expects a percentage like '10%', not '${text}'`);
  return percent / 100;
}
