/** An open image, as what is written to a repository sees it. */
import type { BlockBackend } from '../../block/backend.ts';
import { statusAbove } from '../../block/status.ts';
import type { DiskSource } from '../../store/disk-writer.ts';

export function diskSource(image: BlockBackend): DiskSource {
  return {
    bytes: image.length,
    read: (offset, buffer) => image.read(offset, buffer),
    async zeroBytes(offset) {
      const { zero, bytes } = await statusAbove(
        image.node.skipFilters(),
        undefined,
        offset,
        image.length - offset,
      );
      return zero ? bytes : 0;
    },
  };
}
