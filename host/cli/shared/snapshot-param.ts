/** `-l SNAPSHOT`: an id or a name, or `snapshot.id=…,snapshot.name=…`, of an image that is read as it was then. */
import { BlockError } from '../../base/errors.ts';
import type { BlockNode } from '../../block/node.ts';
import type { InternalSnapshot, SnapshotStorage } from '../../block/snapshot-storage.ts';
import { findSnapshot, findSnapshotByIdOrName, viewSnapshot } from '../../block/snapshots.ts';
import { parseQemuOpts } from '../../qapi/qemu-opts.ts';
import type { Tool } from './tool.ts';

export type SnapshotParam = { idOrName: string } | { id?: string; name?: string };

/** Reports what is wrong with it, and gives up. `quote`: what the tool puts in front of a word that it quotes. */
export function parseSnapshotParam(tool: Tool, text: string, quote = "'"): SnapshotParam {
  if (!text.startsWith('snapshot.')) return { idOrName: text };
  const fail = () => tool.fail(`Failed in parsing snapshot param ${quote}${text}'`);
  const param: { id?: string; name?: string } = {};
  try {
    const { pairs } = parseQemuOpts(text, { warn: (message, hint) => tool.warn(message, hint) });
    for (const { name: key, value } of pairs) {
      if (key === 'snapshot.id') param.id = value;
      else if (key === 'snapshot.name') param.name = value;
      else {
        tool.report(`Invalid parameter '${key}'`);
        fail();
      }
    }
  } catch (error) {
    if (!(error instanceof BlockError)) throw error;
    tool.reportError(error);
    fail();
  }
  return param;
}

/** Makes a node that is open read-only show the snapshot. Errors: `Failed to load snapshot: …`. */
export async function loadSnapshot(node: BlockNode, param: SnapshotParam): Promise<void> {
  const storage = node.driver.snapshots;
  try {
    if (!storage) {
      throw new BlockError(
        'ENOTSUP',
        `Block format '${node.definition.name}' used by device '' does not support temporarily loading internal snapshots`,
      );
    }
    const snapshot = find(storage, param);
    if (!snapshot) throw new BlockError('ENOENT', "Can't find snapshot");
    await viewSnapshot(node, snapshot);
  } catch (error) {
    if (!(error instanceof BlockError)) throw error;
    throw error.within('Failed to load snapshot');
  }
}

function find(storage: SnapshotStorage, param: SnapshotParam): InternalSnapshot | undefined {
  if ('idOrName' in param) return findSnapshotByIdOrName(storage, param.idOrName);
  return param.id === undefined && param.name === undefined ? undefined : findSnapshot(storage, param);
}
