/**
 * What can be typed next in the console, by the monitor's own schema: commands, their arguments, and what values those have.
 *
 * A line is a command and `argument=value` pairs, or the JSON that goes over the wire.
 */
import { infoNames } from './console-commands.ts';

interface Entry {
  readonly name: string;
  readonly 'meta-type': string;
  readonly 'arg-type'?: string;
  readonly members?: readonly { readonly name: string; readonly type: string; readonly default?: null }[];
  readonly values?: readonly string[];
  readonly 'json-type'?: string;
}

export interface Completion {
  /** What the word becomes. */
  readonly text: string;
  readonly hint: string;
}

const mostShown = 40;

export class Completer {
  private readonly entries: ReadonlyMap<string, Entry>;
  /** In the order of the alphabet. */
  readonly commands: readonly string[];

  /** `schema` is the answer of `query-qmp-schema`. */
  constructor(schema: readonly unknown[]) {
    const entries = schema as readonly Entry[];
    this.entries = new Map(entries.map((entry) => [entry.name, entry]));
    this.commands = entries
      .filter((entry) => entry['meta-type'] === 'command')
      .map(({ name }) => name)
      .sort();
  }

  complete(line: string): Completion[] {
    if (line.trimStart().startsWith('{')) return [];
    const words = line.trimStart().split(/\s+/);
    const [command = '', ...others] = words;
    const word = words.at(-1) ?? '';
    return this.completionsOf(command, others, word).slice(0, mostShown);
  }

  /** Each as it is completed, with its kind. */
  argumentsOf(command: string): Completion[] {
    return this.argumentsLike(command, [], '');
  }

  private completionsOf(command: string, others: readonly string[], word: string): Completion[] {
    if (others.length === 0) return [...ownLike(word), ...this.commandsLike(word)];
    if (command === 'help') return others.length === 1 ? this.commandsLike(word) : [];
    if (command === 'info') {
      const names = others.length === 1 ? infoNames(this.commands) : [];
      return names.filter((name) => name.startsWith(word)).map((text) => ({ text, hint: 'query' }));
    }
    return this.argumentsLike(command, others, word);
  }

  private commandsLike(word: string): Completion[] {
    const starting = this.commands.filter((name) => name.startsWith(word));
    const having = this.commands.filter((name) => !name.startsWith(word) && name.includes(word));
    return [...starting, ...having].map((text) => ({ text, hint: 'command' }));
  }

  private argumentsLike(command: string, given: readonly string[], word: string): Completion[] {
    const members = this.membersOf(command);
    const [name, value] = word.split(/=(.*)/s);
    if (value !== undefined) {
      const member = members.find((one) => one.name === name);
      return this.valuesOf(member?.type)
        .filter((text) => text.startsWith(value))
        .map((text) => ({ text: `${name}=${text}`, hint: '' }));
    }
    const used = new Set(given.slice(0, -1).map((pair) => pair.split('=')[0]));
    return members
      .filter((member) => !used.has(member.name) && member.name.startsWith(word))
      .map((member) => ({
        text: `${member.name}=`,
        hint: `${this.kindOf(member.type)}${member.default === null ? ', optional' : ''}`,
      }));
  }

  private membersOf(command: string): NonNullable<Entry['members']> {
    const type = this.entries.get(command)?.['arg-type'];
    return (type === undefined ? undefined : this.entries.get(type)?.members) ?? [];
  }

  private valuesOf(type: string | undefined): readonly string[] {
    if (type === 'bool') return ['true', 'false'];
    return (type === undefined ? undefined : this.entries.get(type)?.values) ?? [];
  }

  private kindOf(type: string): string {
    const entry = this.entries.get(type);
    return entry?.['meta-type'] === 'builtin' ? (entry['json-type'] ?? type) : (entry?.['meta-type'] ?? type);
  }
}

const ownCommands: readonly Completion[] = [
  { text: 'help', hint: 'all commands, or the arguments of one' },
  { text: 'info', hint: 'what there is, as lines' },
];

const ownLike = (word: string): Completion[] =>
  word === '' ? [] : ownCommands.filter(({ text }) => text.startsWith(word));

/** A line as command and arguments. Throws with what is wrong. */
export function parseLine(line: string): { command: string; args: Record<string, unknown> } {
  const text = line.trim();
  if (text.startsWith('{')) {
    const { execute, arguments: args = {} } = JSON.parse(text) as {
      execute?: string;
      arguments?: Record<string, unknown>;
    };
    if (execute === undefined) throw new Error("the command lacks 'execute'");
    return { command: execute, args };
  }
  const [command = '', ...pairs] = text.match(/(?:[^\s"]|"(?:[^"\\]|\\.)*")+/g) ?? [];
  const args: Record<string, unknown> = {};
  for (const pair of pairs) {
    const [name, value] = pair.split(/=(.*)/s);
    if (!name || value === undefined) throw new Error(`'${pair}' is not argument=value`);
    args[name] = readValue(value);
  }
  return { command, args };
}

/** JSON where it is that; anything else is a string. */
function readValue(text: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch {
    return text;
  }
}
