/** Secrets that are text: passwords, keys. */
import { BlockError, invalid } from '../base/errors.ts';

/** The end of a line is none of it, as in files of passwords that other programs read. Errors: there is no such secret; it is no text. */
export function secretText(secrets: { secret(id: string): Uint8Array }, id: string): string {
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(secrets.secret(id)).replace(/\r?\n$/, '');
  } catch (error) {
    throw error instanceof BlockError ? error : invalid(`Secret '${id}' is not UTF-8`);
  }
}
