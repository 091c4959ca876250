/** nbd-server-add: exports a node or a device's under a name. Deprecated in QEMU for block-export-add. */
import { invalid } from '../../base/errors.ts';
import { exportsOf } from '../../exports/block-exports.ts';
import { bool, optional, str, struct } from '../../qapi/types.ts';
import { defineCommand } from '../command.ts';

export const nbdServerAdd = defineCommand({
  name: 'nbd-server-add',
  args: struct('NbdServerAddOptions', {
    name: optional(str),
    description: optional(str),
    device: str,
    writable: optional(bool),
    bitmap: optional(str),
  }),
  async run({ graph }, { device, name = device, description, writable = false, bitmap }) {
    const node = graph.find(device, device);
    if (!node) throw invalid(`Cannot find device='${device}' nor node-name='${device}'`);
    await exportsOf(graph).add({
      id: name,
      node,
      // What cannot be written to is not, whatever is wanted.
      writable: writable && !node.readOnly,
      writethrough: false,
      name,
      description,
      bitmaps: bitmap === undefined ? [] : [bitmap],
    });
    return {};
  },
});
