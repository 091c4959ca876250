/** Where what can stand in a command line of this program, for the scripts of shells. */
import type { Option } from '../manual/options.ts';
import type { CommandWords } from './words.ts';

/** What can stand at a place of the command line: `command/subcommand`, either may be empty or `*`. */
interface Place {
  readonly pattern: string;
  readonly names: readonly { name: string; help: string }[];
  readonly options: readonly Option[];
}

export const ownOptions: readonly Option[] = [
  { spellings: ['--help'], help: 'show the commands, and exit' },
  { spellings: ['--version'], help: 'show the version, and exit' },
];
export const helpCommand = { name: 'help', help: 'tell about a command' };

/** What `blockyard completion` takes. */
export const shells = ['bash', 'zsh', 'fish'].map((name) => ({ name, help: `for ${name}` }));

/** All of them; a shell takes the first that fits. */
export function placesOf(words: readonly CommandWords[]): Place[] {
  const withSubcommands = words.filter(({ subcommands }) => subcommands.length > 0);
  const others = words.filter(({ name, subcommands }) => subcommands.length === 0 && name !== 'completion');
  return [
    { pattern: '/', names: [helpCommand, ...words], options: ownOptions },
    { pattern: 'help/', names: words, options: [] },
    ...withSubcommands.map(({ name, subcommands }) => ({
      pattern: `help/${name}`,
      names: subcommands,
      options: [],
    })),
    { pattern: 'completion/', names: shells, options: [] },
    ...withSubcommands.flatMap(({ name, options, subcommands }) => [
      { pattern: `${name}/`, names: subcommands, options },
      ...subcommands.map((one) => ({ pattern: `${name}/${one.name}`, names: [], options: one.options })),
    ]),
    ...others.map(({ name, options }) => ({ pattern: `${name}/*`, names: [], options })),
  ];
}

/** What names of links stand for. */
export function linksOf(words: readonly CommandWords[]): { link: string; command: string }[] {
  return words.flatMap(({ name, links }) => links.map((link) => ({ link, command: name })));
}

/** In bash and zsh: does `complete` with each `$link` that is this program. */
export function whereLinked(words: readonly CommandWords[], complete: string): string {
  const links = linksOf(words).map(({ link }) => link);
  return [
    `for link in ${links.join(' ')}; do`,
    `  [ "$(command -v $link)" -ef "$(command -v blockyard)" ] && ${complete}`,
    'done',
    'unset link',
  ].join('\n');
}
