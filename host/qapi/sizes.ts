/**
 * Sizes as QEMU's command lines have them: a number with an optional suffix b, k, M, G, T, P, E (powers of 1024, either
 * case), decimal with or without a fraction, or hexadecimal without either (specification: cli, section 1).
 */

const powers = 'bkmgtpe';
const limit = 2 ** 64;

/** Bytes; a part of a byte is cut off. Undefined for anything else, negative numbers and 2^64 or more. */
export function parseSize(text: string): number | undefined {
  const value = readSize(text);
  return value !== undefined && value < limit ? value : undefined;
}

/** Whether `text` would be a size, but is negative, or 2^64 or more. */
export function isBeyondSizes(text: string): boolean {
  if (/^\s*-(\d+|\.\d+)$/.test(text)) return true;
  const value = readSize(text);
  return value !== undefined && value >= limit;
}

function readSize(text: string): number | undefined {
  const hex = /^\s*\+?0x([0-9a-f]+)$/i.exec(text);
  if (hex) return Number.parseInt(hex[1]!, 16); // the pattern has it
  const match = /^\s*\+?(?=\.?\d)(\d*)(\.\d*)?([bkmgtpe]?)$/i.exec(text);
  if (!match) return undefined;
  const [, whole, point = '', suffix = ''] = match;
  const fraction = point.length > 1 ? Number(`0${point}`) : 0;
  const power = suffix === '' ? 0 : powers.indexOf(suffix.toLowerCase());
  if (fraction > 0 && power === 0) return undefined;
  return Number(whole) * 1024 ** power + Math.floor(fraction * 1024 ** power);
}

/** What stands below an error about a size. */
export const sizeHint = [
  'Optional suffix k, M, G, T, P or E means kilo-, mega-, giga-, tera-, peta-',
  'and exabytes, respectively.',
].join('\n');
