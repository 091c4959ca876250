/** `img` in the simulator: a command line of it, on simulated files. Names of files begin with a slash. */
import { commands } from '../../../host/cli/img/commands.ts';
import { runTool, Tool } from '../../../host/cli/shared/tool.ts';
import type { Platform } from '../../../host/platform/platform.ts';
import type { Simulation } from '../../../host/platform/sim/index.ts';
import type { Outcome } from '../../support/cli.ts';

class SimulatedTool extends Tool {
  constructor(
    private readonly simulation: Simulation,
    print: { out(text: string): void; error(text: string): void },
  ) {
    super('qemu-img', print);
  }

  override async platform(): Promise<Platform> {
    const { platform } = this.simulation;
    const console = {
      ...platform.console,
      stdout: (line: string) => this.out(`${line}\n`),
      stderr: (line: string) => this.error(`${line}\n`),
      error: (message: string) => this.report(message),
      warn: (message: string) => this.warn(message),
    };
    return { ...platform, console };
  }
}

/** `line` without the name of the program. A simulation that takes time has to be running. */
export async function runImg(simulation: Simulation, line: string): Promise<Outcome> {
  let stdout = '';
  let stderr = '';
  const tool = new SimulatedTool(simulation, {
    out: (text) => void (stdout += text),
    error: (text) => void (stderr += text),
  });
  const [name, ...argv] = line.split(' ');
  const command = commands.find((candidate) => candidate.name === name);
  if (!command) throw new Error(`no subcommand ${name}`);
  const status = await runTool(tool, async () => (await command.load()).run(tool, argv));
  return { status, stdout, stderr };
}
