/** What the subcommands of `backup` share: which repository, and what opens it. */
import { hostname, userInfo } from 'node:os';
import { LocalStore } from '../../store/local-store.ts';
import type { Holder } from '../../store/lock.ts';
import { RepositoryLock } from '../../store/lock.ts';
import type { ObjectStore } from '../../store/object-store.ts';
import { Repository, type RepositoryPlatform, repositoryPlatform } from '../../store/repository.ts';
import type { OptionSpec, ParsedOption } from '../shared/getopt.ts';
import type { Tool } from '../shared/tool.ts';
import { readPassword } from './password.ts';

export const common = {
  repository: { short: 'r', long: 'repo', argument: true },
  passwordFile: { long: 'password-file', argument: true },
  machine: { long: 'machine', argument: true },
} as const satisfies Record<string, OptionSpec>;

/** Schemes of restic that are not served here: a name like that is no folder. */
const otherSchemes = /^(s3|rest|sftp|b2|azure|gs|swift|rclone):/;

/** Which repository is meant, by options and environment. */
export class RepositoryOptions {
  private name = process.env['RESTIC_REPOSITORY'];
  private passwordFile: string | undefined;

  /** Whether the option was one of these. */
  take({ name, value }: ParsedOption): boolean {
    if (name === common.repository.long) this.name = value;
    else if (name === common.passwordFile.long) this.passwordFile = value;
    else return false;
    return true;
  }

  async init(tool: Tool): Promise<Repository> {
    const { platform, store } = await this.place(tool);
    const password = await readPassword(tool, this.passwordFile);
    return tool.attempt(() => Repository.init(platform, store, password, holder()), {
      context: 'Could not make a repository',
    });
  }

  async open(tool: Tool): Promise<Repository> {
    const { platform, store } = await this.place(tool);
    const password = await readPassword(tool, this.passwordFile);
    return tool.attempt(() => Repository.open(platform, store, password), {
      context: `Could not open '${store.location}'`,
    });
  }

  private async place(tool: Tool): Promise<{ platform: RepositoryPlatform; store: ObjectStore }> {
    const { name } = this;
    if (name === undefined || name === '')
      return tool.failUsage('No repository: use -r, or RESTIC_REPOSITORY');
    const scheme = otherSchemes.exec(name)?.[1];
    if (scheme !== undefined) return tool.fail(`'${name}': repositories by ${scheme} are not supported`);
    const platform = await tool.platform();
    const { files, folders } = platform;
    const path = name.replace(/^local:/, '').replace(/(?<=.)\/+$/, '');
    return { platform: repositoryPlatform(platform), store: new LocalStore(path, files, folders!) }; // Node has them
  }
}

/** Whose locks and snapshots these are. */
export function holder(): Holder {
  return { username: username(), hostname: hostname(), pid: process.pid };
}

function username(): string {
  try {
    return userInfo().username;
  } catch {
    // Nobody in the list of users has our number.
    return String(process.getuid?.() ?? '');
  }
}

/** Holds a lock while `act` runs, so that nobody removes what it needs. */
export async function withLock<T>(
  tool: Tool,
  repository: Repository,
  act: (lock: RepositoryLock) => Promise<T>,
): Promise<T> {
  const lock = await tool.attempt(() => RepositoryLock.take(repository, holder()));
  try {
    return await act(lock);
  } finally {
    await lock.release();
  }
}
