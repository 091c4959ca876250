/** The actions a `transaction` may have, one line each. */
import { array, enumeration, optional, type StructType, struct, type UnionType } from '../../qapi/types.ts';
import { abort } from './abort.ts';
import type { ActionDefinition } from './action.ts';
import { blockDirtyBitmapAdd } from './block-dirty-bitmap-add.ts';
import { blockDirtyBitmapClear } from './block-dirty-bitmap-clear.ts';
import { blockDirtyBitmapDisable } from './block-dirty-bitmap-disable.ts';
import { blockDirtyBitmapEnable } from './block-dirty-bitmap-enable.ts';
import { blockDirtyBitmapMerge } from './block-dirty-bitmap-merge.ts';
import { blockDirtyBitmapRemove } from './block-dirty-bitmap-remove.ts';
import { blockdevBackup } from './blockdev-backup.ts';
import { blockdevSnapshot } from './blockdev-snapshot.ts';
import { blockdevSnapshotInternalSync } from './blockdev-snapshot-internal-sync.ts';
import { blockdevSnapshotSync } from './blockdev-snapshot-sync.ts';
import { driveBackup } from './drive-backup.ts';

export const actions: readonly ActionDefinition[] = [
  abort,
  blockDirtyBitmapAdd,
  blockDirtyBitmapClear,
  blockDirtyBitmapDisable,
  blockDirtyBitmapEnable,
  blockDirtyBitmapMerge,
  blockDirtyBitmapRemove,
  blockdevBackup,
  blockdevSnapshot,
  blockdevSnapshotInternalSync,
  blockdevSnapshotSync,
  driveBackup,
].map(
  // The data was checked against the very definition it is given to.
  (definition) => definition as unknown as ActionDefinition,
);

const kinds = enumeration(
  'TransactionActionKind',
  actions.map((action) => action.type),
);

/** One element of `actions`: a type and the data that goes with it. */
const transactionAction: UnionType<{ type: string; data: object }> = {
  kind: 'union',
  name: 'TransactionAction',
  base: struct('TransactionActionBase', { type: kinds }) as StructType,
  discriminator: 'type',
  branches: () =>
    Object.fromEntries(
      actions.map(({ type, data }) => [type, struct(`${data.name}Wrapper`, { data }) as StructType]),
    ),
};

export const transactionArguments = struct('TransactionArguments', {
  actions: array(transactionAction),
  properties: optional(
    struct('TransactionProperties', {
      'completion-mode': optional(enumeration('ActionCompletionMode', ['individual', 'grouped'])),
    }),
  ),
});
