/** blockdev-backup: a backup to a node that is there already. */
import { backupCommon } from '../../jobs/backup/options.ts';
import { extend, str, struct, type TypeOf } from '../../qapi/types.ts';
import { defineAction } from './action.ts';
import { BackupAction } from './backup-action.ts';

const blockdevBackupData = extend(
  'BlockdevBackup',
  backupCommon,
  struct('BlockdevBackupOwn', { target: str }),
);

class BlockdevBackupAction extends BackupAction<TypeOf<typeof blockdevBackupData>> {
  async prepare(): Promise<void> {
    const { graph } = this.context;
    const { device, target } = this.options;
    const source = graph.lookup(device, device);
    await this.createJob(source, graph.lookup(target, target), this.options);
  }
}

export const blockdevBackup = defineAction({
  type: 'blockdev-backup',
  data: blockdevBackupData,
  supportsGrouped: true,
  create: (context, data) => new BlockdevBackupAction(context, data),
});
