/**
 * What the console knows beside QMP, as QEMU's human monitor has it: `help`, `help COMMAND`, `info` and `info NAME`, which asks
 * `query-NAME` and shows the answer as lines. What there is follows from the monitor's schema.
 */
import type { Completer } from './console-completion.ts';

const query = 'query-';

/** The command of QMP behind `info NAME`. */
export const queryOf = (name: string): string => `${query}${name}`;

/** `about`: a command; undefined: all of them. Errors: there is no such command. */
export function help(completer: Completer, about: string | undefined): string {
  if (about === undefined) {
    return [
      'command argument=value …  or  {"execute": "command", "arguments": {…}}',
      'help COMMAND              its arguments',
      'info, info NAME           what can be asked for, shown as lines',
      'Tab completes, Up and Down go through what was typed before.',
      '',
      ...completer.commands,
    ].join('\n');
  }
  if (!completer.commands.includes(about)) throw new Error(`The command ${about} has not been found`);
  const members = completer.argumentsOf(about);
  if (members.length === 0) return `${about}: no arguments`;
  return [about, ...members.map(({ text, hint }) => `  ${text}${hint}`)].join('\n');
}

/** What `info` can be asked for. */
export function infoNames(commands: readonly string[]): string[] {
  return commands.filter((name) => name.startsWith(query)).map((name) => name.slice(query.length));
}

/** An answer as indented lines, a member or an element each. */
export function asLines(answer: unknown, indent = ''): string {
  if (typeof answer !== 'object' || answer === null) return `${indent}${String(answer)}`;
  const isList = Array.isArray(answer);
  const entries = Object.entries(answer);
  if (entries.length === 0) return `${indent}(${isList ? 'none' : 'empty'})`;
  return entries
    .map(([name, value]) => {
      const label = isList ? `${indent}-` : `${indent}${name}:`;
      const isDeep = typeof value === 'object' && value !== null && Object.keys(value).length > 0;
      if (!isDeep) return `${label} ${asLines(value)}`;
      const below = asLines(value, `${indent}  `);
      return isList ? `${label} ${below.slice(indent.length + 2)}` : `${label}\n${below}`;
    })
    .join('\n');
}
