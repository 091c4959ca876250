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

/** Those of every subcommand. */
export const repositorySpecs: readonly OptionSpec[] = [
  common.repository,
  common.passwordFile,
  { short: 'o', long: 'option', argument: true },
];

/** Which repository is meant, by options and environment. */
export class RepositoryOptions {
  private name = process.env['RESTIC_REPOSITORY'];
  private passwordFile: string | undefined;
  private readonly ofStore = new Map<string, string>();
  private wrong: string | undefined;
  private reading: Promise<string> | undefined;

  /** Whether the option was one of these. */
  take({ name, value }: ParsedOption): boolean {
    if (name === common.repository.long) this.name = value;
    else if (name === common.passwordFile.long) this.passwordFile = value;
    else if (name === 'option') this.takeOfStore(value);
    else return false;
    return true;
  }

  private takeOfStore(text: string): void {
    const [, name, value] = /^([^=]+)=(.*)$/.exec(text) ?? [];
    if (name === undefined || value === undefined) this.wrong = text;
    else this.ofStore.set(name, value);
  }

  async init(tool: Tool): Promise<Repository> {
    const { platform, store } = await this.place(tool);
    const password = await this.password(tool);
    return tool.attempt(() => Repository.init(platform, store, password, identity()), {
      context: 'Could not make a repository',
    });
  }

  async open(tool: Tool): Promise<Repository> {
    const { platform, store } = await this.place(tool);
    const password = await this.password(tool);
    return tool.attempt(() => Repository.open(platform, store, password), {
      context: `Could not open '${store.location}'`,
    });
  }

  /** Asked for once, whoever wants it. */
  password(tool: Tool): Promise<string> {
    this.reading ??= readPassword(tool, this.passwordFile);
    return this.reading;
  }

  /** As the driver `store` takes it. */
  repositoryName(tool: Tool): string {
    return this.name || tool.failUsage('No repository: use -r, or RESTIC_REPOSITORY');
  }

  private async place(tool: Tool): Promise<{ platform: RepositoryPlatform; store: ObjectStore }> {
    const name = this.repositoryName(tool);
    if (this.wrong !== undefined) return tool.failUsage(`-o expects NAME=VALUE, not '${this.wrong}'`);
    const platform = await tool.platform();
    const store = await tool.attempt(() => openStore(name, platform, this.ofStore));
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
