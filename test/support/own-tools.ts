/** Our command-line tools in this process. */
import { main as img } from '../../host/cli/img/main.ts';
import { main as io } from '../../host/cli/io/main.ts';
import { masked, type Outcome, type ToolName, type TwoFolders } from './cli.ts';

const home = process.cwd();
const mains = { 'qemu-img': img, 'qemu-io': io, 'blockyard img': img } as const;

/** As when it is started under the name of the tool that it stands in for. A bug rejects. */
export async function runOwn(tool: keyof typeof mains, args: string[]): Promise<Outcome> {
  let stdout = '';
  let stderr = '';
  const status = await mains[tool](args, tool, {
    out: (part) => void (stdout += part),
    error: (part) => void (stderr += part),
  });
  return { status, stdout, stderr };
}

/**
 * What `TwoFolders.both` gives, with our tool in this process: for command lines by the hundred, where starting a program
 * for each would take most of the time.
 */
export async function bothHere(
  folders: TwoFolders,
  tool: ToolName,
  args: string[],
): Promise<{ ours: Outcome; theirs: Outcome }> {
  const theirs = folders.theirTool(tool, ...args);
  process.chdir(folders.ours);
  try {
    return { ours: masked(await runOwn(tool, args)), theirs: await theirs };
  } finally {
    // When this has taken longer than its test, the next one may be somewhere else.
    if (process.cwd() === folders.ours) process.chdir(home);
  }
}
