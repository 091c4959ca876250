/** Options of machines as people are told of them: with one dash, and without those that are refused. */
import { type OptionKind, takesArgument } from '../system/options.ts';
import type { OptionTexts } from './option-texts.ts';
import { described, type Option } from './options.ts';

export function fromTable(table: Readonly<Record<string, OptionKind>>, texts: OptionTexts): Option[] {
  return Object.entries(table)
    .filter(([, kind]) => kind !== 'refused')
    .map(([name, kind]) => described([`-${name}`], takesArgument(kind), texts[name]));
}
