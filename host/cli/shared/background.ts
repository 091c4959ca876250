/**
 * `--daemonize`: the parent starts the same command line again, waits until that is ready, and leaves. The child prints
 * what goes wrong until then to the parent's terminal, and lets go of it when it is ready.
 */
import { spawn } from 'node:child_process';
import * as fs from 'node:fs';
import { internalErrorStatus } from './internal-error.ts';

/** Tells the child that it is the one that stays. */
const marker = 'BLOCKYARD_IN_BACKGROUND';

export function isBackgroundProcess(): boolean {
  return process.env[marker] === '1' && process.send !== undefined;
}

/** The exit status for the parent: 0 when the child is ready, 1 when it gave up, 70 when that was a bug. */
export function startInBackground(): Promise<number> {
  const child = spawn(process.execPath, [...process.execArgv, ...process.argv.slice(1)], {
    detached: true,
    stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
    env: { ...process.env, [marker]: '1' },
  });
  return new Promise((resolve, reject) => {
    child.on('error', reject);
    child.on('exit', (status) => resolve(status === internalErrorStatus ? status : 1));
    child.on('message', () => {
      child.removeAllListeners();
      child.disconnect();
      child.unref();
      resolve(0);
    });
  });
}

/** In the child: lets the parent go, and everything that holds on to where we were started. */
export async function detach(): Promise<void> {
  await new Promise<void>((resolve) => process.send!('ready', () => resolve())); // it was started with a channel
  if (process.connected) process.disconnect();
  process.chdir('/');
  for (const fd of [1, 2]) {
    fs.closeSync(fd);
    // The lowest free number is the one just closed.
    fs.openSync('/dev/null', 'r+');
  }
}
