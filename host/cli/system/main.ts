/**
 * `blockyard system`, and `qemu-system-*` when started by such a name: the storage of a machine without a processor
 * (specification: cli, section 6).
 */
import { isBackgroundProcess, startInBackground } from '../shared/background.ts';
import { runTool, type Terminal, Tool } from '../shared/tool.ts';
import { printHelp, printMachines, printVersion } from './help.ts';
import { readCommandLine } from './options.ts';
import { MachineProgram } from './program.ts';
import { takeReporting } from './reporting.ts';

export function main(argv: string[], programName: string, terminal?: Terminal): Promise<number> {
  const tool = new Tool(programName, terminal);
  return runTool(tool, async () => {
    const line = readCommandLine(tool, argv);
    await takeReporting(tool, line);
    if (line.has('help')) await printHelp(tool);
    else if (line.has('version')) printVersion(tool);
    else if (line.get('machine') === 'help') printMachines(tool);
    else if (line.has('daemonize') && !isBackgroundProcess()) return startInBackground();
    else return MachineProgram.run(tool, line);
    return 0;
  });
}
