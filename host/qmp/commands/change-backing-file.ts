/** change-backing-file: rewrites the name in an image, and nothing else (specification: graph, section 6). */
import { asBlockError, BlockError, invalid } from '../../base/errors.ts';
import { isInChain } from '../../block/chain.ts';
import { str, struct } from '../../qapi/types.ts';
import { defineCommand } from '../command.ts';
import { getRootNode } from '../root-node.ts';

export const changeBackingFile = defineCommand({
  name: 'change-backing-file',
  args: struct('ChangeBackingFileArguments', { device: str, 'image-node-name': str, 'backing-file': str }),
  async run({ graph }, { device, 'image-node-name': imageName, 'backing-file': filename }) {
    const root = getRootNode(graph, device);
    const image = graph.lookup(undefined, imageName);
    if (!image.skipFilters().backing()) {
      throw invalid('not allowing backing file change on an image without a backing file');
    }
    root.opBlockers.check('change');
    if (!isInChain(root, image)) throw invalid(`'${device}' and image file are not in the same chain`);
    await graph.whileWritable(image, async () => {
      try {
        const { changeBackingFile } = image.driver;
        if (!changeBackingFile) throw invalid('Operation not supported');
        await changeBackingFile.call(image.driver, filename, image.definition.name);
      } catch (error) {
        const { errno } = asBlockError(error);
        throw new BlockError(errno).within(`Could not change backing file to '${filename}'`);
      }
    });
    return {};
  },
});
