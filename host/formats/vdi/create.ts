/** Making a new VDI image (specification: vdi, section 4). The header that makes it an image is written last. */
import { newUuid } from '../../base/uuid.ts';
import type { BlockBackend } from '../../block/backend.ts';
import { clearFile } from '../clear-file.ts';
import { newHeader } from './header.ts';
import { blockBytes } from './limits.ts';

interface NewVdi {
  /** Every block has its place from the start. */
  readonly isStatic: boolean;
  /** In whole sectors. */
  readonly diskBytes: number;
}

/** The map is written in parts of this many bytes. */
const partBytes = 1 << 20;
const unallocated = 0xffff_ffff;

/** Errors: of I/O. */
export async function createVdi(file: BlockBackend, { isStatic, diskBytes }: NewVdi): Promise<void> {
  const { random } = file.node.graph.platform;
  const { head, layout } = newHeader({ isStatic, diskBytes, uuids: [newUuid(random), newUuid(random)] });
  const { mapOffset, dataOffset, blocks } = layout;
  const length = dataOffset + (isStatic ? blocks * blockBytes : 0);
  await clearFile(file, length);
  await file.truncate(length);
  const perPart = partBytes / 4;
  for (let first = 0; first < blocks; first += perPart) {
    const part = new Uint8Array(Math.min(perPart, blocks - first) * 4);
    const view = new DataView(part.buffer);
    for (let i = 0; i < part.length / 4; i++) view.setUint32(i * 4, isStatic ? first + i : unallocated, true);
    await file.write(mapOffset + first * 4, part);
  }
  await file.flush();
  await file.write(0, head);
  await file.flush();
}
