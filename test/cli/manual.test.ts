/** The manual pages: every option of every command stands in one, and programs that show manual pages have nothing to say. */
import { spawnSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { beforeAll, describe, expect, test } from 'vitest';
import { commands } from '../../host/cli/commands.ts';
import { allWords, type CommandWords } from '../../host/cli/completion/words.ts';
import { commands as ioCommands } from '../../host/cli/io/commands.ts';
import type { Option } from '../../host/cli/manual/options.ts';
import { manualPages } from '../../host/cli/manual/pages.ts';
import { plain } from '../../host/cli/manual/roff.ts';
import { scratchDirectory } from '../support/scratch.ts';
import { requireAll } from '../support/tools.ts';

const scratch = scratchDirectory();
let pages: Map<string, string>;
let words: CommandWords[];

beforeAll(async () => {
  pages = await manualPages('2026-11-30');
  words = await allWords(commands);
});

/** As somebody reads it, but for where lines break. */
function readable(page: string): string {
  return page.replace(/\\f./g, '').replace(/\\&/g, '').replace(/\\-/g, '-').replace(/\\e/g, '\\');
}

/** `-q, --quiet` and what its argument is called, on a line of its own, and a sentence behind it. */
function entryOf({ spellings, argument }: Option): RegExp {
  const head = `${spellings.join(', ')}${argument === undefined ? '' : ` ${argument.replace(/…/g, '...')}`}`;
  return new RegExp(`^${head.replace(/[\\^$.*+?()[\]{}|]/g, '\\$&')}\n[A-Z].*[.!?]$`, 'm');
}

describe('the manual pages', () => {
  test('are those that the package declares', () => {
    const manifest = readFileSync(resolve(import.meta.dirname, '../../package.json'), 'utf8');
    const { man } = JSON.parse(manifest) as { man: string[] };
    expect([...pages.keys()].map((name) => `dist/man/${name}`).sort()).toEqual(man.sort());
  });

  test('have each option of each command, and what it does', () => {
    const missing: string[] = [];
    for (const { name, options, subcommands } of words) {
      const page = readable(pages.get(`blockyard-${name}.1`)!); // the test above
      const parts = page.split(/^\.SS "(?=[a-z]+"$)/m);
      const partOf = (subcommand: string): string =>
        parts.find((part) => part.startsWith(`${subcommand}"`)) ?? '';
      for (const option of options)
        if (!entryOf(option).test(parts[0]!)) missing.push(`${name} ${option.spellings}`); // there is a first part
      for (const one of subcommands)
        for (const option of one.options)
          if (!entryOf(option).test(partOf(one.name)))
            missing.push(`${name} ${one.name} ${option.spellings}`);
    }
    expect(missing).toEqual([]);
    expect(words.flatMap(({ options }) => options).length).toBeGreaterThan(90);
  });

  test('have each command, and each command of io', () => {
    const overview = readable(pages.get('blockyard.1')!); // the first test
    for (const { name } of words) expect(overview).toContain(`.B ${name}\n`);
    const ofIo = readable(pages.get('blockyard-io.1')!); // the first test
    for (const { name, alias } of ioCommands)
      expect(ofIo).toMatch(new RegExp(`^\\.B ${name}${alias === undefined ? '' : `, ${alias}`}( |$)`, 'm'));
  });

  test('say text as it is, whatever roff would make of it', () => {
    expect(plain(".SH 'x' \\fB a-b …")).toBe("\\&.SH 'x' \\efB a\\-b ...");
    expect(plain("'x'")).toBe("\\&'x'");
    expect(plain('ü')).toBe('\\[u00FC]');
  });

  const readers: readonly [program: string, args: string[]][] = [
    ['mandoc', ['-T', 'lint', '-W', 'warning']],
    ['man', ['--warnings', '-P', 'cat', '-l']],
  ];
  describe.each(readers)('by %s', (program, args) => {
    const isThere = requireAll || spawnSync(program, ['/dev/null']).error === undefined;
    test.skipIf(!isThere)('are shown without a complaint', () => {
      for (const [name, text] of pages) {
        const file = join(scratch(''), name);
        writeFileSync(file, text);
        const { status, stdout, stderr } = spawnSync(program, [...args, file], { encoding: 'utf8' });
        expect({ name, status, complaints: program === 'man' ? stderr : stdout + stderr }).toEqual({
          name,
          status: 0,
          complaints: '',
        });
      }
    });
  });
});
