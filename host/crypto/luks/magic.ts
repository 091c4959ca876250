/** How a LUKS volume of version 1 begins: what files are probed for (specification: luks, section 1). */

export const luksMagic = Uint8Array.of(0x4c, 0x55, 0x4b, 0x53, 0xba, 0xbe);
export const luksVersion = 1;

export function hasLuksMagic(head: Uint8Array): boolean {
  const start = [...luksMagic, 0, luksVersion];
  return start.every((byte, index) => head[index] === byte);
}
