/**
 * Which compressed form of a file a client takes, by its Accept-Encoding (RFC 9110, section 12.5.3). The forms were made when the page
 * was built; nothing is compressed while somebody waits. Whoever takes none gets the file as it is.
 */

export interface ContentCoding {
  /** As HTTP calls it. */
  readonly name: string;
  /** Of a file that is in it. */
  readonly suffix: string;
}

/** Smallest results first. */
const codings: readonly ContentCoding[] = [
  { name: 'br', suffix: '.br' },
  { name: 'gzip', suffix: '.gz' },
];

/** Old names that still mean the same (RFC 9110, section 8.4.1.3). */
const aliases: Readonly<Record<string, string>> = { 'x-gzip': 'gzip' };

/** Those that the client takes, what it likes best first, and of equals the smallest. One it likes less than the file itself is none. */
export function acceptedCodings(header: string | string[] | undefined): ContentCoding[] {
  const weights = readWeights(String(header ?? ''));
  const weightOf = (name: string): number => weights.get(name) ?? weights.get('*') ?? 0;
  const plain = weights.get('identity') ?? 0;
  return codings
    .filter(({ name }) => weightOf(name) > 0 && weightOf(name) >= plain)
    .sort((a, b) => weightOf(b.name) - weightOf(a.name));
}

/** By the name of a coding, in lower case. What is not well-formed is left out. */
function readWeights(header: string): Map<string, number> {
  const weights = new Map<string, number>();
  for (const part of header.toLowerCase().split(',')) {
    const [, name, weight = '1'] =
      /^\s*([\w!#$%&'*+.^`|~-]+)\s*(?:;\s*q=(0(?:\.\d{0,3})?|1(?:\.0{0,3})?)\s*)?$/.exec(part) ?? [];
    if (name !== undefined) weights.set(aliases[name] ?? name, Number(weight));
  }
  return weights;
}
