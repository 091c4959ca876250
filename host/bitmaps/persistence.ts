/**
 * The life of persistent dirty bitmaps (specification: bitmaps, section 5; qcow2, section 6.7).
 *
 * | when                  | writable node                                     | read-only node                     |
 * | --------------------- | ------------------------------------------------- | ---------------------------------- |
 * | it opens              | loaded; what is stored is marked as in use        | loaded as read-only                |
 * | it closes             | stored                                            |                                    |
 * | it becomes read-only  | stored, and read-only from then on                |                                    |
 * | it becomes writable   |                                                   | marked as in use, writable         |
 * | it becomes inactive   | stored, and gone from the node                    | gone from the node                 |
 * | it becomes active     | as when it opens                                  | as when it opens                   |
 *
 * Beyond QEMU: while a writable node has persistent bitmaps, and its image is a plain file, a journal beside the image
 * (journal.ts) keeps them. A bitmap that is found marked is restored from the journal, if that is about the image as it is.
 * Raw images, which have no place for bitmaps, have them in that same file (side-file-storage.ts).
 *
 * A bitmap that was found marked without a journal is inconsistent: it has no bits, is not stored, and stays marked until
 * it is removed. What cannot be stored when a node closes is left to the journal, with a warning.
 *
 * Where bitmaps are stored is the format's affair: block/bitmap-storage.ts.
 */
import { BlockError } from '../base/errors.ts';
import type { BlockGraph } from '../block/graph.ts';
import type { GraphObserver } from '../block/graph-observer.ts';
import type { BlockNode } from '../block/node.ts';
import type { DirtyBitmap } from './dirty-bitmap.ts';
import { BitmapJournal, type JournalSubject } from './journal.ts';
import { bitmapsOf, findBitmap, type NodeBitmaps, nodesWithBitmaps } from './node-bitmaps.ts';
import { type Checkpoint, readSideFile } from './side-file.ts';
import { fillFrom, SideFileStorage } from './side-file-storage.ts';
import { claimSidePaths, releaseSidePaths } from './side-paths.ts';

/** What a command did to bitmaps is durable when this returns, as far as there are journals. Errors: of I/O. */
export async function saveBitmaps(graph: BlockGraph): Promise<void> {
  for (const node of nodesWithBitmaps(graph)) {
    const journal = await journalOf(node);
    const isNeeded = !node.readOnly && journalled(node).length > 0;
    if (journal) await (isNeeded ? journal.save() : journal.stop());
    // A node that goes has been asked already what there is to keep, or will be as it is now.
    else if (isNeeded && !node.isClosing && bitmapsOf(node).sidePaths) await startJournal(node);
  }
}

/** What a graph tells its bitmaps (host/graph.ts). */
export const bitmapKeeper: GraphObserver = {
  nodeOpened: loadAll,

  async nodeClosing(node) {
    const { journal } = bitmapsOf(node);
    try {
      await store(node);
    } catch (error) {
      if (!(error instanceof BlockError)) throw error;
      node.graph.platform.console.error(lostBitmaps(node, error));
      await journal?.save();
    } finally {
      await journal?.leave();
      releaseSidePaths(node);
    }
  },

  async beforeReadOnly(node) {
    for (const bitmap of await store(node)) bitmap.readonly = true;
  },

  async afterWritable(node) {
    if (bitmapsOf(node).storage) await makeWritable(node);
  },

  async beforeInactive(node) {
    const bitmaps = bitmapsOf(node);
    await store(node);
    await bitmaps.journal?.leave();
    releaseSidePaths(node);
    bitmaps.sideStorage = undefined;
    for (const bitmap of [...bitmaps]) if (bitmap.persistent) bitmaps.remove(bitmap);
  },

  afterActive: loadAll,

  findBitmap(graph, nodeName, name) {
    const { bitmap } = findBitmap(graph, nodeName, name);
    return { bits: bitmap.bits, checkReadable: () => bitmap.check('read') };
  },
};

/** What is said of a node whose bitmaps cannot be stored. */
export function lostBitmaps(node: BlockNode, error: BlockError): string {
  return `Lost persistent bitmaps during inactivation of node '${node.name}': ${error.message}`;
}

async function loadAll(node: BlockNode): Promise<void> {
  await claimSidePaths(node);
  const bitmaps = bitmapsOf(node);
  const { sidePaths: paths } = bitmaps;
  const { files } = node.graph.platform;
  if (paths && !node.driver.bitmapStorage) {
    bitmaps.sideStorage = await SideFileStorage.open(files, paths, () => node.length);
  }
  const { storage } = bitmaps;
  if (!storage) return;
  const { identity } = storage.tie ?? {};
  const found = paths && identity ? await readSideFile(files, paths.sideFile) : undefined;
  await load(bitmaps, found && isAbout(found, identity) ? found : undefined);
  if (!node.readOnly) await makeWritable(node);
}

