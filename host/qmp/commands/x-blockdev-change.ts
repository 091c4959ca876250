/** x-blockdev-change: adds a child to a node or removes one (specification: graph, section 5). */
import { BlockError, invalid } from '../../base/errors.ts';
import type { BlockGraph } from '../../block/graph.ts';
import type { BlockNode } from '../../block/node.ts';
import { optional, str, struct } from '../../qapi/types.ts';
import { defineCommand } from '../command.ts';

export const xBlockdevChange = defineCommand({
  name: 'x-blockdev-change',
  args: struct('XBlockdevChangeArguments', { parent: str, child: optional(str), node: optional(str) }),
  async run({ graph }, { parent: parentName, child, node }) {
    const parent = graph.lookup(parentName, parentName);
    if (child !== undefined && node !== undefined)
      throw invalid('The parameters child and node are in conflict');
    if (child !== undefined) await removeChild(graph, parent, parentName, child);
    else if (node !== undefined) await addChild(graph, parent, node);
    else throw invalid('Either child or node must be specified');
    return {};
  },
});

async function removeChild(
  graph: BlockGraph,
  parent: BlockNode,
  parentName: string,
  name: string,
): Promise<void> {
  const edge = parent.children.get(name);
  if (!edge) throw invalid(`Node '${parentName}' does not have child '${name}'`);
  const { variableChildren } = parent.driver;
  if (!variableChildren) throw unsupported(parent, 'removing');
  variableChildren.checkRemoval();
  await drained(parent, async () => {
    await graph.change((change) => change.removeChild(edge));
    variableChildren.removed(name);
  });
}

async function addChild(graph: BlockGraph, parent: BlockNode, nodeName: string): Promise<void> {
  const node = graph.findNode(nodeName);
  if (!node) throw invalid(`Node '${nodeName}' not found`);
  const { variableChildren } = parent.driver;
  if (!variableChildren) throw unsupported(parent, 'adding');
  if (node.parents.size > 0) throw invalid(`The node ${nodeName} already has a parent`);
  const name = variableChildren.nextName();
  await drained(parent, async () => {
    await graph.attachChild(parent, node, name, 'image');
    variableChildren.added();
  });
}

function unsupported(parent: BlockNode, what: string): BlockError {
  const name = parent.graph.deviceOrNodeName(parent);
  return new BlockError('ENOTSUP', `The node ${name} does not support ${what} a child`);
}

/** Requests see either the children before or those after. */
async function drained(node: BlockNode, act: () => Promise<void>): Promise<void> {
  await node.drainBegin();
  try {
    await act();
  } finally {
    node.drainEnd();
  }
}
