/** block-export-add: lets others use a node (specification: nbd, section 4). Kinds other than `nbd` are refused. */
import { invalid } from '../../base/errors.ts';
import type { BlockGraph } from '../../block/graph.ts';
import { exportsOf } from '../../exports/block-exports.ts';
import {
  array,
  bool,
  optional,
  type StructType,
  str,
  struct,
  type TypeOf,
  type UnionType,
} from '../../qapi/types.ts';
import { bitmapOrName } from '../actions/bitmap-data.ts';
import { blockExportType } from '../block-export-type.ts';
import { defineCommand } from '../command.ts';

const base = struct('BlockExportOptionsBase', {
  type: blockExportType,
  id: str,
  'fixed-iothread': optional(bool),
  iothread: optional(str),
  'node-name': str,
  writable: optional(bool),
  writethrough: optional(bool),
  'allow-inactive': optional(bool),
});

const nbd = struct('BlockExportOptionsNbd', {
  name: optional(str),
  description: optional(str),
  bitmaps: optional(array(bitmapOrName)),
  'allocation-depth': optional(bool),
});

/** Members of these are not looked at. */
const notServed = (name: string): StructType => ({ ...struct(name, {}), isOpen: true });

type Options = TypeOf<typeof base> & Partial<TypeOf<typeof nbd>>;

export const blockExportOptions: UnionType<Options> = {
  kind: 'union',
  name: 'BlockExportOptions',
  base,
  discriminator: 'type',
  branches: () => ({
    nbd,
    'vhost-user-blk': notServed('BlockExportOptionsVhostUserBlk'),
    fuse: notServed('BlockExportOptionsFuse'),
    'vduse-blk': notServed('BlockExportOptionsVduseBlk'),
  }),
};

/** Errors: BlockError, in QEMU's words; nothing has changed then. */
export async function addExport(graph: BlockGraph, options: Options): Promise<void> {
  const { id, type, 'node-name': nodeName, writable = false, writethrough = false } = options;
  const all = exportsOf(graph);
  all.checkId(id);
  if (type !== 'nbd') throw invalid(`Block export type '${type}' is not supported`);
  const node = graph.findNode(nodeName);
  if (!node) throw invalid(`Cannot find device='' nor node-name='${nodeName}'`);
  await all.add({
    id,
    node,
    writable,
    writethrough,
    name: options.name,
    description: options.description,
    bitmaps: options.bitmaps,
    allocationDepth: options['allocation-depth'],
  });
}

export const blockExportAdd = defineCommand({
  name: 'block-export-add',
  args: blockExportOptions,
  async run({ graph }, options) {
    await addExport(graph, options);
    return {};
  },
});
