/** The files of credentials, read whole. */
import { readFile } from 'node:fs/promises';
import { BlockError } from '../../../base/errors.ts';
import { fromSystemError } from '../errors.ts';

/** Errors: BlockError. */
export async function readCredentials(path: string): Promise<Buffer> {
  try {
    return await readFile(path);
  } catch (error) {
    throw fromSystemError(error).within(`Unable to access credentials ${path}`);
  }
}

/** As `readCredentials`; undefined when there is no such file. */
export async function readOptional(path: string): Promise<Buffer | undefined> {
  try {
    return await readCredentials(path);
  } catch (error) {
    if (error instanceof BlockError && error.errno === 'ENOENT') return undefined;
    throw error;
  }
}
