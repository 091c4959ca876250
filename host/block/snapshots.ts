/**
 * Internal snapshots of a node: which node below it has them, finding one, and going back to one.
 *
 * A node whose format has none passes the question to the one child that its data is in, as filters and raw do.
 */
import { exactInteger } from '../base/exact-integer.ts';
import { decodeText } from '../base/text.ts';
import type { BlockNode } from './node.ts';
import type { InternalSnapshot, SnapshotStorage } from './snapshot-storage.ts';

/** The node at or below `node` that stores its snapshots, undefined when there is none. */
export function snapshotNode(node: BlockNode): BlockNode | undefined {
  let found: BlockNode | undefined = node;
  while (found && !found.driver.snapshots) found = onlyDataChild(found);
  return found;
}

/** A snapshot of all of a node is one of its only child but the backing file. */
function onlyDataChild(node: BlockNode): BlockNode | undefined {
  const children = [...node.children.values()].filter(({ role }) => role !== 'cow');
  return children.length === 1 ? children[0]?.node : undefined;
}

/** What is given must match: the first with both, or with the one given. */
export function findSnapshot(
  storage: SnapshotStorage,
  { id, name }: { id?: string | undefined; name?: string | undefined },
): InternalSnapshot | undefined {
  return storage
    .list()
    .find(
      (snapshot) =>
        (id === undefined || snapshot.id === id) && (name === undefined || snapshot.name === name),
    );
}

/** By id, else by name: how `qemu-img snapshot -a` and HMP understand their argument. */
export function findSnapshotByIdOrName(storage: SnapshotStorage, text: string): InternalSnapshot | undefined {
  return findSnapshot(storage, { id: text }) ?? findSnapshot(storage, { name: text });
}

const maxNameBytes = 255;

/** A name as QEMU would take it: what is longer than 255 bytes is cut. */
export function snapshotNameOf(text: string): string {
  const bytes = new TextEncoder().encode(text);
  if (bytes.length <= maxNameBytes) return text;
  let end = maxNameBytes;
  // Not within a character, of which there is a first byte.
  while ((bytes[end]! & 0xc0) === 0x80) end--;
  return decodeText(bytes.subarray(0, end));
}

/** SnapshotInfo, in QEMU's order of members. Those beyond 2^53 are bigints. */
export interface SnapshotInfo {
  icount?: number | bigint;
  'vm-clock-nsec': number;
  name: string;
  'date-sec': number;
  'date-nsec': number;
  'vm-clock-sec': number;
  id: string;
  'vm-state-size': number | bigint;
}

export function describeSnapshot(snapshot: InternalSnapshot): SnapshotInfo {
  return {
    ...(snapshot.icount === undefined ? {} : { icount: exactInteger(snapshot.icount) }),
    'vm-clock-nsec': Number(snapshot.vmClockNs % 1_000_000_000n),
    name: snapshot.name,
    'date-sec': snapshot.dateSeconds,
    'date-nsec': snapshot.dateNanoseconds,
    'vm-clock-sec': Number(snapshot.vmClockNs / 1_000_000_000n),
    id: snapshot.id,
    'vm-state-size': exactInteger(snapshot.vmStateBytes),
  };
}

/**
 * Takes a drained node back to a snapshot of `node` or of the node below that has it; lengths follow. Errors as of
 * `SnapshotStorage.apply`, and whoever forbids resizing the node.
 */
export async function applySnapshot(node: BlockNode, snapshot: InternalSnapshot): Promise<void> {
  await withSnapshots(node, (storage) => storage.apply(snapshot));
  // Whatever is done next, what was read before is no longer there.
  node.writeGeneration++;
}

/** Shows a read-only node as it was in a snapshot, until it is closed. */
export function viewSnapshot(node: BlockNode, snapshot: InternalSnapshot): Promise<void> {
  return withSnapshots(node, (storage) => storage.view(snapshot));
}

async function withSnapshots(
  node: BlockNode,
  act: (storage: SnapshotStorage) => Promise<void>,
): Promise<void> {
  const holder = snapshotNode(node)!; // whoever has found a snapshot has found it
  try {
    await act(holder.driver.snapshots!);
  } finally {
    await holder.refreshLength();
  }
}
