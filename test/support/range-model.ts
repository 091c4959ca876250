/**
 * Which bytes a Range header asks for, by RFC 9110 read as a grammar: the whole header is one pattern, and a byte is asked for when
 * one of the ranges has it. Slow, and without arithmetic on positions.
 */

const spec = String.raw`(?:\d+-\d*|-\d+)`;
const space = String.raw`[ \t]*`;
/** RFC 9110, section 5.6.1.2: recipients accept empty elements of lists. */
const grammar = new RegExp(`^bytes=(?:${spec})?(?:${space},${space}(?:${spec})?)*$`, 'i');

export type ModelAnswer =
  | { readonly status: 200 }
  | { readonly status: 416 }
  /** Its bytes are these, from `first` on. */
  | { readonly status: 206; readonly first: number; readonly bytes: Uint8Array };

/** For a server that answers several ranges with all of the content, as it may. */
export function answerByModel(header: string, content: Uint8Array): ModelAnswer {
  const specs = header.match(new RegExp(spec, 'g')) ?? [];
  if (!grammar.test(header) || specs.length === 0 || specs.some(endsBeforeItBegins)) return { status: 200 };
  const found = specs.map((one) => positionsOf(one, content.length)).filter(({ length }) => length > 0);
  if (found.length === 0) return { status: 416 };
  if (found.length > 1) return { status: 200 };
  const [positions] = found;
  const bytes = Uint8Array.from(positions!, (position) => content[position]!);
  return { status: 206, first: positions![0]!, bytes };
}

function endsBeforeItBegins(range: string): boolean {
  const [first, last] = range.split('-');
  return first !== '' && last !== '' && BigInt(last!) < BigInt(first!);
}

function positionsOf(range: string, length: number): number[] {
  const [first, last] = range.split('-') as [string, string];
  const all = Array.from({ length }, (_, position) => position);
  if (first === '') return all.filter((position) => BigInt(length - position) <= BigInt(last));
  return all.filter(
    (position) => BigInt(first) <= BigInt(position) && (last === '' || BigInt(position) <= BigInt(last)),
  );
}
