/** Opens a page in the user's browser, by what each system has for that. */
import { type ChildProcess, spawn } from 'node:child_process';
import { fromSystemError } from '../../platform/node/errors.ts';

const openers: Readonly<Partial<Record<NodeJS.Platform, readonly [string, ...string[]]>>> = {
  darwin: ['open'],
  // Its first argument in quotes would be the title of a window.
  win32: ['cmd', '/c', 'start', ''],
};

/** `report` hears why it did not work, if so. */
export function openBrowser(url: string, report: (message: string) => void): void {
  const [command, ...words] = openers[process.platform] ?? ['xdg-open'];
  const failed = (why: string): void => report(`cannot open a browser: ${command}: ${why}`);
  let child: ChildProcess;
  try {
    child = spawn(command, [...words, url], { detached: true, stdio: 'ignore' });
  } catch (error) {
    failed(fromSystemError(error).message);
    return;
  }
  child.on('error', ({ message }) => failed(message));
  child.on('exit', (status) => {
    if (status !== 0 && status !== null) failed(`exit status ${status}`);
  });
  child.unref();
}
