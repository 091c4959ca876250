/**
 * `qemu-io DEVICE "COMMAND"`: a command of the `io` tool on a disk of the machine. What it prints goes to standard output;
 * errors that it reports are the answer.
 */
import { BlockBackend } from '../../block/backend.ts';
import type { CommandContext } from '../../qmp/command.ts';
import { backendOfDevice } from '../../qmp/device-backend.ts';
import { execute } from '../io/execute.ts';
import { Session } from '../io/session.ts';
import { type Terminal, Tool } from '../shared/tool.ts';
import { type Arguments, device, flag, type HmpCommand, word } from './command.ts';

/** Whole lines to the consoles of the platform. */
class LineTerminal implements Terminal {
  private readonly rest = { stdout: '', stderr: '' };

  constructor(private readonly console: { stdout(line: string): void; stderr(line: string): void }) {}

  out(text: string): void {
    this.print('stdout', text);
  }

  error(text: string): void {
    this.print('stderr', text);
  }

  private print(stream: 'stdout' | 'stderr', text: string): void {
    const lines = (this.rest[stream] + text).split('\n');
    this.rest[stream] = lines.pop() ?? '';
    for (const line of lines) this.console[stream](line);
  }
}

/** What the tool would report on its terminal is kept for the answer. */
class AnsweringTool extends Tool {
  reported = '';

  override report(message: string, hint?: string): void {
    this.reported += `${message}\n`;
    if (hint !== undefined) this.error(`${hint.replace(/\n$/, '')}\n`);
  }
}

async function run(context: CommandContext, args: Arguments): Promise<string> {
  const { graph } = context;
  const name = args['device'] as string;
  const backend = args['qdev'] ? backendOfDevice(context, name) : graph.backends.find(name);
  // A device's own permissions are not enough for everything, and its policies are not meant for this.
  const node = backend?.hasMedium ? backend.node : graph.lookup(undefined, name);
  const own = await BlockBackend.attach(node, { name: 'root', description: '', perm: 0, shared: 15 });
  own.writethrough = backend?.writethrough ?? false;
  const tool = new AnsweringTool('qemu-io', new LineTerminal(graph.platform.console));
  const session = new Session(tool, graph, false);
  session.use(own);
  try {
    await execute(session, args['command'] as string);
  } finally {
    await session.close();
  }
  return tool.reported;
}

export const qemuIo: HmpCommand = {
  name: 'qemu-io',
  parameters: [flag('d', 'qdev'), device, word('command')],
  help: 'run a qemu-io command on a block device (-d: the device is named by its id)',
  run,
};
