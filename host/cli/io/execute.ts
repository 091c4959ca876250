/** Runs one line of commands' language: words are separated by spaces, and nothing quotes them. */
import { BlockError } from '../../base/errors.ts';
import { CommandFailed, findCommand, type IoCommand } from './command.ts';
import { commands } from './commands.ts';
import type { Session } from './session.ts';

/** False when the command failed; why has been printed. */
export async function execute(session: Session, line: string): Promise<boolean> {
  const { tool } = session;
  const [name, ...args] = line.split(' ').filter((word) => word !== '');
  if (name === undefined) return true;
  const command = findCommand(commands, name);
  if (!command || (command.choosesImage && session.isFixed)) {
    tool.error(`command "${name}" not found\n`);
    return false;
  }
  if (!command.noFile && !session.isOpen) {
    tool.error("no file open, try 'help open'\n");
    return false;
  }
  const problem = checkCount(command, name, args.length);
  if (problem !== undefined) {
    tool.error(`${problem}\n`);
    return false;
  }
  session.commandName = name;
  try {
    if (command.needs !== undefined) await session.ensurePermissions(command.needs);
    await command.run(session, args);
    return true;
  } catch (error) {
    if (error instanceof BlockError) tool.reportError(error);
    else if (!(error instanceof CommandFailed)) throw error;
    return false;
  }
}

function checkCount({ args: { min, max } }: IoCommand, name: string, count: number): string | undefined {
  if (count >= min && (max === undefined || count <= max)) return undefined;
  const expected =
    max === undefined
      ? `at least ${min} arguments`
      : min === max
        ? `${min} arguments`
        : `between ${min} and ${max} arguments`;
  return `bad argument count ${count} to ${name}, expected ${expected}`;
}
