/** x-blockdev-set-iothread: everything runs in one thread here, which is the one that `null` names. */
import { invalid } from '../../base/errors.ts';
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
  run({ graph }, { 'node-name': name, iothread, force = false }) {
    const node = graph.findNode(name);
    if (!node) throw invalid(`Failed to find node with node-name='${name}'`);
    const isRoot = [...node.parents].some((edge) => edge.parentNode === undefined);
    if (isRoot && !force) {
      throw invalid(
        `Node ${name} is associated with a BlockBackend and could be in use (use force=true to override this check)`,
      );
    }
    if (iothread !== null) throw invalid(`Cannot find iothread ${iothread}`);
    return {};
  },
});
