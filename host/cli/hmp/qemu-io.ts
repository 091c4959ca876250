/**
 * `qemu-io DEVICE "COMMAND"`: a command of the `io` tool on a disk of the machine. What it prints goes to standard output;
 * errors that it reports are the answer.
 */
import { BlockBackend } from '../../block/backend.ts';
import type { BlockGraph } from '../../block/graph.ts';
import { Perm } from '../../block/permissions.ts';
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
  if (backend) return runOn(graph, backend, args['command'] as string);
  const node = graph.lookup(undefined, name);
  const own = await BlockBackend.attach(node, {
    name: 'root',
    description: '',
    perm: Perm.none,
    shared: Perm.all,
  });
  try {
    return await runOn(graph, own, args['command'] as string);
  } finally {
    await own.close();
  }
}

/** As the disk's own user, a device if it has one: what that may do is done in its name. */
async function runOn(graph: BlockGraph, disk: BlockBackend, command: string): Promise<string> {
  const tool = new AnsweringTool('qemu-io', new LineTerminal(graph.platform.console));
  const session = new Session(tool, graph, false);
  session.use(disk);
  const { perm, shared } = disk.hasMedium ? disk.edge : { perm: Perm.none, shared: Perm.all };
  try {
    await execute(session, command);
  } finally {
    await session.close();
    // What the command needed beyond that, its user does not; what it gave up is gone.
    const kept = disk.hasMedium ? disk.edge.perm & perm : perm;
    if (disk.hasMedium && disk.edge.perm !== kept) await disk.setPermissions(kept, shared);
  }
  return tool.reported;
}

export const qemuIo: HmpCommand = {
  name: 'qemu-io',
  parameters: [flag('d', 'qdev'), device, word('command')],
  usage: '[-d] [device] "[command]"',
  help: [
    'run a qemu-io command on a block device',
    '\t\t\t-d: [device] is a device ID rather than a drive ID or node name',
  ].join('\n'),
  run,
};
