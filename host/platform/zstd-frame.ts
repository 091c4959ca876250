/**
 * Finds where zstd frames end, without decoding them (RFC 8878, sections 3.1.1 and 3.1.2).
 *
 * A compressed cluster is rounded up to whole sectors, and decoders refuse what follows the last frame; so frames are
 * cut out first. Sizes claimed by a frame come from an untrusted image: nothing here allocates by them.
 *
 *   magic 4 | descriptor 1 | window 0–1 | dictionary id 0–4 | content size 0–8 | blocks … | checksum 0 or 4
 *   block:  header 3, little-endian (bit 0 last, bits 1–2 type, bits 3–23 size) | content
 */

const frameMagic = 0xfd2fb528;
const skippableMagic = 0x184d2a50;

/** Block types; 3 is reserved. A run-length block stores one byte whatever its size says. */
const runLengthBlock = 1;
const reservedBlock = 3;

export interface ZstdFrame {
  /** Position after the frame. */
  end: number;
  /** What the frame says it contains, in bytes. Undefined: it does not say. */
  contentBytes: number | undefined;
  /** Where the blocks start, then where each of them ends. */
  blockBounds: number[];
  skippable: boolean;
}

/** Undefined when there is no complete and well-formed frame at `start`. */
export function zstdFrameAt(input: Uint8Array, start: number): ZstdFrame | undefined {
  const view = new DataView(input.buffer, input.byteOffset, input.byteLength);
  if (start + 5 > input.length) return undefined;
  const magic = view.getUint32(start, true);
  if ((magic & 0xfffffff0) >>> 0 === skippableMagic) {
    if (start + 8 > input.length) return undefined;
    const end = start + 8 + view.getUint32(start + 4, true);
    if (end > input.length) return undefined;
    return { end, contentBytes: 0, blockBounds: [], skippable: true };
  }
  if (magic !== frameMagic) return undefined;
  const descriptor = view.getUint8(start + 4);
  const singleSegment = (descriptor & 0x20) !== 0;
  const hasChecksum = (descriptor & 0x04) !== 0;
  const dictionaryIdBytes = [0, 1, 2, 4][descriptor & 3]!; // two bits
  const sizeFlag = descriptor >> 6;
  const contentSizeBytes = sizeFlag === 0 ? (singleSegment ? 1 : 0) : 1 << sizeFlag;
  const sizeAt = start + 5 + (singleSegment ? 0 : 1) + dictionaryIdBytes;
  const blocksAt = sizeAt + contentSizeBytes;
  if (blocksAt > input.length) return undefined;
  const contentBytes = readContentSize(view, sizeAt, contentSizeBytes);

  const blockBounds = [blocksAt];
  let at = blocksAt;
  for (let last = false; !last; ) {
    if (at + 3 > input.length) return undefined;
    const header = view.getUint16(at, true) | (view.getUint8(at + 2) << 16);
    last = (header & 1) !== 0;
    const type = (header >> 1) & 3;
    if (type === reservedBlock) return undefined;
    at += 3 + (type === runLengthBlock ? 1 : header >> 3);
    blockBounds.push(at);
  }
  const end = at + (hasChecksum ? 4 : 0);
  if (end > input.length) return undefined;
  return { end, contentBytes, blockBounds, skippable: false };
}

function readContentSize(view: DataView, at: number, bytes: number): number | undefined {
  switch (bytes) {
    case 1:
      return view.getUint8(at);
    case 2:
      return view.getUint16(at, true) + 256;
    case 4:
      return view.getUint32(at, true);
    case 8:
      return Number(view.getBigUint64(at, true));
    default:
      return undefined;
  }
}
