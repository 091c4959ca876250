/**
 * Sizes as QEMU's command lines have them: a number with an optional suffix b, k, M, G, T, P, E (powers of 1024, either
 * case), decimal with or without a fraction, or hexadecimal without either (specification: cli, section 1).
 */

const powers = 'bkmgtpe';
const limit = 2n ** 64n;

/**
 * Bytes, to the nearest. Undefined for anything else, negative numbers and 2^64 or more. Beyond 2^53 it is the
 * double next to what is written.
 */
export function parseSize(text: string): number | undefined {
  const value = readSize(text);
  return value !== undefined && value < limit ? Number(value) : undefined;
}

/** Whether `text` would be a size, but is negative, or 2^64 or more. */
export function isBeyondSizes(text: string): boolean {
  if (/^\s*-(\d+|\.\d+)$/.test(text)) return true;
  const value = readSize(text);
  return value !== undefined && value >= limit;
}

/** All digits of a size, however large; of a fraction, as many as a double has. Undefined for anything else. */
export function readSize(text: string): bigint | undefined {
  const hex = /^\s*\+?(0x[0-9a-f]+)$/i.exec(text);
  if (hex) return BigInt(hex[1]!); // the pattern has it
  const match = /^\s*\+?(?=\.?\d)(\d*)(\.\d*)?([bkmgtpe]?)$/i.exec(text);
  if (!match) return undefined;
  const [, whole, point = '', suffix = ''] = match;
  const fraction = Number(`0${point}`);
  const power = powers.indexOf(suffix.toLowerCase()); // 0 without one
  if (fraction > 0 && power === 0) return undefined;
  return (BigInt(whole!) << BigInt(10 * power)) + BigInt(Math.round(fraction * 1024 ** power)); // the pattern has it
}

/** What stands below an error about a size. */
export const sizeHint = [
  'Optional suffix k, M, G, T, P or E means kilo-, mega-, giga-, tera-, peta-',
  'and exabytes, respectively.',
].join('\n');
