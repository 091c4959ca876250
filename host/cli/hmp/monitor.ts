/**
 * The human monitor: runs a line and gives its output (specification: qmp-protocol, section 8). Over QMP it is the command
 * `human-monitor-command`; on a chardev of its own it has a prompt.
 *
 * Commands about NBD servers are known and refused by name.
 */
import { BlockError, invalid } from '../../base/errors.ts';
import { int, optional, str, struct } from '../../qapi/types.ts';
import { type AnyCommand, type CommandContext, defineCommand } from '../../qmp/command.ts';
import type { HmpCommand, Parameter } from './command.ts';
import { diskCommands } from './disks.ts';
import { infoCommands } from './info.ts';
import { jobCommands } from './jobs.ts';
import { machineCommands } from './machine.ts';
import { LineError, parseArguments, Words } from './parser.ts';
import { qemuIo } from './qemu-io.ts';
import { snapshotCommands } from './snapshots.ts';
import { traceCommands } from './trace.ts';

/** Known to QEMU's users, with the reason why they are not there. */
const refused: Readonly<Record<string, string>> = {
  nbd_server_start: 'there is no NBD server',
  nbd_server_add: 'there is no NBD server',
  nbd_server_remove: 'there is no NBD server',
  nbd_server_stop: 'there is no NBD server',
};

/** What lines can begin with. */
export const humanCommands: readonly HmpCommand[] = [
  ...diskCommands,
  ...jobCommands,
  ...machineCommands,
  ...snapshotCommands,
  qemuIo,
  ...traceCommands,
  ...infoCommands,
];

/** Lines end with LF. */
async function runLine(
  commands: readonly HmpCommand[],
  context: CommandContext,
  line: string,
): Promise<string> {
  const words = new Words(line);
  try {
    const first = words.next();
    if (first === undefined) return '';
    if (first === 'help' || first === '?') return help(commands, words.rest());
    const name = first === 'info' && !words.isAtEnd ? `info ${words.next()}` : first;
    if (name === 'info') return help(commands, 'info');
    const command = commands.find((one) => one.name === name || one.alias === name);
    const reason = command ? undefined : refused[name];
    if (reason !== undefined) throw new BlockError('ENOTSUP', `${name} is not supported: ${reason}`);
    if (!command) return `unknown command: '${name}'\n`;
    return await command.run(context, parseArguments(command, words));
  } catch (error) {
    if (error instanceof LineError) return `${error.message}\n`;
    if (error instanceof BlockError) return `Error: ${error.message}\n`;
    throw error;
  }
}

/** All commands, those of `info`, or one. */
function help(commands: readonly HmpCommand[], topic: string): string {
  const chosen = commands.filter(({ name }) =>
    topic === ''
      ? !name.startsWith('info ')
      : name === topic || (topic === 'info' && name.startsWith('info ')),
  );
  return chosen
    .map(({ name, parameters = [], help }) => `${[name, ...parameters.map(synopsis)].join(' ')} -- ${help}\n`)
    .join('');
}

function synopsis({ kind, letter, name, optional }: Parameter): string {
  if (kind === 'flag') return `[-${letter}]`;
  return optional ? `[${name}]` : name;
}

/** human-monitor-command. What it answers has lines that end with CR LF. */
export const humanMonitor: AnyCommand = defineCommand({
  name: 'human-monitor-command',
  args: struct('HumanMonitorCommandArguments', { 'command-line': str, 'cpu-index': optional(int) }),
  returns: str,
  async run(context, { 'command-line': line, 'cpu-index': processor }) {
    if (processor !== undefined) throw invalid("Parameter 'cpu-index' expects a CPU number");
    return (await runLine(humanCommands, context, line)).replaceAll('\n', '\r\n');
  },
});
