/**
 * What `restic prune` does to a repository, in its order: blobs that snapshots still need go into new packs, an index names these, then
 * the old indexes go, then the old packs. For tests: ours never removes anything.
 */
import { getDocument } from '../../host/store/documents.ts';
import { idFrom, toHex } from '../../host/store/ids.ts';
import { encodeTable, type PackedBlob, packTail } from '../../host/store/pack.ts';
import { baseName, type Repository } from '../../host/store/repository.ts';
import { indexDocument, packNameOf, parseIndex } from '../../host/store/repository-index.ts';
import { seal } from '../../host/store/sealing.ts';

const maxIndexBytes = 1 << 26;

/** `forget`: ids of snapshots. Whoever calls it holds an exclusive lock. */
export async function prune(repository: Repository, forget: readonly string[] = []): Promise<void> {
  const { store, sealer } = repository;
  for (const id of forget) await store.remove(`snapshots/${id}`);
  const needed = await neededBlobs(repository);
  const indexes = (await store.list('index')).map(({ name }) => name);
  const packs = new Set((await store.list('data')).map(({ name }) => name));
  const kept = new Map<string, { blob: PackedBlob; sealed: Uint8Array }>();
  for (const name of indexes) {
    const json = await getDocument(sealer, store, 'index', baseName(name), maxIndexBytes);
    for (const { id, blobs } of parseIndex(json, name))
      for (const blob of blobs) {
        const key = `${blob.kind} ${toHex(blob.id)}`;
        if (!needed.has(key) || kept.has(key)) continue;
        kept.set(key, { blob, sealed: await store.getRange(packNameOf(id), blob.offset, blob.length) });
      }
  }
  const written = [];
  for (const kind of ['data', 'tree'] as const) {
    const ofKind = [...kept.values()].filter(({ blob }) => blob.kind === kind);
    if (ofKind.length === 0) continue;
    let offset = 0;
    const blobs = ofKind.map(({ blob }) => {
      const moved = { ...blob, offset };
      offset += blob.length;
      return moved;
    });
    const parts = [
      ...ofKind.map(({ sealed }) => sealed),
      packTail(await seal(sealer, sealer.keys, encodeTable(blobs))),
    ];
    const hash = await sealer.hashes.sha256(Buffer.concat(parts));
    await store.put(packNameOf(toHex(hash)), parts, hash);
    written.push({ id: toHex(hash), blobs });
  }
  await repository.put('index', indexDocument(written));
  for (const name of indexes) await store.remove(name);
  for (const name of packs) await store.remove(name);
  repository.forgetIndex();
}

async function neededBlobs(repository: Repository): Promise<Set<string>> {
  const needed = new Set<string>();
  const walk = async (tree: string): Promise<void> => {
    needed.add(`tree ${tree}`);
    for (const node of await repository.readTree(tree)) {
      if (node.type === 'dir') await walk(node.subtree);
      else
        for (let at = 0; at < node.content.length; at += 32)
          needed.add(`data ${toHex(node.content.subarray(at, at + 32))}`);
    }
  };
  for (const { tree } of await repository.snapshots()) await walk(toHex(idFrom(tree, 'a snapshot')));
  return needed;
}
