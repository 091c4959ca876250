/** Options of programs with a monitor that are commands of it: `--blockdev` and `--object`. */
import { parseOption } from '../../qapi/keyval-values.ts';
import type { QmpServer } from '../../qmp/server.ts';
import { ExitStatus } from './exit-status.ts';
import { objectHelp } from './object-option.ts';
import type { Tool } from './tool.ts';

/** Errors: BlockError. */
export async function addNode(server: QmpServer, text: string): Promise<void> {
  await server.runLocally('blockdev-add', (type) => parseOption(type, text, 'driver'));
}

/** Errors: ExitStatus when the option asked for help, which has been printed. */
function printObjectHelp(tool: Tool, text: string): void {
  const help = objectHelp(text);
  if (help === undefined) return;
  tool.out(help);
  throw new ExitStatus(0);
}

/** Errors: BlockError, a type that is not served among them; ExitStatus when only help was asked for. */
export async function addObject(tool: Tool, server: QmpServer, text: string): Promise<void> {
  printObjectHelp(tool, text);
  await server.runLocally('object-add', (type) => parseOption(type, text, 'qom-type'));
}
