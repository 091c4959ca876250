/** `backup snapshots`: what a repository has, the oldest first. */
import { formatPrettyJson } from '../../qapi/json-output.ts';
import { disksOf } from '../../store/machine.ts';
import { type OutputFormat, common as ofImages, parseOutputFormat, readCommandLine } from '../img/options.ts';
import type { Tool } from '../shared/tool.ts';
import { common, RepositoryOptions, repositorySpecs, withLock } from './options.ts';

/** Its options, beside `--help`. */
export const specs = [...repositorySpecs, common.machine, ofImages.output];

export async function run(tool: Tool, argv: string[]): Promise<number> {
  const options = new RepositoryOptions();
  let output = 'human' as OutputFormat;
  let machine: string | undefined;
  const [extra] = await readCommandLine(tool, argv, specs, (option) => {
    if (options.take(option)) return;
    if (option.name === 'output') output = parseOutputFormat(tool, option.value);
    else machine = option.value;
  });
  if (extra !== undefined) tool.failUsage(`Unexpected argument: ${extra}`);
  const repository = await options.open(tool);
  const rows = await withLock(tool, repository, () =>
    tool.attempt(async () => {
      const snapshots = await repository.snapshots();
      return Promise.all(
        snapshots
          .filter(({ hostname }) => machine === undefined || hostname === machine)
          .map(async (snapshot) => ({ snapshot, disks: await disksOf(repository, snapshot) })),
      );
    }),
  );
  const described = rows.map(({ snapshot, disks }) => ({
    id: snapshot.id,
    time: snapshot.time,
    machine: snapshot.hostname,
    disks: disks.map(({ name, file }) => ({ name, size: file.size })),
  }));
  if (output === 'json') tool.out(formatPrettyJson(described));
  else {
    tool.out(`${'ID'.padEnd(10)}${'TIME'.padEnd(22)}${'MACHINE'.padEnd(16)}DISKS\n`);
    for (const { id, time, machine: name, disks } of described) {
      const shown = disks.map((disk) => `${disk.name} (${disk.size})`).join(', ');
      tool.out(`${id.slice(0, 8).padEnd(10)}${time.slice(0, 19).padEnd(22)}${name.padEnd(16)}${shown}\n`);
    }
  }
  return 0;
}
