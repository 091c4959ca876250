/**
 * Completion scripts for shells. They hold all that they need, so that a key costs no start of the program. Where none of the words
 * fits, and behind options, names of files are offered.
 */
import type { CommandWords, Option } from './words.ts';

type Script = (words: readonly CommandWords[]) => string;

export const scripts: Readonly<Record<string, Script>> = { bash, zsh, fish };

function spelled({ form, name }: Option): string {
  return form === 'long' ? `--${name}` : `-${name}`;
}

const namesOf = (words: readonly CommandWords[]): string => words.map(({ name }) => name).join(' ');

/** Of one command: what it is told by, and what can follow. */
function bashCase(pattern: string, { options, subcommands }: CommandWords): string {
  const names = subcommands.length === 0 ? '' : `names='${namesOf(subcommands)}' `;
  return `    ${pattern}) ${names}options='${options.map(spelled).join(' ')}' ;;`;
}

function bash(words: readonly CommandWords[]): string {
  const withSubcommands = words.filter(({ subcommands }) => subcommands.length > 0);
  const cases = [
    `    /) names='help ${namesOf(words)}' options='--help --version' ;;`,
    `    help/) names='${namesOf(words)}' ;;`,
    ...withSubcommands.map(
      (command) => `    help/${command.name}) names='${namesOf(command.subcommands)}' ;;`,
    ),
    `    completion/) names='${Object.keys(scripts).join(' ')}' ;;`,
    ...withSubcommands.flatMap((command) => [
      bashCase(`${command.name}/`, command),
      ...command.subcommands.map((one) => bashCase(`${command.name}/${one.name}`, one)),
    ]),
    ...words
      .filter(({ name, subcommands }) => subcommands.length === 0 && name !== 'completion')
      .map((command) => bashCase(`${command.name}/*`, command)),
  ];
  return `# Completes what blockyard is told. In bash: source <(blockyard completion bash)
_blockyard() {
  local word=\${COMP_WORDS[COMP_CWORD]} command= subcommand= names= options=
  [ "$COMP_CWORD" -gt 1 ] && command=\${COMP_WORDS[1]}
  [ "$COMP_CWORD" -gt 2 ] && subcommand=\${COMP_WORDS[2]}
  case $command/$subcommand in
${cases.join('\n')}
  esac
  case $word in
    -*) names=$options ;;
  esac
  COMPREPLY=($(compgen -W "$names" -- "$word"))
}
complete -o default -F _blockyard blockyard
`;
}

/** zsh takes completions of bash. */
function zsh(words: readonly CommandWords[]): string {
  const [, ...lines] = bash(words).split('\n');
  return [
    '# Completes what blockyard is told. In zsh: source <(blockyard completion zsh)',
    'autoload -U +X compinit && compinit',
    'autoload -U +X bashcompinit && bashcompinit',
    ...lines,
  ].join('\n');
}

function fish(words: readonly CommandWords[]): string {
  const start = '__fish_use_subcommand';
  const seen = (...names: readonly string[]): string => `__fish_seen_subcommand_from ${names.join(' ')}`;
  const lines = [
    '# Completes what blockyard is told. In fish: blockyard completion fish | source',
    fishName(start, 'help', 'tell about a command'),
    ...words.map(({ name, help }) => fishName(start, name, help)),
    ...Object.keys(scripts).map((name) => fishName(seen('completion'), name, `for ${name}`)),
  ];
  for (const { name, options, subcommands } of words) {
    const names = subcommands.map((one) => one.name);
    const alone = names.length === 0 ? seen(name) : `${seen(name)}; and not ${seen(...names)}`;
    lines.push(...options.map((option) => fishOption(alone, option)));
    lines.push(...subcommands.map((one) => fishName(alone, one.name, one.help)));
    for (const one of subcommands) {
      const condition = `${seen(name)}; and ${seen(one.name)}`;
      lines.push(...one.options.map((option) => fishOption(condition, option)));
    }
  }
  return `${lines.join('\n')}\n`;
}

const quoted = (text: string): string => `'${text.replace(/[\\']/g, '\\$&')}'`;

function fishName(condition: string, name: string, help: string): string {
  return `complete -c blockyard -n ${quoted(condition)} -a ${name} -d ${quoted(help)}`;
}

const fishForms = { short: '-s', long: '-l', 'single-dash': '-o' } as const;

function fishOption(condition: string, { form, name, hasArgument }: Option): string {
  return `complete -c blockyard -n ${quoted(condition)} ${fishForms[form]} ${name}${hasArgument ? ' -r' : ''}`;
}
