/** An open VDI image: what driver.ts loads when there is one. */
import { BlockError } from '../../base/errors.ts';
import type { CheckOptions, CheckResult, Driver } from '../../block/driver.ts';
import type { OpenContext } from '../../block/open-context.ts';
import { AppendedDriver } from '../appended/driver.ts';
import { VdiBlocks } from './blocks.ts';
import { checkBlocks } from './check.ts';

export { createVdi } from './create.ts';

/** Errors: what cannot be opened; of I/O. */
export async function openVdi(context: OpenContext): Promise<Driver> {
  const file = await context.openChild('file', 'file');
  return AppendedDriver.open(
    context,
    file,
    () => VdiBlocks.read(file),
    ({ header }) => ({ hasZeroInit: !header.isStatic, mayHaveHoles: header.isStatic }),
  );
}

/** Errors: ENOTSUP, a repair is asked for. */
export function checkVdi(driver: Driver, options: CheckOptions): CheckResult {
  const blocks = driver instanceof AppendedDriver ? driver.blocks : undefined;
  if (!(blocks instanceof VdiBlocks)) throw new BlockError('ENOTSUP');
  return checkBlocks(blocks, options);
}
