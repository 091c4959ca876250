/**
 * What monitors of programs can do that reach repositories, which pages do not: x-store-backup, as a command and in a transaction, and what
 * queries tell of such jobs.
 */
import type { Job } from '../jobs/job.ts';
import type { StoreBackupOptions } from '../jobs/store-backup/options.ts';
import type { StoreBackupDriver } from '../jobs/store-backup/store-backup.ts';
import {
  array,
  empty,
  enumeration,
  extend,
  optional,
  size,
  str,
  struct,
  type TypeOf,
  type UnionType,
} from '../qapi/types.ts';
import type { ActionDefinition, BlockServices } from './actions/action.ts';
import { actions, transactionArguments } from './actions/index.ts';
import { openStoreBackup, storeBackup } from './actions/x-store-backup.ts';
import { type AnyCommand, defineCommand } from './command.ts';
import { blockJobInfo, blockJobInfoType, jobInfo, jobInfoType } from './job-info.ts';
import { runTransaction } from './transaction.ts';

interface Given {
  readonly type: string;
  readonly data: object;
}

/** As `runTransaction`; repositories are opened before anything is brought to rest. */
async function runWithRepositories(
  services: BlockServices,
  given: readonly Given[],
  mode?: 'individual' | 'grouped',
): Promise<void> {
  const opened: { giveUp(): Promise<void> }[] = [];
  try {
    const planned = [];
    for (const { type, data } of given) {
      if (type === storeBackup.type) {
        const backup = await openStoreBackup(services, data as StoreBackupOptions);
        opened.push(backup);
        planned.push({ definition: backup.definition as unknown as ActionDefinition, data });
      } else {
        const definition = actions.find((action) => action.type === type)!; // the type was checked against these
        planned.push({ definition, data });
      }
    }
    await runTransaction(services, planned, mode);
  } catch (error) {
    for (const backup of opened) await backup.giveUp();
    throw error;
  }
}

const xStoreBackup = defineCommand({
  name: storeBackup.type,
  args: storeBackup.data,
  async run(context, data) {
    await runWithRepositories(context, [{ type: storeBackup.type, data }]);
    return {};
  },
});

/** The same arguments, in which one more action may stand. */
function withBackups(args: typeof transactionArguments): typeof transactionArguments {
  const members = args.members.map((member) =>
    member.type.kind === 'array'
      ? { ...member, type: array(actionOrBackup(member.type.element as UnionType)) }
      : member,
  );
  return { ...args, members };
}

function actionOrBackup(action: UnionType): UnionType {
  const { type, data } = storeBackup;
  const kinds = enumeration('TransactionActionKind', [...actions.map((known) => known.type), type]);
  return {
    ...action,
    base: struct('TransactionActionBase', { type: kinds }),
    branches: () => ({ ...action.branches(), [type]: struct('StoreBackupWrapper', { data }) }),
  };
}

const transaction = defineCommand({
  name: 'transaction',
  args: withBackups(transactionArguments),
  async run(context, { actions: given, properties }) {
    await runWithRepositories(context, given, properties?.['completion-mode']);
    return {};
  },
});

/** Bytes so far. */
const storedType = struct('StoreBackupInfo', {
  /** Of chunks that were not in the repository, and that were, as they are on the disks. */
  'new-bytes': size,
  'reused-bytes': size,
  /** Written to the repository. */
  'stored-bytes': size,
  /** Once there is one. */
  snapshot: optional(str),
});

const withStored = struct('JobStored', { 'x-store': optional(storedType) });

function storedOf({ driver }: Job): { 'x-store'?: TypeOf<typeof storedType> } {
  if (!('stored' in driver)) return {};
  const { newBytes, reusedBytes, storedBytes, snapshot } = (driver as StoreBackupDriver).stored;
  return {
    'x-store': {
      ...{ 'new-bytes': newBytes, 'reused-bytes': reusedBytes, 'stored-bytes': storedBytes },
      ...(snapshot === undefined ? {} : { snapshot }),
    },
  };
}

const queryJobs = defineCommand({
  name: 'query-jobs',
  args: empty,
  returns: array(extend('JobInfo', jobInfoType, withStored)),
  run: ({ jobs }) => jobs.list().map((job) => ({ ...jobInfo(job), ...storedOf(job) })),
});

const queryBlockJobs = defineCommand({
  name: 'query-block-jobs',
  args: empty,
  returns: array({
    ...blockJobInfoType,
    base: extend('BlockJobInfoBase', blockJobInfoType.base, withStored),
  }),
  run: ({ jobs }) =>
    jobs
      .list()
      .filter((job) => job.driver.isBlockJob)
      .map((job) => ({ ...blockJobInfo(job), ...storedOf(job) })),
});

const replaced: ReadonlyMap<string, AnyCommand> = new Map(
  [transaction, queryJobs, queryBlockJobs].map((command) => [command.name, command as unknown as AnyCommand]),
);

export function withRepositories(commands: readonly AnyCommand[]): readonly AnyCommand[] {
  return [
    ...commands.map((command) => replaced.get(command.name) ?? command),
    xStoreBackup as unknown as AnyCommand,
  ];
}
