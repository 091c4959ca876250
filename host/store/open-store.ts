/** Repositories by their names, as restic's users write them: a folder, or a place in an object store. */
import { BlockError, invalid } from '../base/errors.ts';
import { loadPart, type Platform } from '../platform/platform.ts';
import { LocalStore } from './local-store.ts';
import type { ObjectStore } from './object-store.ts';

/** Those of restic that are not served here: a name like that is no folder. */
const otherSchemes = /^(rest|sftp|b2|azure|gs|swift|rclone):/;

/**
 * `options`: what people say beside the name, `s3.region` and the like. Nothing is asked of the store yet. Errors: EINVAL: the name or
 * an option makes no sense; ENOTSUP: of a kind that there is not here; EACCES: there are no credentials for it.
 */
export async function openStore(
  name: string,
  platform: Platform,
  options: ReadonlyMap<string, string> = new Map(),
): Promise<ObjectStore> {
  if (name.startsWith('s3:')) {
    const { S3Store } = await loadPart(platform, () => import('./s3/store.ts'));
    return S3Store.open(name.slice('s3:'.length), platform, options);
  }
  const scheme = otherSchemes.exec(name)?.[1];
  if (scheme !== undefined)
    throw new BlockError('ENOTSUP', `'${name}': repositories by ${scheme} are not supported`);
  for (const option of options.keys())
    throw invalid(`Option '${option}' is not one of a repository in a folder`);
  const { files, folders } = platform;
  if (!folders) throw new BlockError('ENOTSUP', `'${name}': this host has no folders for repositories`);
  return new LocalStore(name.replace(/^local:/, '').replace(/(?<=.)\/+$/, ''), files, folders);
}