function isAbout(found: Checkpoint, identity: string | undefined): boolean {
  return found.state === 'in-use' && (found.identity === identity || found.former === identity);
}

/** What is stored; and from the journal, if it can be believed, what is stored as lost or not yet stored. */
async function load(bitmaps: NodeBitmaps, journal: Checkpoint | undefined): Promise<void> {
  const storage = bitmaps.storage!; // the caller has looked
  const saved = new Map(journal?.bitmaps.map((bitmap) => [bitmap.name, bitmap]));
  for (const stored of storage.list()) {
    const lost = stored.inconsistent ? saved.get(stored.name) : undefined;
    saved.delete(stored.name);
    if (lost) {
      fillFrom(bitmaps.addStored(lost).bits, lost, journal!); // where `lost` comes from
      continue;
    }
    const bitmap = bitmaps.addStored(stored);
    if (!stored.inconsistent) await storage.load(stored.name, bitmap.bits);
  }
  for (const added of saved.values()) fillFrom(bitmaps.addStored(added).bits, added, journal!); // as above
}

/** Before the first write. */
async function makeWritable(node: BlockNode): Promise<void> {
  const bitmaps = bitmapsOf(node);
  const storage = bitmaps.storage!; // the caller has looked
  if (!(await journalOf(node))) {
    const isNeeded = journalled(node).length > 0;
    if (isNeeded && bitmaps.sidePaths) await startJournal(node);
    else await storage.tie?.change(undefined);
  }
  await storage.markInUse();
  for (const bitmap of bitmaps) bitmap.readonly = false;
}

/** What a journal has to keep: where it is all that is kept, those of no use too. */
function journalled(node: BlockNode): DirtyBitmap[] {
  const bitmaps = bitmapsOf(node);
  return [...bitmaps].filter(
    ({ persistent, inconsistent }) => persistent && (!inconsistent || bitmaps.sideStorage !== undefined),
  );
}

/** One that has ended, but not yet closed its file, is waited for. */
async function journalOf(node: BlockNode): Promise<BitmapJournal | undefined> {
  const bitmaps = bitmapsOf(node);
  if (bitmaps.journal?.hasEnded) await bitmaps.journal.leave();
  return bitmaps.journal;
}

/** The node knows of it before anything is awaited: whoever closes the node waits for what begins here. */
function startJournal(node: BlockNode): Promise<void> {
  const bitmaps = bitmapsOf(node);
  const { sideFile } = bitmaps.sidePaths!; // the callers saw it
  const subject: JournalSubject = {
    platform: node.graph.platform,
    nodeName: node.name,
    path: sideFile,
    get tie() {
      return bitmaps.storage?.tie;
    },
    snapshot: () => ({
      diskBytes: node.length,
      bitmaps: journalled(node).map((bitmap) => {
        const { granularity, recording: enabled, inconsistent } = bitmap;
        // Persistent ones have names.
        return { name: bitmap.name!, granularity, enabled, inconsistent, bits: bitmap.copyAllBits() };
      }),
    }),
    stamp: () =>
      journalled(node)
        .map(({ stamp }) => stamp)
        .join(),
    flush: () => node.flush(),
    async quietly(act) {
      await node.drainBegin();
      try {
        await act();
      } finally {
        node.drainEnd();
      }
    },
  };
  bitmaps.journal = new BitmapJournal(subject, () => {
    bitmaps.journal = undefined;
  });
  return bitmaps.journal.start();
}

/** Which were stored. */
async function store(node: BlockNode): Promise<readonly DirtyBitmap[]> {
  const bitmaps = bitmapsOf(node);
  const { storage, journal } = bitmaps;
  if (!storage) return [];
  const stored = [...bitmaps].filter((bitmap) => bitmap.isStoredOnClose);
  const isLeft = bitmaps.sideStorage !== undefined && journalled(node).length > 0;
  if (stored.length > 0 || (isLeft && journal)) {
    if (node.readOnly) throw new BlockError('EACCES', 'No write access');
    // Where the file is all that there is, it is stored there.
    if (isLeft) await journal?.leave();
    await storage.store(
      stored.map((bitmap) => ({
        name: bitmap.name!, // persistent ones have names
        granularity: bitmap.granularity,
        enabled: bitmap.recording,
        bits: bitmap.allBits(),
      })),
    );
  }
  if (!isLeft) await journal?.stop();
  return stored;
}
