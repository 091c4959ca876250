/**
 * Numbers on command lines: sizes with a suffix, and plain integers as C's strtol with base 0 reads them.
 */

export type ParsedNumber = { ok: true; value: number } | { ok: false; problem: 'invalid' | 'range' };

/** Sizes and offsets are signed 64-bit in QEMU's tools. Beyond 2^53 a double is not exact any more. */
const sizeLimit = 2 ** 63;

const sizePowers: Readonly<Record<string, number>> = { b: 0, k: 1, m: 2, g: 3, t: 4, p: 5, e: 6 };
const invalid: ParsedNumber = { ok: false, problem: 'invalid' };

/**
 * Bytes from `64k`, `1.5G`, `0x200`: suffixes b, k, M, G, T, P, E are powers of 1024, in either case; a fraction needs
 * one of them, and what remains of a byte is cut off.
 */
export function parseSize(text: string): ParsedNumber {
  const hex = /^[ \t\n]*\+?0x([0-9a-f]+)$/i.exec(text);
  if (hex) return withinRange(Number.parseInt(hex[1]!, 16));
  const match = /^[ \t\n]*\+?(\d+)(\.\d*)?([bkmgtpe]?)$/i.exec(text);
  if (!match) return invalid;
  const [, whole, point = '', suffix] = match;
  const power = sizePowers[suffix!.toLowerCase()] ?? 0;
  const fraction = Number(`0${point.length > 1 ? point : ''}`);
  if (fraction > 0 && power === 0) return invalid;
  const unit = 1024 ** power;
  return withinRange(Number(whole) * unit + Math.floor(fraction * unit));
}

function withinRange(value: number): ParsedNumber {
  return value < sizeLimit ? { ok: true, value } : { ok: false, problem: 'range' };
}

/** Decimal, `0x` hexadecimal or `0` octal, from 0 to `max`; undefined for anything else. */
export function parseInteger(text: string, max: number): number | undefined {
  const match = /^[ \t\n]*\+?(?:0x([0-9a-f]+)|0([0-7]*)|([1-9]\d*))$/i.exec(text);
  if (!match) return undefined;
  const [, hex, octal, decimal] = match;
  const value = hex ? Number.parseInt(hex, 16) : decimal ? Number(decimal) : Number.parseInt(octal || '0', 8);
  return value <= max ? value : undefined;
}
