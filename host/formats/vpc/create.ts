/** Making a new VHD image (specification: vpc, section 4). What makes it an image, its footer or the copy, is written last. */
import { wholeSectors } from '../../base/sectors.ts';
import { newUuid } from '../../base/uuid.ts';
import type { BlockBackend } from '../../block/backend.ts';
import { tableBytes } from '../appended/block-table.ts';
import { clearFile } from '../clear-file.ts';
import { dynamicHeaderBytes, newDynamicHeader } from './dynamic-header.ts';
import { footerBytes, newFooter } from './footer.ts';
import type { DiskSize } from './geometry.ts';

const blockBytes = 2 << 20;
/** Behind the copy of the footer. */
const headerOffset = footerBytes;
const tableOffset = headerOffset + dynamicHeaderBytes;

interface NewVpc {
  readonly isFixed: boolean;
  /** The size is what was asked for, whatever geometry it has. */
  readonly isExact: boolean;
  readonly size: DiskSize;
}

/** Errors: of I/O. */
export async function createVpc(file: BlockBackend, { isFixed, isExact, size }: NewVpc): Promise<void> {
  const { clock, random } = file.node.graph.platform;
  const footer = newFooter({
    isFixed,
    isExact,
    diskBytes: size.bytes,
    geometry: size.geometry,
    uuid: newUuid(random),
    seconds: clock.wallClock().seconds,
    headerOffset,
  });
  if (isFixed) {
    const length = size.bytes + footerBytes;
    await clearFile(file, length);
    await file.truncate(length);
    await file.write(size.bytes, footer);
  } else {
    await writeDynamic(file, size.bytes, footer);
  }
  await file.flush();
}

async function writeDynamic(file: BlockBackend, diskBytes: number, footer: Uint8Array): Promise<void> {
  const entries = Math.ceil(diskBytes / blockBytes);
  // Of no block.
  const table = new Uint8Array(wholeSectors(tableBytes(entries))).fill(0xff);
  const end = tableOffset + table.length;
  await clearFile(file, end + footerBytes);
  await file.write(headerOffset, newDynamicHeader({ tableOffset, entries, blockBytes }));
  if (table.length > 0) await file.write(tableOffset, table);
  await file.write(end, footer);
  await file.flush();
  await file.write(0, footer);
}
