/** A chain of four images, and the two jobs that move data between its layers: stream and intermediate commit. */
import type { BlockBackend } from '../../host/block/backend.ts';
import type { BlockNode } from '../../host/block/node.ts';
import { type CommitParams, startCommit } from '../../host/jobs/commit/commit.ts';
import type { Job } from '../../host/jobs/job.ts';
import { type StreamParams, startStream } from '../../host/jobs/stream/stream.ts';
import type { ArrayDisk } from '../support/array-driver.ts';
import { kib, mib } from '../support/units.ts';
import { jobEvent, statuses, World } from './world.ts';

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
  const contents = [
    { offset: 0, bytes: mib, value: 1 },
    { offset: 512 * kib, bytes: 512 * kib, value: 2 },
    { offset: 2 * mib, bytes: 64 * kib, value: 3 },
    undefined,
  ];
  for (const [i, content] of contents.entries()) {
    nodes.push(await world.image(`n${i}`, i === 0 ? baseBytes : 4 * mib, nodes.at(-1), content));
    disks.push(world.disks.at(-1)!); // of the image
  }
  return { world, nodes, disks, guest: await world.guest(nodes[3]!) };
}

/** A commit of all that lies between the top and the base. */
export function commit({ world, nodes }: Chain, more: Partial<CommitParams> = {}): Promise<Job> {
  return startCommit(world.graph, world.jobs, {
    ...defaults,
    device: nodes[3]!,
    top: nodes[2]!,
    base: nodes[0]!,
    ...more,
  });
}

/** A stream of the whole chain into the top. */
export function stream({ world, nodes }: Chain, more: Partial<StreamParams> = {}): Promise<Job> {
  return startStream(world.graph, world.jobs, {
    ...defaults,
    node: nodes[3]!,
    base: undefined,
    bottom: undefined,
    ...more,
  });
}

const defaults = {
  id: 'j',
  backingFile: undefined,
  onError: 'report',
  speed: undefined,
  filterNodeName: undefined,
  autoFinalize: undefined,
  autoDismiss: undefined,
} as const;

/** What is below each image. */
export function backings({ nodes }: Chain): (string | undefined)[] {
  return nodes.map((node) => node.backing()?.name);
}
export const untouched = [undefined, 'n0', 'n1', 'n2'];

/** What a user reads where only n0, where n1 and where n2 has something: 1, 2 and 3 through the whole chain. */
export async function samples(user: BlockBackend): Promise<(number | undefined)[]> {
  const found: (number | undefined)[] = [];
  for (const offset of [0, mib - 512, 2 * mib]) {
    const buffer = new Uint8Array(512);
    await user.read(offset, buffer);
    found.push(buffer[0]);
  }
  return found;
}

/** The event of the end, of 4 MiB and without an error unless `more` says otherwise. */
export function ended(
  type: 'commit' | 'stream',
  more: { len?: number; offset?: number; error?: string } = {},
): string {
  const { len = 4 * mib, ...rest } = more;
  return jobEvent('COMPLETED', { type, id: 'j', len }, rest);
}

/** What a job says that does all it should. */
export function success(type: 'commit' | 'stream'): string[] {
  return [
    ...statuses('j', 'created', 'running', 'waiting', 'pending'),
    ended(type),
    ...statuses('j', 'concluded', 'null'),
  ];
}
