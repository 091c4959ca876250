/** `--pidfile`: says who we are while we run. Nobody is kept from replacing it: it is not locked. */
import * as fs from 'node:fs';
import { systemError } from '../chardev/file.ts';

/** Errors: BlockError. */
export function writePidfile(path: string): void {
  try {
    fs.writeFileSync(path, `${process.pid}\n`, { mode: 0o600 });
  } catch (error) {
    throw systemError(error, `cannot create PID file: Could not create '${path}'`);
  }
}

export function removePidfile(path: string): void {
  fs.rmSync(path, { force: true });
}
