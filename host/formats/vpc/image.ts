/** An open VHD image: what driver.ts loads when there is one (specification: vpc). */
import { invalid } from '../../base/errors.ts';
import type { Driver, DriverInfo, ReopenStep } from '../../block/driver.ts';
import type { Edge } from '../../block/edge.ts';
import type { OpenContext } from '../../block/open-context.ts';
import { AppendedDriver } from '../appended/driver.ts';
import { WindowDriver } from '../window.ts';
import { VpcBlocks } from './blocks.ts';
import { footerBytes, isFixed, isFooter, isLengthChoice, type LengthChoice, parseFooter } from './footer.ts';
import type { VpcOptions } from './options.ts';

export { createVpc } from './create.ts';

/** The disk, and behind it the footer. */
class FixedDriver extends WindowDriver {
  constructor(
    file: Edge,
    private readonly diskBytes: number,
  ) {
    super(file, 0, diskBytes);
  }

  async getLength(): Promise<number> {
    return this.diskBytes;
  }

  mayHaveHoles(): boolean {
    return true;
  }

  info(): DriverInfo {
    return {};
  }

  async reopen(): Promise<ReopenStep> {
    return {};
  }
}

/** Errors: what cannot be opened; of I/O. */
export async function openVpc(context: OpenContext, options: VpcOptions): Promise<Driver> {
  const { force_size_calc: lengthBy } = options;
  const file = await context.openChild('file', 'file');
  if (lengthBy !== undefined && !isLengthChoice(lengthBy))
    throw invalid(`Invalid size calculation mode: '${lengthBy}'`);
  const footer = parseFooter(await readFooter(file), lengthBy);
  if (!footer.isFixed) {
    const traits = { hasZeroInit: true, mayHaveHoles: false };
    return AppendedDriver.open(
      context,
      file,
      () => readBlocks(file, lengthBy),
      () => traits,
    );
  }
  const { diskBytes } = footer;
  const room = file.length - footerBytes;
  if (diskBytes > room) throw invalid(`The disk has ${diskBytes} bytes, and the file room for ${room}`);
  return new FixedDriver(file, diskBytes);
}

async function readBlocks(file: Edge, lengthBy: LengthChoice | undefined): Promise<VpcBlocks> {
  const bytes = await readFooter(file);
  return VpcBlocks.read(file, bytes, parseFooter(bytes, lengthBy));
}

/** That of a dynamic image is read where its copy is. */
async function readFooter(file: Edge): Promise<Uint8Array> {
  const bytes = new Uint8Array(footerBytes);
  await file.read(0, bytes);
  if (isFooter(bytes)) return bytes;
  if (file.length < footerBytes) throw invalid('invalid VPC image');
  await file.read(file.length - footerBytes, bytes);
  if (!isFooter(bytes) || !isFixed(bytes)) throw invalid('invalid VPC image');
  return bytes;
}
