/**
 * `img snapshot`: lists, makes, applies and deletes the internal snapshots of an image (specification: cli, section 2).
 *
 * Making one does not look whether the tag exists already. Applying looks for an id before it looks for a tag, deleting
 * looks for a tag only, as `qemu-img` does.
 */
import { asBlockError, BlockError } from '../../base/errors.ts';
import { bitmapsOf } from '../../bitmaps/node-bitmaps.ts';
import type { BlockNode } from '../../block/node.ts';
import {
  applySnapshot,
  describeSnapshot,
  findSnapshot,
  findSnapshotByIdOrName,
  snapshotNameOf,
  snapshotNode,
} from '../../block/snapshots.ts';
import { openImage } from '../shared/open-image.ts';
import { snapshotTable } from '../shared/snapshot-table.ts';
import type { Tool } from '../shared/tool.ts';
import { checkImageOpts, common, readCommandLine } from './options.ts';

const actionSpecs = [
  { short: 'l', long: 'list' },
  { short: 'a', long: 'apply', argument: true },
  { short: 'c', long: 'create', argument: true },
  { short: 'd', long: 'delete', argument: true },
] as const;

/** Its options, beside `--help`. */
export const specs = [
  common.quiet,
  common.object,
  common.format,
  common.imageOpts,
  common.forceShare,
  ...actionSpecs,
];

interface Wanted {
  action: (typeof actionSpecs)[number]['long'];
  snapshot: string;
}

export async function run(tool: Tool, argv: string[]): Promise<number> {
  let format: string | undefined;
  let imageOpts = false;
  let forceShare = false;
  let wanted: Wanted | undefined;
  const operands = await readCommandLine(tool, argv, specs, ({ name, value }) => {
    const action = actionSpecs.find(({ long }) => long === name)?.long;
    if (name === 'format') format = value;
    else if (name === 'image-opts') imageOpts = true;
    else if (name === 'force-share') forceShare = true;
    else if (action !== undefined) {
      if (wanted) tool.failUsage("Cannot mix '-l', '-a', '-c', '-d'");
      wanted = { action, snapshot: value };
    }
  });
  if (operands.length !== 1) tool.failUsage('Expecting one image file name');
  checkImageOpts(tool, imageOpts, format);
  const { action, snapshot } = (wanted as Wanted | undefined) ?? { action: 'list', snapshot: '' };
  const source = { name: operands[0]!, imageOpts, format }; // checked above
  const isChange = action !== 'list';
  const graph = await tool.createGraph();
  const image = await openImage(tool, graph, source, {
    write: isChange,
    resize: isChange,
    forceShare,
    flags: { discard: isChange },
  });
  try {
    const { node } = image;
    if (action === 'list') {
      list(tool, node);
      return 0;
    }
    await node.drainBegin();
    try {
      if (action === 'create') await create(tool, node, snapshot);
      if (action === 'apply') await apply(tool, node, snapshot);
      if (action === 'delete') await remove(tool, node, snapshot);
    } finally {
      node.drainEnd();
    }
    return 0;
  } finally {
    await tool.close([image]);
  }
}

function list(tool: Tool, node: BlockNode): void {
  const snapshots = snapshotNode(node)?.driver.snapshots?.list() ?? [];
  if (snapshots.length === 0) return;
  tool.out(['Snapshot list:', ...snapshotTable(snapshots.map(describeSnapshot)), ''].join('\n'));
}

async function create(tool: Tool, node: BlockNode, name: string): Promise<void> {
  const { seconds, microseconds } = node.graph.platform.clock.wallClock();
  try {
    const storage = snapshotNode(node)?.driver.snapshots;
    if (!storage) throw new BlockError('ENOTSUP');
    await storage.create({
      name: snapshotNameOf(name),
      dateSeconds: seconds,
      dateNanoseconds: microseconds * 1000,
      vmClockNs: 0n,
      vmStateBytes: 0,
      // Not "none": so does `qemu-img`.
      icount: 0n,
    });
  } catch (error) {
    const reason = new BlockError(asBlockError(error).errno).message;
    tool.fail(`Could not create snapshot '${name}': ${reason}`);
  }
}

function apply(tool: Tool, node: BlockNode, text: string): Promise<void> {
  return tool.attempt(
    async () => {
      if ([...bitmapsOf(node)].length > 0) throw new BlockError('EBUSY', 'Device has active dirty bitmaps');
      const storage = snapshotNode(node)?.driver.snapshots;
      if (!storage) throw new BlockError('ENOTSUP', 'Block driver does not support snapshots');
      const snapshot = findSnapshotByIdOrName(storage, text);
      if (!snapshot) throw new BlockError('ENOENT').within('Failed to load snapshot');
      await applySnapshot(node, snapshot);
    },
    { context: `Could not apply snapshot '${text}'` },
  );
}

async function remove(tool: Tool, node: BlockNode, name: string): Promise<void> {
  const storage = snapshotNode(node)?.driver.snapshots;
  const snapshot = storage && findSnapshot(storage, { name });
  if (!snapshot) tool.fail(`Could not delete snapshot '${name}': snapshot not found`);
  await tool.attempt(() => storage.delete(snapshot), { context: `Could not delete snapshot '${name}'` });
}
