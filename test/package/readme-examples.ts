/** The code blocks of the READMEs, by the language that each is marked with. */
import { readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';

const root = resolve(import.meta.dirname, '../..');

export interface Block {
  /** Empty: none, as for what a program prints. */
  readonly language: string;
  readonly text: string;
}

export function blocksOf(page: string): Block[] {
  const text = readFileSync(join(root, page), 'utf8');
  return [...text.matchAll(/^```(\w*)\n(.*?)^```/gms)].map(([, language, code]) => ({
    language: language!, // the pattern has both
    text: code!,
  }));
}

/** The first block in `language`, and the one behind it: what the program prints, if the page says it. */
export function exampleOf(page: string, language: string): { program: string; printed: string } {
  const blocks = blocksOf(page);
  const at = blocks.findIndex((block) => block.language === language);
  const program = blocks[at];
  if (!program) throw new Error(`${page} has no example in ${language}`);
  const next = blocks[at + 1];
  return { program: program.text, printed: next?.language === '' ? next.text : '' };
}

/** What the page's script is, without the page around it. */
export function scriptOf(html: string): string {
  const [, script] = /<script type="module">\n(.*?)<\/script>/s.exec(html) ?? [];
  if (script === undefined) throw new Error('There is no script in the page');
  return script;
}
