/**
 * Backups of several disks at one instant: new images, one job for each, all begun by one transaction. All of them
 * succeed or none does.
 */
import { BlockError } from '../base/errors.ts';
import type { JsonObject } from '../qapi/json-value.ts';
import { formatFile, nodeInfo } from './images.ts';
import { type JobEnd, type Monitor, watchBlockJob } from './jobs.ts';
import type { Calls } from './rpc.ts';
import type { ServiceFunctions } from './service.ts';

/** What is backed up at one instant, and how fast. */
export interface BackupPlan {
  /** By node. */
  readonly disks: Readonly<Record<string, DiskBackup>>;
  /** Bytes per second and disk; 0 or absent: as fast as it goes. */
  readonly speed?: number;
}

/** Where the copy of one disk goes, and whether it is of all or of what has changed. */
export interface DiskBackup {
  /** File to be made. */
  readonly target: string;
  /** Default: `qcow2`. */
  readonly format?: 'qcow2' | 'raw';
  /** Name of a dirty bitmap. A full backup begins it (it is kept in the image), an incremental one goes by it. */
  readonly bitmap?: string;
  /** The file of the backup before: copies only what the bitmap says has changed since. */
  readonly since?: string;
}

/** A backup whose instant is over, and whose copying goes on. */
export interface Backup {
  /** Ids of the jobs, for `query-jobs`, `block-job-set-speed` and the rest, in the order of the disks. */
  readonly jobs: readonly string[];
  /** Settles when all copies are complete and closed. Rejects, and leaves no file, when one has failed. */
  readonly done: Promise<void>;
  /** Ends it: `done` rejects. */
  cancel(): Promise<void>;
}

interface Target {
  readonly disk: string;
  readonly job: string;
  readonly node: string;
  readonly backup: DiskBackup;
}

export async function startBackup(
  monitor: Monitor,
  calls: Calls<ServiceFunctions>,
  { fileDriver }: { readonly fileDriver: string },
  { disks, speed = 0 }: BackupPlan,
): Promise<Backup> {
  const number = monitor.nextNumber('backup');
  const targets = Object.entries(disks).map(([disk, backup], i) => ({
    disk,
    backup,
    job: `backup-${number}-${i}`,
    node: `backup-target-${number}-${i}`,
  }));
  const made: Target[] = [];
  let hasBegun = false;
  const undo = async (): Promise<void> => {
    for (const { disk, node, backup } of made) {
      await monitor.qmp('blockdev-del', { 'node-name': node }).catch(() => {});
      await calls.call('removeFile', { path: backup.target }).catch(() => {});
      const { bitmap } = backup;
      if (!hasBegun || !beginsBitmap(backup)) continue;
      await monitor.qmp('block-dirty-bitmap-remove', { node: disk, name: bitmap }).catch(() => {});
    }
  };
  const watched = targets.map(({ job }) => watchBlockJob(monitor, job));
  try {
    for (const target of targets) {
      if (await calls.call('fileExists', { path: target.backup.target })) {
        throw new BlockError('EEXIST', `'${target.backup.target}' exists`);
      }
      made.push(target);
      await makeTarget(monitor, fileDriver, target);
    }
    await monitor.qmp('transaction', {
      // A bitmap that is only begun has no part in a group; then it is `finish` that ends all when one fails.
      ...(targets.some(({ backup }) => beginsBitmap(backup))
        ? {}
        : { properties: { 'completion-mode': 'grouped' } }),
      actions: targets.flatMap((target) => actionsOf(target, speed)),
    });
    hasBegun = true;
  } catch (error) {
    for (const { end } of watched) end();
    await undo();
    throw error;
  }
  const done = finish(monitor, targets, watched, undo);
  done.catch(() => {}); // whoever does not wait for it is told by events
  return {
    jobs: targets.map(({ job }) => job),
    done,
    async cancel() {
      await cancelAll(monitor, targets);
      await done.catch(() => {});
    },
  };
}

async function cancelAll(monitor: Monitor, targets: readonly Target[]): Promise<void> {
  // Those that are over by now are not there any more.
  for (const { job } of targets) await monitor.qmp('job-cancel', { id: job }).catch(() => {});
}

function beginsBitmap({ bitmap, since }: DiskBackup): boolean {
  return bitmap !== undefined && since === undefined;
}

async function finish(
  monitor: Monitor,
  targets: readonly Target[],
  watched: readonly { gone: Promise<JobEnd> }[],
  undo: () => Promise<void>,
): Promise<void> {
  const ends = await Promise.all(
    watched.map(async ({ gone }, index) => {
      const end = await gone;
      if (end.outcome !== 'completed') await cancelAll(monitor, targets);
      return { ...end, disk: targets[index]!.disk }; // each target is watched
    }),
  );
  // When one fails the others are cancelled: it is the one that has something to tell.
  const failed = ends.find(({ outcome }) => outcome === 'failed');
  const unfinished = failed ?? ends.find(({ outcome }) => outcome === 'cancelled');
  if (unfinished) {
    await undo();
    const why = unfinished.outcome === 'failed' ? unfinished.error : 'The backup was cancelled';
    throw new Error(`Backup of '${unfinished.disk}': ${why}`);
  }
  for (const { node } of targets) await monitor.qmp('blockdev-del', { 'node-name': node });
}

async function makeTarget(
  monitor: Monitor,
  fileDriver: string,
  { disk, node, backup }: Target,
): Promise<void> {
  const { target, format = 'qcow2', since } = backup;
  if (since !== undefined && format === 'raw')
    throw new Error('An incremental backup needs the format qcow2');
  const size = (await nodeInfo(monitor, disk)).image['virtual-size'];
  const backing: JsonObject = since === undefined ? {} : { 'backing-file': since, 'backing-fmt': 'qcow2' };
  await formatFile(monitor, fileDriver, target, { driver: format, size, ...backing });
  await monitor.qmp('blockdev-add', {
    driver: format,
    'node-name': node,
    file: { driver: fileDriver, filename: target },
    ...(format === 'qcow2' ? { backing: null } : {}),
  });
}

function actionsOf({ disk, job, node, backup }: Target, speed: number): JsonObject[] {
  const { bitmap, since } = backup;
  const copy: JsonObject = { 'job-id': job, device: disk, target: node, speed };
  if (since === undefined) {
    const begin: JsonObject[] =
      bitmap === undefined
        ? []
        : [{ type: 'block-dirty-bitmap-add', data: { node: disk, name: bitmap, persistent: true } }];
    return [...begin, { type: 'blockdev-backup', data: { ...copy, sync: 'full' } }];
  }
  if (bitmap === undefined) throw new Error('An incremental backup needs a bitmap');
  return [{ type: 'blockdev-backup', data: { ...copy, sync: 'incremental', bitmap } }];
}
