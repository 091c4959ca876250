/**
 * Numbers on command lines: sizes with a suffix, and plain integers as C's strtol with base 0 reads them. All digits are kept: who
 * only shows a number shows what was written, and who goes on with a double decides so.
 */
import { isBeyondSizes, readSize } from '../../qapi/sizes.ts';

export type ParsedNumber = { ok: true; value: bigint } | { ok: false; problem: 'invalid' | 'range' };

/** Sizes and offsets are signed 64-bit in QEMU's tools. */
const limit = 2n ** 63n;

/** Bytes from `64k`, `1.5G`, `0x200` (qapi/sizes.ts), told apart from what is just too large. */
export function parseSize(text: string): ParsedNumber {
  const value = readSize(text);
  if (value !== undefined && value < limit) return { ok: true, value };
  return { ok: false, problem: value !== undefined || isBeyondSizes(text) ? 'range' : 'invalid' };
}

/** Decimal, `0x` hexadecimal or `0` octal, with a sign if it is not negative; told apart from what is negative. */
export function parseCount(text: string): ParsedNumber {
  const match = /^[ \t\n]*([+-]?)(?:0x([0-9a-f]+)|0([0-7]*)|([1-9]\d*))$/i.exec(text);
  if (!match) return { ok: false, problem: 'invalid' };
  const [, sign, hex, octal, decimal] = match;
  const value = BigInt(hex ? `0x${hex}` : (decimal ?? `0o${octal || '0'}`));
  return sign === '-' && value > 0n ? { ok: false, problem: 'range' } : { ok: true, value };
}

/** As `parseCount`, from 0 to `max`; undefined for anything else. */
export function parseInteger(text: string, max: number): number | undefined {
  const parsed = parseCount(text);
  return parsed.ok && parsed.value <= max ? Number(parsed.value) : undefined;
}
