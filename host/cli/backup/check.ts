/** `backup check`: whether a repository is whole, and its machines start. Exit status 1: something is wrong. */
import { asBlockError } from '../../base/errors.ts';
import { checkRepository } from '../../store/check.ts';
import type { Repository } from '../../store/repository.ts';
import { parseCountOption, readCommandLine } from '../img/options.ts';
import type { ParsedOption } from '../shared/getopt.ts';
import { Progress } from '../shared/progress.ts';
import type { Tool } from '../shared/tool.ts';
import { common, RepositoryOptions, repositorySpecs, withLock } from './options.ts';

/** Its options, beside `--help`. */
export const specs = [
  ...repositorySpecs,
  common.machine,
  { long: 'read-data' },
  { long: 'read-data-subset', argument: true },
  { long: 'boot', argument: true },
  { long: 'boot-timeout', argument: true },
  { short: 'p', long: 'progress' },
];

const progressStep = 1;
const usualBootSeconds = 120;
const maxBootSeconds = 86_400;

interface Wanted {
  readData: number;
  showProgress: boolean;
  machine: string | undefined;
  /** What machines say on their serial ports when they have started. */
  boot: string | undefined;
  bootSeconds: number;
}

export async function run(tool: Tool, argv: string[]): Promise<number> {
  const options = new RepositoryOptions();
  const wanted: Wanted = {
    ...{ readData: 0, showProgress: false, machine: undefined },
    ...{ boot: undefined, bootSeconds: usualBootSeconds },
  };
  const vmOptions = await readCommandLine(tool, argv, specs, (option) => {
    if (!options.take(option)) take(tool, wanted, option);
  });
  const [extra] = vmOptions;
  if (wanted.boot === undefined && extra !== undefined) tool.failUsage(`Unexpected argument: ${extra}`);
  if (wanted.boot === undefined && wanted.machine !== undefined)
    tool.failUsage('--machine says which machine is to be started: use --boot');
  const repository = await options.open(tool);
  return withLock(tool, repository, async () => {
    let errors = await check(tool, repository, wanted);
    if (wanted.boot !== undefined) errors += await boot(tool, options, repository, { ...wanted, vmOptions });
    return errors === 0 ? 0 : 1;
  });
}

function take(tool: Tool, wanted: Wanted, { name, value }: ParsedOption): void {
  if (name === 'progress') wanted.showProgress = true;
  else if (name === 'machine') wanted.machine = value;
  else if (name === 'boot') wanted.boot = value;
  else if (name === 'boot-timeout')
    wanted.bootSeconds = parseCountOption(tool, 'boot timeout', value, { min: 1, max: maxBootSeconds });
  else wanted.readData = name === 'read-data' ? 1 : parseShare(tool, value);
}

/** Gives how many errors there are. */
async function check(
  tool: Tool,
  repository: Repository,
  { readData, showProgress }: Wanted,
): Promise<number> {
  const progress = new Progress(tool, showProgress, progressStep).begin();
  const report = (done: number, of: number): void => progress.set((done / of) * 100);
  const { errors, orphans, snapshots, packs } = await tool
    .attempt(() => checkRepository(repository, { readData, report }))
    .finally(() => progress.finish());
  for (const error of errors) tool.report(error);
  if (orphans > 0)
    tool.out(`${orphans} packs are named by no index: left by a backup that did not end, and harmless\n`);
  const verdict = errors.length === 0 ? 'No errors were found' : `${errors.length} errors were found`;
  tool.out(`${verdict}: ${snapshots} snapshots, ${packs} packs\n`);
  return errors.length;
}

/** The newest snapshot of each machine. Gives how many do not start. */
async function boot(
  tool: Tool,
  options: RepositoryOptions,
  repository: Repository,
  { boot: text = '', bootSeconds, machine, vmOptions }: Wanted & { vmOptions: readonly string[] },
): Promise<number> {
  const [{ bootSnapshot }, graph, password] = await Promise.all([
    import('./boot.ts'),
    tool.createGraph({ quiet: true }),
    options.password(tool),
  ]);
  const settings = { repositoryName: options.repositoryName(tool), password, text, seconds: bootSeconds };
  const snapshots = await tool.attempt(() => repository.snapshots());
  // The last one of each stays.
  const newest = new Map(snapshots.map((snapshot) => [snapshot.hostname, snapshot]));
  if (machine !== undefined && !newest.has(machine)) tool.fail(`There is no snapshot of '${machine}'`);
  let failed = 0;
  for (const [name, snapshot] of newest) {
    if (machine !== undefined && name !== machine) continue;
    const what = `${name}, snapshot ${snapshot.id.slice(0, 8)}`;
    try {
      await bootSnapshot(graph, repository, snapshot, { ...settings, options: vmOptions });
      tool.out(`${what} starts\n`);
    } catch (error) {
      tool.reportError(asBlockError(error).within(what));
      failed++;
    }
  }
  return failed;
}

/** `10%`, as restic has it. */
function parseShare(tool: Tool, text: string): number {
  const percent = Number(/^(\d+(?:\.\d+)?)%$/.exec(text)?.[1]);
  if (!(percent > 0 && percent <= 100))
    return tool.failUsage(`--read-data-subset expects a percentage like '10%', not '${text}'`);
  return percent / 100;
}
