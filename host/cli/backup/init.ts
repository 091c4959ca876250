/** `backup init`: a new repository. */
import { readCommandLine } from '../img/options.ts';
import type { Tool } from '../shared/tool.ts';
import { RepositoryOptions, repositorySpecs } from './options.ts';

/** Its options, beside `--help`. */
export const specs = repositorySpecs;

export async function run(tool: Tool, argv: string[]): Promise<number> {
  const options = new RepositoryOptions();
  const [extra] = await readCommandLine(tool, argv, specs, (option) => void options.take(option));
  if (extra !== undefined) tool.failUsage(`Unexpected argument: ${extra}`);
  const { id, store } = await options.init(tool);
  tool.out(`made repository ${id.slice(0, 10)} at ${store.location}\n`);
  return 0;
}
