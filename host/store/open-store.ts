/** Repositories by their names, as restic's users write them: a folder. */
import { BlockError } from '../base/errors.ts';
import type { Platform } from '../platform/platform.ts';
import { LocalStore } from './local-store.ts';
import type { ObjectStore } from './object-store.ts';

/** Those of restic that are not served here: a name like that is no folder. */
const otherSchemes = /^(s3|rest|sftp|b2|azure|gs|swift|rclone):/;

/** Nothing is asked of the store yet. Errors: ENOTSUP: of a kind that there is not here. */
export async function openStore(name: string, platform: Platform): Promise<ObjectStore> {
  const scheme = otherSchemes.exec(name)?.[1];
  if (scheme !== undefined)
    throw new BlockError('ENOTSUP', `'${name}': repositories by ${scheme} are not supported`);
  const { files, folders } = platform;
  if (!folders) throw new BlockError('ENOTSUP', `'${name}': this host has no folders for repositories`);
  return new LocalStore(name.replace(/^local:/, '').replace(/(?<=.)\/+$/, ''), files, folders);
}
