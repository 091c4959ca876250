/** Rounding, and the unit that most of it is to: disks have whole sectors, whatever the length of the file below. */

/** What a disk reads at the least and writes as a whole or not at all; QEMU counts in them where it does not count bytes. */
export const sectorBytes = 512;

/** `value`: not negative, and below 2^53 with one `unit` more. */
export function roundUp(value: number, unit: number): number {
  return Math.ceil(value / unit) * unit;
}

/** `value`: not negative. */
export function roundDown(value: number, unit: number): number {
  return value - (value % unit);
}

/** As many bytes as the sectors have that hold `bytes`. */
export function wholeSectors(bytes: number): number {
  return roundUp(bytes, sectorBytes);
}
