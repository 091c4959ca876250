/** What is said of a disk of which not all was read. */
import type { BackedUpDisk } from '../../store/machine.ts';
import { formatSize } from '../shared/human-size.ts';

export function readLine({ name, size, parent }: Omit<BackedUpDisk, 'content'>, readBytes: number): string {
  const since = parent ? `written since ${parent.snapshot.slice(0, 8)}` : 'all';
  return `${name}: read ${formatSize(readBytes)} of ${formatSize(size)}, ${since}\n`;
}
