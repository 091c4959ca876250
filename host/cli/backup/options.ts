/** What the subcommands of `backup` share: which repository, and what opens it. */
import { identity } from '../../platform/node/identity.ts';
import { RepositoryLock } from '../../store/lock.ts';
import type { ObjectStore } from '../../store/object-store.ts';
import { openStore } from '../../store/open-store.ts';
import { Repository, type RepositoryPlatform, repositoryPlatform } from '../../store/repository.ts';
import type { OptionSpec, ParsedOption } from '../shared/getopt.ts';
import type { Tool } from '../shared/tool.ts';
import { readPassword } from './password.ts';

export const common = {
  repository: { short: 'r', long: 'repo', argument: true },
  passwordFile: { long: 'password-file', argument: true },
  machine: { long: 'machine', argument: true },
} as const satisfies Record<string, OptionSpec>;

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
    return tool.attempt(() => Repository.init(platform, store, password, identity()), {
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
    const platform = await tool.platform();
    const store = await tool.attempt(async () => openStore(name, platform));
    return { platform: repositoryPlatform(platform), store };
  }
}

/** Holds a lock while `act` runs, so that nobody removes what it needs. */
export async function withLock<T>(
  tool: Tool,
  repository: Repository,
  act: (lock: RepositoryLock) => Promise<T>,
): Promise<T> {
  const lock = await tool.attempt(() => RepositoryLock.take(repository, identity()));
  try {
    return await act(lock);
  } finally {
    await lock.release();
  }
}
