/**
 * drive-backup: a backup to a file, which is made first unless it exists (specification: transactions, section 4).
 */
import { withoutUndefined } from '../../base/without-undefined.ts';
import type { BlockGraph } from '../../block/graph.ts';
import type { BlockNode } from '../../block/node.ts';
import { backupCommon } from '../../jobs/backup/options.ts';
import { extend, optional, str, struct, type TypeOf } from '../../qapi/types.ts';
import { createImageLike, newImageMode } from '../new-image.ts';
import { defineAction } from './action.ts';
import { BackupAction } from './backup-action.ts';

const driveBackupData = extend(
  'DriveBackup',
  backupCommon,
  struct('DriveBackupOwn', {
    target: str,
    format: optional(str),
    mode: optional(newImageMode),
  }),
);

type DriveBackup = TypeOf<typeof driveBackupData>;

class DriveBackupAction extends BackupAction<DriveBackup> {
  async prepare(): Promise<void> {
    const { graph } = this.context;
    const { options } = this;
    const source = graph.lookup(options.device, options.device);
    const mode = options.mode ?? 'absolute-paths';
    const format = options.format ?? (mode === 'existing' ? undefined : source.definition.name);
    source.opBlockers.check('backup-source');
    let { sync } = options;
    let backing: BlockNode | undefined;
    if (sync === 'top') {
      backing = source.skipFilters().backing();
      if (!backing) sync = 'full';
    } else if (sync === 'none') {
      backing = source;
    }
    if (mode !== 'existing') {
      await createImageLike(graph, { filename: options.target, format, source, backing });
    }
    const target = await openTarget(graph, options.target, format, source, sync === 'none');
    try {
      if (sync === 'none') await graph.attachChild(target, source, 'backing', 'cow');
      await this.createJob(source, target, { ...options, sync });
    } finally {
      // The job has its own references.
      await graph.unref(target);
    }
  }
}

/** As the source is open, but for writing, and so that runs of zeros take no space. */
function openTarget(
  graph: BlockGraph,
  filename: string,
  format: string | undefined,
  source: BlockNode,
  noBacking: boolean,
): Promise<BlockNode> {
  const { direct, noFlush, autoReadOnly } = source.flags;
  return graph.openFile(filename, {
    ...withoutUndefined({ format }),
    flags: { direct, noFlush, autoReadOnly, readOnly: false, discard: true, detectZeroes: 'unmap' },
    noBacking,
  });
}

export const driveBackup = defineAction({
  type: 'drive-backup',
  data: driveBackupData,
  supportsGrouped: true,
  create: (context, data) => new DriveBackupAction(context, data),
});
