/** `blockyard completion SHELL`: prints a script that completes command lines of this program. */
import { runTool, type Terminal, Tool } from '../shared/tool.ts';
import { scripts } from './scripts.ts';
import { allWords, type NamedCommand } from './words.ts';

const usage = `Usage: blockyard completion bash|zsh|fish

Prints a script that completes what blockyard is told. Put into the shell's start-up file:

  bash  source <(blockyard completion bash)
  zsh   source <(blockyard completion zsh)
  fish  blockyard completion fish | source
`;

/** `commands`: what there is to complete. */
export function main(
  argv: string[],
  programName: string,
  commands: readonly NamedCommand[],
  terminal?: Terminal,
): Promise<number> {
  const tool: Tool = new Tool(programName, terminal);
  return runTool(tool, async () => {
    const [shell, another] = argv;
    if (shell === '--help' || shell === '-h') {
      tool.out(usage);
      return 0;
    }
    if (shell === undefined) tool.failUsage('Name a shell: bash, zsh or fish');
    if (another !== undefined) tool.failUsage(`unexpected argument '${another}'`);
    const script = Object.hasOwn(scripts, shell) ? scripts[shell] : undefined;
    if (!script) tool.failUsage(`there is no completion for '${shell}': bash, zsh or fish`);
    tool.out(script(await allWords(commands)));
    return 0;
  });
}
