/**
 * A function fits on a screen. The formatter makes its extent plain: it ends at the first line that starts with a brace as
 * far in as the function starts.
 */
import { describe, expect, test } from 'vitest';
import { assembly, host } from './sources.ts';

const maxLines = 70;

/** How a function begins: as a statement, as a member, or as a value that is given a name. */
const heads = [
  /^(?:export )?(?:default )?(?:async )?function\b/,
  /^(?:(?:public|private|protected|static|override|async|get|set) )*[\w#[\].]+\??(?:<.*>)?\(/,
  /^(?:export )?(?:const|let) \w+.* = (?:async )?(?:\(|\w+ =>)/,
  /^(?:readonly |private |static )*\w+(?:: .*)? ?[:=] (?:async )?(?:\(|\w+ =>)/,
];
const others = /^(?:if|for|while|switch|catch|return|describe|test)\b/;

/** Of each function: where it begins, and how many lines it has. */
function* functionsIn(text: string): Generator<{ line: number; lines: number }> {
  const lines = text.split('\n');
  for (const [index, line] of lines.entries()) {
    const code = line.trimStart();
    if (others.test(code) || !heads.some((head) => head.test(code))) continue;
    const indent = ' '.repeat(line.length - code.length);
    // A signature of several lines goes on with a bracket as far in as it begins.
    let head = index;
    if (!/(?:[{};,)]|=>)$/.test(line) || /\($/.test(line)) {
      do head++;
      while (head < lines.length && !lines[head]!.startsWith(`${indent})`));
    }
    if (!lines[head]?.endsWith('{')) continue;
    const end = lines.findIndex((other, at) => at > head && other.startsWith(`${indent}}`));
    yield { line: index + 1, lines: end - index + 1 };
  }
}

describe('functions', () => {
  test(`have at most ${maxLines} lines`, () => {
    const long = [...host, ...assembly].flatMap(({ path, text }) =>
      [...functionsIn(text)]
        .filter(({ lines }) => lines > maxLines)
        .map(({ line, lines }) => `${path}:${line} has ${lines}`),
    );
    expect(long).toEqual([]);
  });

  test('are found by this test in all their forms', () => {
    const bodies = [
      'export async function a() {\n  b();\n}',
      'function a(\n  b: number,\n): void {\n  c();\n}',
      'class A {\n  private async b<T>(c: T): Promise<void> {\n    d();\n  }\n}',
      'class A {\n  get b(): number {\n    return 1;\n  }\n}',
      'const a = async (b: number): Promise<void> => {\n  c();\n};',
      'const a = {\n  async run(b, c) {\n    d();\n  },\n};',
      'const a = {\n  run: async (b) => {\n    d();\n  },\n};',
      'class A {\n  private readonly b = (c: number): void => {\n    d();\n  };\n}',
    ];
    for (const body of bodies) expect([...functionsIn(body)], body).toHaveLength(1);
    const none = [
      'if (a) {\n  b();\n}',
      'interface A {\n  b: number;\n}',
      'a(b);',
      'class A {\n  constructor(readonly b: number) {}\n}',
    ];
    for (const body of none) expect([...functionsIn(body)], body).toEqual([]);
  });
});
