/**
 * The human monitor: runs a line and gives its output (specification: qmp-protocol, section 8). Over QMP it is the command
 * `human-monitor-command`; on a chardev of its own it has a prompt (readline.ts).
 *
 * Commands of QEMU's that are not about storage are refused by name (refused.ts), and `help` does not list them.
 */
import { BlockError, invalid } from '../../base/errors.ts';
import { int, optional, str, struct } from '../../qapi/types.ts';
import { type AnyCommand, type CommandContext, defineCommand } from '../../qmp/command.ts';
import { describeError, type HmpCommand, type HmpTopic } from './command.ts';
import { diskCommands } from './disks.ts';
import { infoCommands } from './info.ts';
import { treeCommands } from './info-trees.ts';
import { jobCommands } from './jobs.ts';
import { LineError } from './line-error.ts';
import { machineCommands } from './machine.ts';
import { nbdCommands } from './nbd.ts';
import { parseArguments } from './parser.ts';
import { qemuIo } from './qemu-io.ts';
import { refusal } from './refused.ts';
import { snapshotCommands } from './snapshots.ts';
import { traceCommands } from './trace.ts';
import { Words } from './words.ts';

/** What lines can begin with. */
export const humanCommands: readonly HmpCommand[] = [
  ...diskCommands,
  ...jobCommands,
  ...machineCommands,
  ...nbdCommands,
  ...snapshotCommands,
  qemuIo,
  ...traceCommands,
  ...infoCommands,
  ...treeCommands,
];

const topics: readonly HmpTopic[] = [
  ...humanCommands,
  { name: 'help', alias: '?', usage: '[cmd]', help: 'show the help' },
  { name: 'info', usage: '[subcommand]', help: 'show various information about the system state' },
].sort((a, b) => (a.name < b.name ? -1 : 1));

const isInfo = ({ name }: HmpTopic): boolean => name.startsWith('info ');
const unknown = (name: string): string => `unknown command: '${name}'\n`;

/** Lines end with LF. */
async function runLine(context: CommandContext, line: string): Promise<string> {
  // Where QEMU says what is wrong with a string, too: not to the monitor.
  const words = new Words(line, (problem) => context.graph.platform.console.stdout(problem));
  if (words.isAtEnd) return '';
  try {
    const first = words.name();
    if (first === 'help' || first === '?') return help(words);
    if (first === 'info' && words.isAtEnd) return show(topics.filter(isInfo));
    const sub = first === 'info' ? words.name() : '';
    const typed = sub === '' ? first : `info ${sub}`;
    const command = find(humanCommands, typed);
    const reason = refusal(typed);
    if (reason !== undefined) throw new BlockError('ENOTSUP', reason);
    if (!command) return unknown(typed);
    return await command.run(context, parseArguments(command, words));
  } catch (error) {
    if (error instanceof LineError) return `${error.message}\n`;
    if (error instanceof BlockError) return `Error: ${describeError(error)}`;
    throw error;
  }
}

/** All commands, those of `info`, or one; words behind that say nothing. */
function help(words: Words): string {
  const asked: string[] = [];
  for (let word = words.next(); word !== undefined; word = words.next()) asked.push(word);
  if (!words.isAtEnd) return '';
  const [first, second] = asked;
  if (first === undefined) return show(topics.filter((topic) => !isInfo(topic)));
  if (first === 'info' && second === undefined) return show(topics.filter(isInfo));
  const name = first === 'info' ? `info ${second}` : first;
  const topic = find(topics, name);
  if (topic) return show([topic]);
  const reason = refusal(name);
  return reason === undefined ? unknown(name) : `${reason}\n`;
}

function find<T extends HmpTopic>(list: readonly T[], name: string): T | undefined {
  return list.find((topic) => topic.name === name || topic.alias === name);
}

function show(list: readonly HmpTopic[]): string {
  return list
    .map(({ name, alias, usage = '', help }) => {
      const names = alias === undefined ? name : `${name}|${alias}`;
      return `${names} ${usage} -- ${help}\n`;
    })
    .join('');
}

/** human-monitor-command. What it answers has lines that end with CR LF. */
export const humanMonitor: AnyCommand = defineCommand({
  name: 'human-monitor-command',
  args: struct('HumanMonitorCommandArguments', { 'command-line': str, 'cpu-index': optional(int) }),
  returns: str,
  async run(context, { 'command-line': line, 'cpu-index': processor }) {
    if (processor !== undefined) throw invalid("Parameter 'cpu-index' expects a CPU number");
    return (await runLine(context, line)).replaceAll('\n', '\r\n');
  },
});
