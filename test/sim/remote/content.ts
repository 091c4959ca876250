/** What is in disks of a machine, and where. */
import { bitmapsOf } from '../../../host/bitmaps/node-bitmaps.ts';
import { statusAbove } from '../../../host/block/status.ts';
import { attach, readWrite } from '../../support/attach.ts';
import { kib } from '../../support/units.ts';
import { sleep, succeeds } from './guest.ts';
import type { Machine } from './machines.ts';
import { sectorBytes } from './model.ts';

export const diskBytes = 260 * kib + sectorBytes;

export async function contentOf(machine: Machine, node: string): Promise<Uint8Array> {
  const user = await attach(machine.server.graph.getNode(node), readWrite);
  const content = new Uint8Array(diskBytes);
  // Where it is remote, it may have to be reached again.
  while (!(await succeeds(() => user.read(0, content)))) await sleep(machine, 1e9);
  await user.close();
  return content;
}

/** What the disk's own image holds anything of. */
export async function allocatedSectors(machine: Machine): Promise<Set<number>> {
  const disk = machine.server.graph.getNode('disk');
  const found = new Set<number>();
  for (let at = 0; at < diskBytes; ) {
    const { allocated, bytes } = await statusAbove(disk, disk.backing(), at, diskBytes - at, false);
    if (allocated) for (let done = 0; done < bytes; done += sectorBytes) found.add((at + done) / sectorBytes);
    at += bytes;
  }
  return found;
}

export function dirtySectors(machine: Machine): Set<number> {
  const { bits } = bitmapsOf(machine.server.graph.getNode('disk')).find('bits')!; // it was added
  const dirty = new Set<number>();
  for (let sector = 0; sector * sectorBytes < diskBytes; sector++) {
    if (bits.nextDirty(sector * sectorBytes, sectorBytes) >= 0) dirty.add(sector);
  }
  return dirty;
}
