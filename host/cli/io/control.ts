/** help, quit, sleep and the commands that end the process (specification: cli, section 4). */
import { parseInteger } from '../shared/numbers.ts';
import { complain, findCommand, type IoCommand, oneLine, parseNumber } from './command.ts';

/** `commands`: those that it tells of, once they are known. */
export function helpOn(commands: () => readonly IoCommand[]): IoCommand {
  return {
    name: 'help',
    alias: '?',
    args: { min: 0, max: 1 },
    synopsis: '[command]',
    help: 'help for one or all commands',
    noFile: true,
    async run(session, [name]) {
      const known = commands().filter(({ choosesImage }) => !choosesImage || !session.isFixed);
      if (name === undefined) {
        const lines = known.map(oneLine).join('');
        session.tool.out(`${lines}\nUse 'help commandname' for extended help.\n`);
        return;
      }
      const command = findCommand(known, name);
      if (!command) complain(session, `command ${name} not found`);
      session.tool.out(oneLine(command));
      if (command.longHelp) session.tool.out(`\n${command.longHelp.map((line) => ` ${line}\n`).join('')}\n`);
    },
  };
}

export const quit: IoCommand = {
  name: 'quit',
  alias: 'q',
  args: { min: 0 },
  choosesImage: true,
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
  help: 'waits for the given value in milliseconds',
  noFile: true,
  async run(session, [text]) {
    const ms = parseInteger(text!, maxSleepMs) ?? complain(session, `${text} is not a valid number`); // `args` says so
    await new Promise<void>((resolve) => session.graph.platform.clock.setTimer(ms * 1e6, resolve));
    session.announceCompleted();
  },
};

/** The system's NSIG. */
const maxSignal = 65;

export const sigraise: IoCommand = {
  name: 'sigraise',
  args: { min: 1, max: 1 },
  synopsis: 'signal',
  help: 'raises a signal',
  longHelp: ["Example: 'sigraise 15' raises SIGTERM"],
  noFile: true,
  async run(session, [text]) {
    const signal = parseNumber(session, text!); // `args` says so
    if (signal > maxSignal) complain(session, `signal argument '${text}' is too large to be a valid signal`);
    try {
      process.kill(process.pid, signal);
    } catch (error) {
      // One that the system has no use for is not raised.
      if ((error as NodeJS.ErrnoException).code !== 'EINVAL') throw error;
    }
  },
};

export const abort: IoCommand = {
  name: 'abort',
  args: { min: 0 },
  help: 'simulate a program crash using abort(3)',
  noFile: true,
  async run() {
    process.abort();
  },
};
