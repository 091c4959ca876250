/**
 * Writing JSON exactly as QEMU does: ASCII only, members in dictionary order, C's `%.17g` for fractions
 * (specification: qmp-protocol, section 1).
 */
import { inDictionaryOrder } from './dictionary-order.ts';
import { JsonDouble } from './json-value.ts';

/** On one line. */
export function formatJson(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(formatJson).join(', ')}]`;
  if (isObject(value)) {
    const members = inDictionaryOrder(value).map(([key, member]) => `${quote(key)}: ${formatJson(member)}`);
    return `{${members.join(', ')}}`;
  }
  return formatScalar(value);
}

/** On several lines, indented by 4; an empty object or array still takes two lines. */
export function formatPrettyJson(value: unknown, newline = '\n', indent = ''): string {
  const inner = `${indent}    `;
  const wrap = (open: string, parts: string[], close: string): string =>
    `${open}${newline}${parts.map((part) => inner + part).join(`,${newline}`)}${parts.length ? newline : ''}${indent}${close}`;
  if (Array.isArray(value)) {
    return wrap(
      '[',
      value.map((element) => formatPrettyJson(element, newline, inner)),
      ']',
    );
  }
  if (isObject(value)) {
    const members = inDictionaryOrder(value).map(
      ([key, member]) => `${quote(key)}: ${formatPrettyJson(member, newline, inner)}`,
    );
    return wrap('{', members, '}');
  }
  return formatScalar(value);
}

function isObject(value: unknown): value is object {
  return typeof value === 'object' && value !== null && !(value instanceof JsonDouble);
}

function formatScalar(value: unknown): string {
  switch (typeof value) {
    case 'string':
      return quote(value);
    case 'number':
      return Number.isInteger(value) && Math.abs(value) < 2 ** 64
        ? String(BigInt(value))
        : formatDouble(value);
    case 'bigint':
    case 'boolean':
      return String(value);
    default:
      return value instanceof JsonDouble ? formatDouble(value.value) : 'null';
  }
}

/** C's `%.17g`: 17 significant digits, no trailing zeros, an exponent of at least two digits where it is shorter. */
function formatDouble(value: number): string {
  if (!Number.isFinite(value)) return Number.isNaN(value) ? 'nan' : value < 0 ? '-inf' : 'inf';
  if (value === 0) return Object.is(value, -0) ? '-0' : '0';
  const [digits, exponentText] = value.toExponential(16).split('e') as [string, string];
  const exponent = Number(exponentText);
  if (exponent < -4 || exponent >= 17) {
    const sign = exponent < 0 ? '-' : '+';
    return `${trimZeros(digits)}e${sign}${String(Math.abs(exponent)).padStart(2, '0')}`;
  }
  return trimZeros(value.toFixed(Math.min(100, Math.max(0, 16 - exponent))));
}

function trimZeros(digits: string): string {
  return digits.includes('.') ? digits.replace(/\.?0+$/, '') : digits;
}

const shortEscapes: Record<string, string> = {
  '"': '\\"',
  '\\': '\\\\',
  '\b': '\\b',
  '\f': '\\f',
  '\n': '\\n',
  '\r': '\\r',
  '\t': '\\t',
};

function quote(text: string): string {
  // Almost every string needs no escape.
  if (/^[ !#-[\]-~]*$/.test(text)) return `"${text}"`;
  // Halves of characters, and what is never one.
  text = text.replace(/\p{Cs}|\p{NChar}/gu, '\ufffd');
  let result = '"';
  for (let i = 0; i < text.length; i++) {
    const char = text[i]!; // i < length
    const code = text.charCodeAt(i);
    if (shortEscapes[char] !== undefined) result += shortEscapes[char];
    else if (code < 0x20 || code >= 0x7f) result += `\\u${code.toString(16).toUpperCase().padStart(4, '0')}`;
    else result += char;
  }
  return `${result}"`;
}
