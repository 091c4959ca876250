/** The end of every backup: its snapshot, and what is said of it. */
import { identity } from '../../platform/node/identity.ts';
import { versionInfo } from '../../qmp/version.ts';
import { type BackedUpDisk, putMachine } from '../../store/machine.ts';
import type { Repository } from '../../store/repository.ts';
import type { RepositoryWriter } from '../../store/repository-writer.ts';
import { formatSize } from '../shared/human-size.ts';

/** `time`: of the instant, RFC 3339. */
export async function putSnapshot(
  repository: Repository,
  writer: RepositoryWriter,
  machine: string,
  disks: readonly BackedUpDisk[],
  time?: string,
): Promise<string> {
  const id = await putMachine(repository, writer, machine, disks, {
    username: identity().username,
    program: `blockyard ${versionInfo.package}`,
    ...(time === undefined ? {} : { time }),
  });
  const { newBytes, reusedBytes, storedBytes } = writer.statistics;
  return `snapshot ${id.slice(0, 8)}: ${formatSize(newBytes)} new, ${formatSize(reusedBytes)} known, ${formatSize(storedBytes)} stored\n`;
}
