/**
 * x-blockdev-set-iothread: which event loop a node's requests are to run in. All run in one thread here; what is refused is what
 * QEMU refuses: a loop that there is not, and any but the program's own, which `null` names, for a device's
 * node: no guest has begun to use the loop that the device was given.
 */
import { invalid } from '../../base/errors.ts';
import type { BlockNode } from '../../block/node.ts';
import { type AlternateType, bool, nil, optional, str, struct } from '../../qapi/types.ts';
import { defineCommand } from '../command.ts';

const threadOrNull: AlternateType<string | null> = {
  kind: 'alternate',
  name: 'StrOrNull',
  branches: () => [str, nil],
};

export const xBlockdevSetIothread = defineCommand({
  name: 'x-blockdev-set-iothread',
  args: struct('XBlockdevSetIothreadArguments', {
    'node-name': str,
    iothread: threadOrNull,
    force: optional(bool),
  }),
  run({ graph, objects }, { 'node-name': name, iothread, force = false }) {
    const node = graph.findNode(name);
    if (!node) throw invalid(`Failed to find node with node-name='${name}'`);
    // Jobs move with their nodes, but for a mirror's target, which is used as a device uses its disk.
    const isRoot = [...node.parents].some((edge) => edge.parentNode === undefined && edge.name === 'root');
    if (isRoot && !force) {
      throw invalid(
        `Node ${name} is associated with a BlockBackend and could be in use (use force=true to override this check)`,
      );
    }
    const loop = iothread === null ? undefined : objects.entries().find(([id]) => id === iothread)?.[1];
    if (iothread !== null && loop?.typeName !== 'iothread') throw invalid(`Cannot find iothread ${iothread}`);
    const users = graph.backends
      .list()
      .filter((backend) => backend.hasMedium && isConnected(backend.node, node));
    if (iothread !== null && users.some(({ device }) => device)) {
      throw invalid('Cannot change iothread of active block backend');
    }
    return {};
  },
});

/** Nodes share a loop with whatever is above and below them. */
function isConnected(node: BlockNode, wanted: BlockNode): boolean {
  const seen = new Set([node]);
  for (const one of seen) {
    for (const { node: below } of one.children.values()) seen.add(below);
    for (const { parentNode } of one.parents) if (parentNode) seen.add(parentNode);
  }
  return seen.has(wanted);
}
