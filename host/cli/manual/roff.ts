/**
 * The few requests of man(7) that manual pages here are made of. Text is given as it is to be read: what roff would take for
 * something else is escaped here, and nowhere else.
 */
import type { Option } from './options.ts';

/** As it is to be read, on a line of its own or behind a request. */
export function plain(text: string): string {
  const escaped = text
    .replace(/\\/g, '\\e')
    .replace(/…/g, '...')
    .replace(/-/g, '\\-')
    .replace(/[^\0-\x7f]/g, (character) => `\\[u${hex(character)}]`);
  return /^[.']/.test(escaped) ? `\\&${escaped}` : escaped;
}

/** Names of glyphs have four digits at least. */
function hex(character: string): string {
  return character.codePointAt(0)!.toString(16).toUpperCase().padStart(4, '0'); // it is a character
}

/** An argument of a request. */
const argument = (text: string): string => `"${plain(text).replace(/"/g, '\\(dq')}"`;

/** `date`: of the page, `YYYY-MM-DD`. */
export function title(name: string, { date, version }: { date: string; version: string }): string {
  return `.TH ${name.toUpperCase()} 1 ${date} "blockyard ${version}" "blockyard"`;
}

export const section = (name: string): string => `.SH ${argument(name.toUpperCase())}`;

export const subsection = (name: string): string => `.SS ${argument(name)}`;

export const paragraphs = (texts: readonly string[]): string => texts.map(plain).join('\n.PP\n');

/** Lines that stay as they are: what somebody types. */
export function example(lines: readonly string[]): string {
  return ['.nf', ...lines.map(plain), '.fi'].join('\n');
}

/** Of a list: what it is about, in bold, and what there is to say. */
export function item(name: string, text: string): string {
  return `.TP\n.B ${plain(name)}\n${plain(text)}`;
}

/** All spellings in bold, and behind them what the argument is called. */
export function optionItem({ spellings, argument: value, help }: Option): string {
  const names = spellings.map((word) => `\\fB${plain(word)}\\fR`).join(', ');
  return `.TP\n${names}${value === undefined ? '' : ` \\fI${plain(value)}\\fR`}\n${plain(sentence(help))}`;
}

/** As sentences stand in a page: with a capital letter and a full stop. */
export function sentence(text: string): string {
  const first = text.charAt(0).toUpperCase() + text.slice(1);
  return /[.!?]$/.test(first) ? first : `${first}.`;
}
