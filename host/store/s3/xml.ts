/**
 * As much XML as answers of object stores have: elements without attributes that matter, and text. What is asked for is found in time
 * that grows with the text alone, however broken it is.
 */

/** What is between the tags of each element of that name, in their order. Elements of the same name within are not told apart. */
export function* elements(xml: string, name: string): Generator<string> {
  const close = `</${name}>`;
  for (let at = 0; ; ) {
    const start = openingEnd(xml, name, at);
    const end = start < 0 ? -1 : xml.indexOf(close, start);
    if (end < 0) return;
    yield xml.slice(start, end);
    at = end + close.length;
  }
}

/** The text of the first element of that name. Undefined: there is none. */
export function textOf(xml: string, name: string): string | undefined {
  for (const content of elements(xml, name)) return content.replace(/&(#x?)?(\w+);/g, character);
  return undefined;
}

/** `text` as it may stand in an element. */
export function escaped(text: string): string {
  return text.replace(/[&<>"]/g, (char) => `&#${char.charCodeAt(0)};`);
}

/** Behind `<NAME>` or `<NAME …>`; negative: there is none. */
function openingEnd(xml: string, name: string, from: number): number {
  const open = `<${name}`;
  for (let at = xml.indexOf(open, from); at >= 0; at = xml.indexOf(open, at + 1)) {
    const next = xml[at + open.length];
    if (next === '>') return at + open.length + 1;
    if (next !== ' ') continue;
    const end = xml.indexOf('>', at);
    return end < 0 ? -1 : end + 1;
  }
  return -1;
}

const named: Readonly<Record<string, string>> = { amp: '&', lt: '<', gt: '>', quot: '"', apos: "'" };

function character(whole: string, numeric: string | undefined, name: string): string {
  if (numeric === undefined) return named[name] ?? whole;
  const code = Number.parseInt(name, numeric === '#x' ? 16 : 10);
  return code > 0 && code <= 0x10ffff ? String.fromCodePoint(code) : whole;
}
