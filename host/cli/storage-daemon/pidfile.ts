/** `--pidfile`: says who we are while we run. Nobody is kept from replacing it: it is not locked. */
import * as fs from 'node:fs';
import { resolve } from 'node:path';
import { systemError } from '../chardev/file.ts';

/** Gives the path that stays right when the process changes its directory. Errors: BlockError. */
export function writePidfile(path: string): string {
  try {
    fs.writeFileSync(path, `${process.pid}\n`, { mode: 0o600 });
    return resolve(path);
  } catch (error) {
    throw systemError(error, `cannot create PID file: Could not create '${path}'`);
  }
}

export function removePidfile(path: string): void {
  fs.rmSync(path, { force: true });
}
