/**
 * Configuration files in QEMU's form: of `-readconfig`, and of blkdebug (specification: cli, section 6; graph, section 4).
 *
 * `[group]` or `[group "id"]` opens a section, `key = "value"` puts something into it, `#` starts a comment. A value without quotes
 * counts as empty, as in QEMU; of several values of one key the last one counts.
 */
import { invalid } from '../base/errors.ts';

export interface ConfigSection {
  readonly group: string;
  readonly id: string | undefined;
  readonly values: Record<string, string>;
  /** Of its last value, or of its head; the first is 1. */
  line: number;
}

interface ConfigRules {
  /** Throws for a group that there is not. */
  checkGroup(group: string): void;
  /** Throws for what may not stand in a section. */
  checkValue?(group: string, key: string, value: string): void;
}

/** Errors: BlockError, without the number of the line, as QEMU's. */
export function parseConfigFile(text: string, rules: ConfigRules): ConfigSection[] {
  const sections: ConfigSection[] = [];
  const lines = text.split('\n');
  if (lines.at(-1) === '') lines.pop();
  for (const [index, line] of lines.entries()) {
    if (line === '' || line.startsWith('#')) continue;
    const head = readHead(line);
    if (head) {
      sections.push(openSection(head, index + 1, sections, rules));
      continue;
    }
    const key = /^\s*(\S+)/.exec(line)?.[1];
    if (key === undefined) throw invalid('parse error');
    const section = sections.at(-1);
    if (!section) throw invalid('no group defined');
    const value = /^\s*\S+\s*=\s*"([^"]*)"/.exec(line)?.[1] ?? '';
    rules.checkValue?.(section.group, key, value);
    section.values[key] = value;
    section.line = index + 1;
  }
  return sections;
}

interface Head {
  group: string;
  id: string | undefined;
}

function readHead(line: string): Head | undefined {
  const [, group, id] = /^\[\s*(\S+)\s+"([^"]+)"/.exec(line) ?? [];
  if (group !== undefined) return { group, id };
  // Without an end the line break belongs to the name.
  const [, whole] = /^\[([^\]]+)/.exec(`${line}\n`) ?? [];
  return whole === undefined ? undefined : { group: whole, id: undefined };
}

function openSection(
  { group, id }: Head,
  line: number,
  sections: readonly ConfigSection[],
  { checkGroup }: ConfigRules,
): ConfigSection {
  checkGroup(group);
  if (id !== undefined && sections.some((section) => section.group === group && section.id === id)) {
    throw invalid(`Duplicate ID '${id}' for ${group}`);
  }
  return { group, id, values: {}, line };
}
