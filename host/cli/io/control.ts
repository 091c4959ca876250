/**
 * help, quit, sleep, the commands that end the process, and the breakpoints of blkdebug nodes, of which there are none
 * yet (specification: cli, section 4).
 */
import { BlockError } from '../../base/errors.ts';
import { parseInteger } from '../shared/numbers.ts';
import { CommandFailed, complain, type IoCommand, oneLine, parseNumber } from './command.ts';
import { commands, findCommand } from './commands.ts';

export const help: IoCommand = {
  name: 'help',
  alias: '?',
  args: { min: 0, max: 1 },
  synopsis: '[command]',
  help: 'help for one or all commands',
  noFile: true,
  async run(session, [name]) {
    if (name === undefined) {
      session.tool.out(`${commands.map(oneLine).join('')}\nUse 'help commandname' for extended help.\n`);
      return;
    }
    const command = findCommand(name);
    if (!command) complain(session, `command ${name} not found`);
    session.tool.out(oneLine(command));
    if (command.longHelp) session.tool.out(`\n${command.longHelp.map((line) => ` ${line}\n`).join('')}\n`);
  },
};

export const quit: IoCommand = {
  name: 'quit',
  alias: 'q',
  args: { min: 0 },
  synopsis: '',
  help: 'exit the program',
  noFile: true,
  async run(session) {
    session.quit = true;
  },
};

const maxSleepMs = 2_147_483_647;

export const sleep: IoCommand = {
  name: 'sleep',
  args: { min: 1, max: 1 },
  synopsis: '',
  help: 'waits for the given value in milliseconds',
  noFile: true,
  async run(session, [text]) {
    const ms = parseInteger(text!, maxSleepMs) ?? complain(session, `${text} is not a valid number`);
    await new Promise<void>((resolve) => session.graph.platform.clock.setTimer(ms * 1e6, resolve));
    session.announceCompleted();
  },
};

export const sigraise: IoCommand = {
  name: 'sigraise',
  args: { min: 1, max: 1 },
  synopsis: 'signal',
  help: 'raises a signal',
  longHelp: ["Example: 'sigraise 15' raises SIGTERM"],
  noFile: true,
  async run(session, [text]) {
    process.kill(process.pid, parseNumber(session, text!));
  },
};

export const abort: IoCommand = {
  name: 'abort',
  args: { min: 0 },
  synopsis: '',
  help: 'simulate a program crash using abort(3)',
  noFile: true,
  async run() {
    process.abort();
  },
};

/** Only a blkdebug node can stop a request. */
function breakpoint(
  name: string,
  args: IoCommand['args'],
  texts: { synopsis: string; help: string; failure: (args: readonly string[]) => string },
): IoCommand {
  return {
    name,
    args,
    synopsis: texts.synopsis,
    help: texts.help,
    async run(session, words) {
      session.tool.out(`${texts.failure(words)}: ${new BlockError('ENOTSUP').message}\n`);
      throw new CommandFailed(name);
    },
  };
}

export const breakpoints: readonly IoCommand[] = [
  breakpoint(
    'break',
    { min: 2, max: 2 },
    {
      synopsis: 'event tag',
      help: 'sets a breakpoint on event and tags the stopped request as tag',
      failure: () => 'Could not set breakpoint',
    },
  ),
  breakpoint(
    'remove_break',
    { min: 1, max: 1 },
    {
      synopsis: 'tag',
      help: 'remove a breakpoint by tag',
      failure: ([tag]) => `Could not remove breakpoint ${tag}`,
    },
  ),
  breakpoint(
    'resume',
    { min: 1, max: 1 },
    {
      synopsis: 'tag',
      help: 'resumes the request tagged as tag',
      failure: () => 'Could not resume request',
    },
  ),
  breakpoint(
    'wait_break',
    { min: 1, max: 1 },
    {
      synopsis: 'tag',
      help: 'waits for the suspension of a request',
      failure: ([tag]) => `Could not wait for breakpoint ${tag}`,
    },
  ),
];
