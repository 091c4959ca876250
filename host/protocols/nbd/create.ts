/** Making an image on an NBD export that is there: it keeps its length, and forgets what image it held before. */
import { asBlockError, BlockError, invalid } from '../../base/errors.ts';
import { sectorBytes } from '../../base/sectors.ts';
import type { CreateValues } from '../../block/driver.ts';
import { existingTargetFailed } from '../../block/existing-target.ts';
import type { Platform } from '../../platform/platform.ts';
import { optionsOfName } from './filename.ts';
import { openDisk } from './remote-disk.ts';

/** Errors: it cannot be written to, or is too short. */
export async function createOnServer(
  platform: Platform,
  filename: string,
  { size = 0, preallocation = 'off' }: CreateValues,
): Promise<void> {
  if (preallocation !== 'off')
    throw new BlockError('ENOTSUP', `Unsupported preallocation mode '${String(preallocation)}'`);
  const context = {
    platform,
    nodeName: filename,
    flags: { readOnly: false, autoReadOnly: false },
    fallBackToReadOnly: () => {},
    reportTrouble: () => {},
    credentials: noCredentials,
  };
  const disk = await openDisk(context, optionsOfName(filename)).catch((error: unknown) => {
    throw asBlockError(error).within(existingTargetFailed('nbd'));
  });
  try {
    const length = await disk.getLength();
    if (Number(size) > length) await disk.truncate(Number(size), { preallocation: 'off' });
    await disk.clear(0, Math.min(length, sectorBytes));
  } finally {
    await disk.close();
  }
}

/** Names do not say any. */
function noCredentials(id: string): never {
  throw invalid(`No TLS credentials with id '${id}'`);
}
