/** A chain of four images for jobs that move data between them. */
import type { BlockBackend } from '../../host/block/backend.ts';
import type { BlockNode } from '../../host/block/node.ts';
import type { ArrayDisk } from '../support/array-driver.ts';
import { kib, mib } from '../support/units.ts';
import { World } from './world.ts';

export interface Chain {
  world: World;
  nodes: BlockNode[];
  disks: ArrayDisk[];
  guest: BlockBackend;
}

/** n0: 1 MiB of 1; n1: 512 KiB of 2 from 512 KiB; n2: 64 KiB of 3 from 2 MiB; n3: nothing. */
export async function chain({ baseBytes = 4 * mib } = {}): Promise<Chain> {
  const world = new World();
  const nodes: BlockNode[] = [];
  const disks: ArrayDisk[] = [];
  const fills = [
    { offset: 0, bytes: mib, value: 1 },
    { offset: 512 * kib, bytes: 512 * kib, value: 2 },
    { offset: 2 * mib, bytes: 64 * kib, value: 3 },
  ];
  for (let i = 0; i < 4; i++) {
    const node = await world.image(`n${i}`, i === 0 ? baseBytes : 4 * mib, nodes.at(-1));
    const fill = fills[i];
    if (fill) {
      const user = await world.guest(node);
      await user.write(fill.offset, new Uint8Array(fill.bytes).fill(fill.value));
      await user.close();
    }
    nodes.push(node);
    disks.push(world.disks.at(-1)!); // of the image
  }
  return { world, nodes, disks, guest: await world.guest(nodes[3]!) };
}
