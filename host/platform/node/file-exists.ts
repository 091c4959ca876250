/** Whether there is a file that is used when it is there. One that Node's permission model hides is not. */
import { existsSync } from 'node:fs';
import { fromDenial } from './errors.ts';

export function fileExists(path: string): boolean {
  try {
    return existsSync(path);
  } catch (error) {
    if (fromDenial(error)) return false;
    throw error;
  }
}
