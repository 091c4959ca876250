/**
 * The password of a repository, from where restic's users keep it: `--password-file`, RESTIC_PASSWORD_FILE, RESTIC_PASSWORD_COMMAND,
 * RESTIC_PASSWORD, the first that there is. It is never on a command line, and never printed.
 */
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import type { Tool } from '../shared/tool.ts';

const mostBytes = 64 << 10;

/** Ends the command when there is none, or it cannot be had. */
export async function readPassword(tool: Tool, file: string | undefined): Promise<string> {
  const { RESTIC_PASSWORD, RESTIC_PASSWORD_FILE, RESTIC_PASSWORD_COMMAND } = process.env;
  const path = file ?? RESTIC_PASSWORD_FILE;
  const password = path
    ? ofFile(tool, path)
    : RESTIC_PASSWORD_COMMAND
      ? ofCommand(tool, RESTIC_PASSWORD_COMMAND)
      : RESTIC_PASSWORD;
  if (password === undefined || password === '')
    return tool.failUsage(
      'No password: use --password-file, RESTIC_PASSWORD_FILE, RESTIC_PASSWORD_COMMAND or RESTIC_PASSWORD',
    );
  return password;
}

function ofFile(tool: Tool, path: string): string {
  let content: Buffer;
  try {
    content = readFileSync(path);
  } catch (error) {
    return tool.fail(`Could not read the password file '${path}': ${(error as Error).message}`);
  }
  if (content.length > mostBytes) return tool.fail(`The password file '${path}' has ${content.length} bytes`);
  return withoutNewline(content.toString());
}

function ofCommand(tool: Tool, line: string): string {
  const [program = '', ...args] = words(line);
  try {
    return withoutNewline(
      execFileSync(program, args, { encoding: 'utf8', stdio: ['inherit', 'pipe', 'inherit'] }),
    );
  } catch (error) {
    const { status, code } = error as { status?: number | null; code?: string };
    return tool.fail(`RESTIC_PASSWORD_COMMAND: '${program}' failed (${code ?? status})`);
  }
}

/** As a shell parts them: by spaces, but not within quotes. */
function words(line: string): string[] {
  return [...line.matchAll(/(?:"([^"]*)"|'([^']*)'|([^\s"']+))+/g)].map(([word]) =>
    word.replace(/["']/g, ''),
  );
}

function withoutNewline(text: string): string {
  return text.replace(/\r?\n$/, '');
}
