/**
 * Takes away what runs of backups have made in a daemon, by its name: of this run when it is over, of others that were killed.
 *
 * It asks what there is and takes that, so it need not know how far a run had come, and can be done again.
 */
import { readdirSync, rmdirSync, rmSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { BlockError } from '../../../base/errors.ts';
import { bitmapsIn, nodesOf } from './disks.ts';
import type { LiveMonitor } from './monitor.ts';
import { runOf } from './names.ts';
import { isScratchFile, scratchFolderStart } from './scratch.ts';

type IsMeant = (name: string) => boolean;

/** Errors: what could not be taken away, as the daemon says it. */
export async function takeDown(
  monitor: LiveMonitor,
  isMeant: IsMeant,
  { stopsServer }: { stopsServer: boolean },
): Promise<void> {
  await dropExports(monitor, isMeant);
  if (stopsServer) await monitor.run('nbd-server-stop');
  await dropNodes(monitor, isMeant, 'snapshot-access');
  await dropJobs(monitor, isMeant);
  await dropNodes(monitor, isMeant, undefined);
  for (const node of await nodesOf(monitor))
    for (const { name } of bitmapsIn(node))
      if (isMeant(name)) await dropBitmap(monitor, node['node-name'], name);
}

export async function dropBitmap(monitor: LiveMonitor, node: string, name: string): Promise<void> {
  await monitor.run('block-dirty-bitmap-remove', { node, name });
}

/**
 * What was left by runs that are no more, with their images. Errors: a run is not over yet, which is named; what could not be taken away.
 */
export async function clearLeftovers(monitor: LiveMonitor, ownServer: boolean): Promise<void> {
  const nodes = await nodesOf(monitor);
  const names = nodes.flatMap((node) => [node['node-name'], ...bitmapsIn(node).map(({ name }) => name)]);
  const runs = new Set(names.flatMap((name) => runOf(name) ?? []));
  if (runs.size === 0) return;
  for (const pid of runs)
    if (pid !== process.pid && isAlive(pid))
      throw new BlockError('EBUSY', `${monitor.path}: process ${pid} is backing up these disks`);
  const files = nodes.filter((node) => runOf(node['node-name']) !== undefined).map(({ file }) => file);
  await takeDown(monitor, (name) => runOf(name) !== undefined, { stopsServer: false });
  if (ownServer && (await isServerIdle(monitor)))
    await monitor.runIfKnown('nbd-server-stop').catch(ignoreRefusal);
  for (const file of files) removeScratch(file);
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
}

async function isServerIdle(monitor: LiveMonitor): Promise<boolean> {
  const exports = (await monitor.run('query-block-exports')) as unknown as readonly { type: string }[];
  return !exports.some(({ type }) => type === 'nbd');
}

/** It did not run. */
function ignoreRefusal(error: unknown): void {
  if (!(error instanceof BlockError)) throw error;
}

/** The file is a name that the daemon has told: only what is surely ours goes. */
function removeScratch(file: string): void {
  const folder = dirname(file);
  if (!isScratchFile(basename(file)) || !basename(folder).startsWith(scratchFolderStart)) return;
  try {
    for (const name of readdirSync(folder)) if (isScratchFile(name)) rmSync(join(folder, name));
    rmdirSync(folder);
  } catch {
    // Gone already, or of somebody else: nothing depends on it.
  }
}

async function dropExports(monitor: LiveMonitor, isMeant: IsMeant): Promise<void> {
  const left = async (): Promise<readonly string[]> => {
    const all = (await monitor.run('query-block-exports')) as unknown as readonly { id: string }[];
    return all.map(({ id }) => id).filter(isMeant);
  };
  for (const id of await left()) await monitor.run('block-export-del', { id, mode: 'hard' });
  await monitor.until('an export', async () => (await left()).length === 0);
}

async function dropJobs(monitor: LiveMonitor, isMeant: IsMeant): Promise<void> {
  const left = async (): Promise<readonly { id: string; status: string }[]> => {
    const all = (await monitor.run('query-jobs')) as unknown as readonly { id: string; status: string }[];
    return all.filter(({ id }) => isMeant(id));
  };
  for (const { id, status } of await left())
    if (status !== 'aborting') await monitor.run('job-cancel', { id });
  await monitor.until('a job', async () => (await left()).length === 0);
}

/** `driver`: only nodes of it. */
async function dropNodes(monitor: LiveMonitor, isMeant: IsMeant, driver: string | undefined): Promise<void> {
  for (const { 'node-name': name, drv } of await nodesOf(monitor))
    if (isMeant(name) && (driver === undefined || drv === driver))
      await monitor.run('blockdev-del', { 'node-name': name });
}
