/**
 * Numbers about where 53, 63 and 64 bits end, in the spellings that command lines have for them, drawn from seeds. Leaves out what
 * is small: other tests have that.
 */
import type { Seeded } from '../../support/seeded.ts';

const edges = [
  2n ** 53n,
  2n ** 60n,
  2n ** 62n,
  2n ** 63n - 2n ** 30n,
  2n ** 63n - 512n,
  2n ** 63n,
  2n ** 64n - 512n,
  2n ** 64n,
];
const distances = [-1024n, -513n, -512n, -511n, -2n, -1n, 0n, 1n, 2n, 511n, 512n, 513n, 1024n];
const powers = ['k', 'K', 'M', 'G', 'T', 'P', 'E'];

/** Half are next to an edge; the others have 53 to 65 bits. */
export function largeInteger(random: Seeded): bigint {
  if (random.oneIn(2)) return random.pick(edges) + random.pick(distances);
  const bits = BigInt(random.below(2 ** 32)) * 2n ** 32n + BigInt(random.below(2 ** 32));
  const value = (bits | (2n ** 63n)) >> BigInt(random.below(11));
  return random.oneIn(16) ? value * 2n : value;
}

/** As a command line may have it. */
export function spelledNumber(random: Seeded): string {
  const value = largeInteger(random);
  switch (random.below(12)) {
    case 0:
      return `0x${value.toString(16)}`;
    case 1:
      return `0${value.toString(8)}`;
    case 2:
      return `-${value}`;
    case 3:
      return random.pick([`+${value}`, ` ${value}`, `${value} `, `${value}b`, `${value}.`, `00${value}`]);
    case 4:
    case 5:
    case 6:
      return withSuffix(random, value);
    case 7:
      return withFraction(random, value);
    default:
      return String(value);
  }
}

/** Of a power of 1024 that is not larger than the value. */
function drawExponent(random: Seeded, value: bigint): number {
  return 1 + random.below(value < 2n ** 60n ? 5 : 6);
}

function withSuffix(random: Seeded, value: bigint): string {
  const exponent = drawExponent(random, value);
  return `${value >> (10n * BigInt(exponent))}${suffix(random, exponent)}`;
}

function suffix(random: Seeded, exponent: number): string {
  return exponent === 1 ? random.pick(['k', 'K']) : powers[exponent]!; // as many as exponents
}

/** Up to 24 digits behind the point: more than a double has. */
function withFraction(random: Seeded, value: bigint): string {
  const exponent = drawExponent(random, value);
  const shift = 10n * BigInt(exponent);
  const digits = ((value % 2n ** shift) * 10n ** 24n) / 2n ** shift;
  const fraction = String(digits)
    .padStart(24, '0')
    .slice(0, 1 + random.below(24));
  return `${value >> shift}.${fraction}${suffix(random, exponent)}`;
}

/** As JSON has it: decimal, with a sign or none, now and then no integer. */
export function jsonNumber(random: Seeded): string {
  const value = largeInteger(random);
  if (random.oneIn(8)) return `-${value}`;
  return random.oneIn(20) ? random.pick([`${value}.0`, `${value}e0`, `"${value}"`]) : String(value);
}
