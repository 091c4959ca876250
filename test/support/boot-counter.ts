/**
 * A disk of 1 MiB whose boot sector counts in sector 5 how often it was started, and shows the number on the screen once that is
 * written: `boots: 1`. What lies behind 64 KiB is bytes of 5.
 */
export const counterOffset = 5 * 512;

const text = 'boots: ';
const loadAddress = 0x7c00;
const bufferAddress = 0x7e00;

const low = (value: number): number[] => [value & 0xff, value >> 8];

/** BIOS, interrupt 13h: moves sector 5 to or from the buffer. */
const move = (operation: number): number[] => [
  ...[0xb8, 0x01, operation], // mov ax, one sector
  ...[0xbb, ...low(bufferAddress)], // mov bx, buffer
  ...[0xb9, 0x06, 0x00], // mov cx, sectors count from 1
  ...[0xba, 0x80, 0x00], // mov dx, the first hard disk
  ...[0xcd, 0x13],
];

/** BIOS, interrupt 10h: shows the character in al. */
const show = [0xb4, 0x0e, 0xcd, 0x10];

const start = [
  ...[0x31, 0xc0], // xor ax, ax
  ...[0x8e, 0xd8, 0x8e, 0xc0, 0x8e, 0xd0], // mov ds, es and ss, ax
  ...[0xbc, ...low(loadAddress)], // mov sp, below this code
  ...move(0x02),
  ...[0xfe, 0x06, ...low(bufferAddress)], // inc the first byte
  ...move(0x03),
  ...[0xbb, 0x07, 0x00], // mov bx, page and colour
];

const end = [
  0xac, // lodsb
  ...[0x84, 0xc0], // test al, al
  ...[0x74, 0x06], // jz behind the loop
  ...show,
  ...[0xeb, 0xf5], // jmp lodsb
  ...[0xa0, ...low(bufferAddress)], // mov al, the count
  ...[0x04, 0x30], // add al, '0'
  ...show,
  0xf4, // hlt
  ...[0xeb, 0xfd], // jmp hlt
];

export function bootCounterDisk(): Uint8Array {
  const disk = new Uint8Array(1 << 20).fill(5, 65536);
  const textAddress = loadAddress + start.length + 3 + end.length;
  disk.set([...start, 0xbe, ...low(textAddress), ...end, ...new TextEncoder().encode(text)]); // mov si, text
  disk.set([0x55, 0xaa], 510);
  return disk;
}
