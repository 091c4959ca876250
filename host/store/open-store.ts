/** Where a repository is, by its name as restic has it. */
import { BlockError, invalid } from '../base/errors.ts';
import type { Platform } from '../platform/platform.ts';
import { LocalStore } from './local-store.ts';
import type { ObjectStore } from './object-store.ts';

/** Schemes of restic that are not served here: a name like that is no folder. */
const otherSchemes = /^(s3|rest|sftp|b2|azure|gs|swift|rclone):/;

/** Errors: ENOTSUP: nothing of that kind is served here. */
export function openStore(name: string, { files, folders }: Platform): ObjectStore {
  if (name === '') throw invalid('The name of the repository is empty');
  const scheme = otherSchemes.exec(name)?.[1];
  if (scheme !== undefined)
    throw new BlockError('ENOTSUP', `'${name}': repositories by ${scheme} are not supported`);
  if (!folders) throw new BlockError('ENOTSUP', `'${name}': there are no folders here`);
  return new LocalStore(name.replace(/^local:/, '').replace(/(?<=.)\/+$/, ''), files, folders);
}
