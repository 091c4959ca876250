/** The completion script of bash. */
import { linksOf, placesOf, whereLinked } from './places.ts';
import type { CommandWords } from './words.ts';

export function bash(words: readonly CommandWords[]): string {
  const links = linksOf(words);
  const cases = placesOf(words).map(({ pattern, names, options }) => {
    const parts = [
      ...(names.length === 0 ? [] : [`names='${names.map(({ name }) => name).join(' ')}'`]),
      ...(options.length === 0
        ? []
        : [`options='${options.flatMap(({ spellings }) => spellings).join(' ')}'`]),
    ];
    return `    ${pattern}) ${parts.join(' ')} ;;`;
  });
  return `# Completes what blockyard is told. In bash: source <(blockyard completion bash)
_blockyard() {
  local word=\${COMP_WORDS[COMP_CWORD]} names= options=
  local -a before=("\${COMP_WORDS[@]:1:COMP_CWORD-1}")
  case \${COMP_WORDS[0]##*/} in
${links.map(({ link, command }) => `    ${link}) before=(${command} "\${before[@]}") ;;`).join('\n')}
  esac
  case \${before[0]}/\${before[1]} in
${cases.join('\n')}
  esac
  case $word in
    -*) names=$options ;;
  esac
  COMPREPLY=($(compgen -W "$names" -- "$word"))
}
complete -o default -F _blockyard blockyard
${whereLinked(words, 'complete -o default -F _blockyard $link')}
`;
}
