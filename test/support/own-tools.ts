/** Our command-line tools in this process. */
import { main as img } from '../../host/cli/img/main.ts';
import { main as io } from '../../host/cli/io/main.ts';
import type { Outcome, ToolName } from './cli.ts';

const mains = { 'qemu-img': img, 'qemu-io': io } as const;

/** As when it is started under the name of the tool that it stands in for. A bug rejects. */
export async function runOwn(tool: ToolName, args: string[]): Promise<Outcome> {
  let stdout = '';
  let stderr = '';
  const status = await mains[tool](args, tool, {
    out: (part) => void (stdout += part),
    error: (part) => void (stderr += part),
  });
  return { status, stdout, stderr };
}
