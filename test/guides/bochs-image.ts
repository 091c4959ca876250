/** A growing image of the Bochs emulator, and what its disk holds. */
const sectorBytes = 512;

export interface BochsParts {
  image: Uint8Array;
  content: Uint8Array;
}

/** `written`: the sectors that were written, by the number of their extent. */
export function bochsImage(written: Readonly<Record<number, readonly number[]>>): BochsParts {
  const [diskBytes, extentBytes] = [4 << 20, 64 << 10];
  const catalogEntries = diskBytes / extentBytes;
  const extents = Object.entries(written);
  const dataStart = sectorBytes + catalogEntries * 4;
  const image = new Uint8Array(dataStart + extents.length * (sectorBytes + extentBytes));
  const content = new Uint8Array(diskBytes);
  const view = new DataView(image.buffer);
  const encoder = new TextEncoder();
  image.set(encoder.encode('Bochs Virtual HD Image'), 0);
  image.set(encoder.encode('Redolog'), 32);
  image.set(encoder.encode('Growing'), 48);
  const bitmapBytes = extentBytes / sectorBytes / 8;
  for (const [index, field] of [0x20000, sectorBytes, catalogEntries, bitmapBytes, extentBytes].entries()) {
    view.setUint32(64 + index * 4, field, true);
  }
  view.setBigUint64(88, BigInt(diskBytes), true);
  image.fill(0xff, sectorBytes, dataStart);
  for (const [place, [extent, sectors]] of extents.entries()) {
    view.setUint32(sectorBytes + Number(extent) * 4, place, true);
    const start = dataStart + place * (sectorBytes + extentBytes);
    // What was never written may hold anything.
    image.fill(0xee, start + sectorBytes, start + sectorBytes + extentBytes);
    for (const sector of sectors) {
      image[start + (sector >> 3)]! |= 1 << (sector & 7); // within the image
      const at = start + sectorBytes + sector * sectorBytes;
      image.fill(1 + sector, at, at + sectorBytes);
      const seenAt = Number(extent) * extentBytes + sector * sectorBytes;
      content.fill(1 + sector, seenAt, seenAt + sectorBytes);
    }
  }
  return { image, content };
}
