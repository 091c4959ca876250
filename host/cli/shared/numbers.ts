/**
 * Numbers on command lines: sizes with a suffix, and plain integers as C's strtol with base 0 reads them.
 */
import { isBeyondSizes, parseSize as parseUnsignedSize } from '../../qapi/sizes.ts';

export type ParsedNumber = { ok: true; value: number } | { ok: false; problem: 'invalid' | 'range' };

/** Sizes and offsets are signed 64-bit in QEMU's tools. Beyond 2^53 a double is not exact any more. */
const sizeLimit = 2 ** 63;

/** Bytes from `64k`, `1.5G`, `0x200` (qapi/sizes.ts), told apart from what is just too large. */
export function parseSize(text: string): ParsedNumber {
  const value = parseUnsignedSize(text);
  if (value !== undefined && (value < sizeLimit || isRoundedUp(text))) return { ok: true, value };
  const isNumber = value !== undefined || isBeyondSizes(text);
  return { ok: false, problem: isNumber ? 'range' : 'invalid' };
}

/** Whether a number in the last 512 below the limit is written out, which as a double is the limit. */
function isRoundedUp(text: string): boolean {
  const [, digits] = /^\s*\+?(0x[0-9a-f]+|\d+)b?$/i.exec(text) ?? [];
  return digits !== undefined && BigInt(digits) < BigInt(sizeLimit);
}

/** Decimal, `0x` hexadecimal or `0` octal, with a sign if it is not negative; told apart from what is negative. */
export function parseCount(text: string): ParsedNumber {
  const match = /^[ \t\n]*([+-]?)(?:0x([0-9a-f]+)|0([0-7]*)|([1-9]\d*))$/i.exec(text);
  if (!match) return { ok: false, problem: 'invalid' };
  const [, sign, hex, octal, decimal] = match;
  if (sign === '-') return { ok: false, problem: 'range' };
  const value = hex ? Number.parseInt(hex, 16) : decimal ? Number(decimal) : Number.parseInt(octal || '0', 8);
  return { ok: true, value };
}

/** As `parseCount`, from 0 to `max`; undefined for anything else. */
export function parseInteger(text: string, max: number): number | undefined {
  const parsed = parseCount(text);
  return parsed.ok && parsed.value <= max ? parsed.value : undefined;
}
