/**
 * `blockyard vm`: a PC that runs, by v86, with its disks on block nodes and the whole monitor beside it. Options are those
 * of QEMU's system emulator, as far as v86 has the part that they are about; all others are refused by name.
 */
import { isBackgroundProcess, startInBackground } from '../shared/background.ts';
import { runTool, type Terminal, Tool } from '../shared/tool.ts';
import { printVersion } from '../system/help.ts';
import { type OptionKind, readCommandLine } from '../system/options.ts';
import { MachineProgram } from '../system/program.ts';
import { takeReporting } from '../system/reporting.ts';
import { V86Guest } from './guest.ts';
import { printHelp } from './help.ts';

/** Beside those of every machine, or in their place. */
export const vmOptions: Readonly<Record<string, OptionKind>> = {
  kernel: 'set',
  initrd: 'set',
  append: 'set',
  bios: 'set',
  'no-shutdown': 'switch',
  nographic: 'switch',
  fda: 'refused',
  fdb: 'refused',
  accel: 'refused',
  'enable-kvm': 'refused',
  cpu: 'refused',
  smp: 'refused',
  qtest: 'refused',
  'qtest-log': 'refused',
};

export function main(argv: string[], programName: string, terminal?: Terminal): Promise<number> {
  const tool = new Tool(programName, terminal);
  return runTool(tool, async () => {
    const line = readCommandLine(tool, argv, vmOptions);
    await takeReporting(tool, line);
    if (line.has('help')) printHelp(tool);
    else if (line.has('version')) printVersion(tool);
    else if (line.has('daemonize') && !isBackgroundProcess()) return startInBackground();
    else return MachineProgram.run(tool, line, new V86Guest());
    return 0;
  });
}
