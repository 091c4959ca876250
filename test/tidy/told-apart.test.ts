/**
 * Errors are told apart by what they are (class, errno, reason), drivers by what their definitions say they can: never by
 * their words, which people may put better, nor by their names, to which others like them would have to be added.
 */
import { describe, expect, test } from 'vitest';
import { drivers } from '../../host/drivers.ts';
import { browserDrivers } from '../../host/drivers-browser.ts';
import { host, withoutComments } from './sources.ts';

const words = '(?:error|message|hint|desc|stack)';
const byText = [
  new RegExp(`\\b${words}\\)?[?!]?\\.(?:startsWith|endsWith|includes|indexOf|match|search)\\(`),
  new RegExp(`/[a-z]*\\.(?:test|exec)\\((?:\\w+[?!]?\\.)*${words}\\b`),
  /(?<!typeof )(?<!typeof \w+\.)\b(?:message|hint|desc)\s*[!=]==\s*['"`]/,
];

/** It takes the text of an error of Node out of what is around it. */
const takesApart = ['host/platform/node/errors.ts'];

/** Names of children, options and kinds of exports, too: they are found only where a driver is spoken of. */
const ambiguous = ['file', 'copy-on-read', 'nbd'];
const names = [...new Set([...drivers, ...browserDrivers].map(({ name }) => name))];
const plain = names.filter((name) => !ambiguous.includes(name));
const byName = [
  /\b(?:definition|driver|protocol|format)\)?[?!]?\.name\s*[!=]==\s*['"]/,
  new RegExp(`\\b(?:driver|drv)\\s*[!=]==\\s*'(?:${names.join('|')})'`),
  new RegExp(`[!=]==\\s*'(?:${plain.join('|')})'`),
  new RegExp(`case '(?:${plain.join('|')})':`),
];

/** Clients of the monitor choose formats, and draw nodes, by the only thing that it tells. */
const clients = /^host\/(?:browser|library|web|cli\/backup\/live)\//;

function linesWith(patterns: readonly RegExp[], text: string): string[] {
  return withoutComments(text)
    .split('\n')
    .filter((line) => patterns.some((pattern) => pattern.test(line)))
    .map((line) => line.trim());
}

function found(patterns: readonly RegExp[], isLeftOut: (path: string) => boolean): string[] {
  return host
    .filter(({ path }) => !isLeftOut(path))
    .flatMap(({ path, text }) => linesWith(patterns, text).map((line) => `${path}: ${line}`));
}

describe('nothing is told apart', () => {
  test('by the text of an error', () => {
    expect(found(byText, (path) => takesApart.includes(path))).toEqual([]);
  });

  test('by the name of a driver', () => {
    expect(found(byName, (path) => clients.test(path))).toEqual([]);
  });
});

describe('what is looked for is found', () => {
  test.each([
    "if (!(error as Error).message.endsWith('exists')) throw error;",
    "const failed = errors.find((error) => !error.includes('cancelled'));",
    'const found = /^Snapshot/.test(error.message);',
    'if (/^short-form/i.test(message)) return;',
    "if (failure.message === 'Is a directory') return;",
  ])('%s', (line) => {
    expect(linesWith(byText, line)).toEqual([line]);
  });

  test.each([
    "if (node.definition.name === 'raw') return;",
    "if (protocol?.name !== 'file') return;",
    "if (driver === 'copy-on-read') return;",
    "const qcow2 = all.find(({ name }) => name === 'qcow2');",
  ])('%s', (line) => {
    expect(linesWith(byName, line)).toEqual([line]);
  });

  test.each([
    "if (error.errno === 'ENOENT') return;",
    "if (typeof message === 'string') return;",
    "if (name !== 'file') graph.takePlace(node);",
    "if (options['driver'] !== node.definition.name) return;",
  ])('but not %s', (line) => {
    expect(linesWith([...byText, ...byName], line)).toEqual([]);
  });
});
