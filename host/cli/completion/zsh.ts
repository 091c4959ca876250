/** The completion script of zsh, which shows what each word is for. */
import { linksOf, placesOf, whereLinked } from './places.ts';
import type { CommandWords } from './words.ts';

const quoted = (text: string): string => `'${text.replace(/'/g, "'\\''")}'`;

export function zsh(words: readonly CommandWords[]): string {
  const links = linksOf(words);
  const described = (word: string, help: string): string => quoted(`${word.replace(/:/g, '\\:')}:${help}`);
  const cases = placesOf(words).map(({ pattern, names, options }) => {
    const ofNames = names.map(({ name, help }) => described(name, help));
    const ofOptions = options.flatMap(({ spellings, help }) =>
      spellings.map((word) => described(word, help)),
    );
    return `    (${pattern}) names=(${ofNames.join(' ')}) options=(${ofOptions.join(' ')}) ;;`;
  });
  return `# Completes what blockyard is told. In zsh: source <(blockyard completion zsh)
(( $+functions[compdef] )) || { autoload -Uz compinit && compinit }
_blockyard() {
  local -a names options before=("\${(@)words[2,CURRENT-1]}")
  case \${words[1]:t} in
${links.map(({ link, command }) => `    (${link}) before=(${command} "$before[@]") ;;`).join('\n')}
  esac
  case $before[1]/$before[2] in
${cases.join('\n')}
  esac
  if [[ $PREFIX == -* ]] && (( $#options )); then
    _describe -o option options
  elif (( $#names )); then
    _describe command names
  else
    _files
  fi
}
compdef _blockyard blockyard
${whereLinked(words, 'compdef _blockyard $link')}
`;
}
