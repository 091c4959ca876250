/**
 * The Range header, as RFC 9110 (sections 14.1 and 14.2) has it: which bytes of a file a request asks for.
 *
 * Total: any text has an answer. What is not a set of byte ranges, and a range that ends before it begins, is ignored as the
 * RFC allows, and so the whole file is the answer. So it is where several ranges of the file are asked for: there are no
 * multipart answers.
 */

/** Both inclusive, both within the file. */
export interface ByteRange {
  readonly first: number;
  readonly last: number;
}

/** In characters. Longer ones are ignored. */
const maxHeaderLength = 1000;

const unit = /^bytes=/i;
const separator = /[ \t]*,[ \t]*/;
const rangeSpec = /^(?:(?<first>\d+)-(?<last>\d*)|-(?<suffix>\d+))$/;

/** `length`: of the file, in bytes. */
export function rangeOf(
  header: string | undefined,
  length: number,
): ByteRange | 'whole file' | 'unsatisfiable' {
  if (header === undefined || header.length > maxHeaderLength || !unit.test(header)) return 'whole file';
  const specs = header
    .slice(header.indexOf('=') + 1)
    .split(separator)
    .filter((spec) => spec !== '');
  const within: ByteRange[] = [];
  for (const spec of specs) {
    const found = rangeSpec.exec(spec)?.groups;
    if (!found) return 'whole file';
    const range = found['suffix'] === undefined ? span(found, length) : suffix(found['suffix'], length);
    if (range === 'invalid') return 'whole file';
    if (range) within.push(range);
  }
  if (specs.length === 0 || within.length > 1) return 'whole file';
  const [only] = within;
  if (!only) return 'unsatisfiable';
  // The end of an empty file: no range can name it.
  return length === 0 ? 'whole file' : only;
}

/** Undefined: nothing of it is within the file. */
function span(
  { first, last }: Readonly<Record<string, string | undefined>>,
  length: number,
): ByteRange | 'invalid' | undefined {
  // Beyond 2^53 numbers are no longer told apart, and positions may have any number of digits.
  const start = BigInt(first!); // the pattern has it
  const end = last ? BigInt(last) : undefined;
  if (end !== undefined && end < start) return 'invalid';
  if (start >= length) return undefined;
  return { first: Number(start), last: end === undefined || end >= length ? length - 1 : Number(end) };
}

/** The last bytes; all of them when it is longer than the file. */
function suffix(digits: string, length: number): ByteRange | undefined {
  const bytes = Number(digits);
  return bytes === 0 ? undefined : { first: Math.max(0, length - bytes), last: length - 1 };
}
