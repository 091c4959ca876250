import { describe, expect, test } from 'vitest';
import { describeUsageError, OptionReader, UsageError } from '../../host/cli/shared/getopt.ts';

const specs = [
  { short: 'f', long: 'format', argument: true },
  { short: 'q', long: 'quiet' },
  { long: 'object', argument: true },
  { long: 'output', argument: true },
  { short: 'S', argument: true },
];

function read(...words: string[]): { options: string[]; operands: string[] } {
  const reader = new OptionReader(words, specs);
  const options = [...reader.options()].map(({ name, value }) => `${name}=${value}`);
  return { options, operands: reader.operands };
}

function problem(...words: string[]): UsageError {
  try {
    read(...words);
  } catch (error) {
    if (error instanceof UsageError) return error;
    throw error;
  }
  throw new Error('no usage error');
}

describe('options', () => {
  test('take their argument from the same word or the next', () => {
    expect(read('-fraw', '-f', 'qcow2', '--format=a=b', '--format', 'x').options).toEqual([
      'format=raw',
      'format=qcow2',
      'format=a=b',
      'format=x',
    ]);
  });

  test('end at the first operand where somebody else reads what follows', () => {
    const reader = new OptionReader(['-q', 'a', '-x', 'b'], specs, { stopsAtOperand: true });
    expect([...reader.options()].map(({ name }) => name)).toEqual(['quiet']);
    expect(reader.operands).toEqual(['a', '-x', 'b']);
  });

  test('say how they were named', () => {
    const reader = new OptionReader(['-q', '--quiet', '--form', 'x', '-fy', '-S', '1'], specs);
    expect([...reader.options()].map(({ spelling }) => spelling)).toEqual([
      '-q',
      '--quiet',
      '--format',
      '-f',
      '-S',
    ]);
  });

  test('may be grouped, the last one with an argument', () => {
    expect(read('-qfraw', '-qf', 'x').options).toEqual(['quiet=', 'format=raw', 'quiet=', 'format=x']);
  });

  test('take an argument that looks like an option', () => {
    expect(read('-S', '-1').options).toEqual(['S=-1']);
  });

  test('may be mixed with operands, up to --', () => {
    expect(read('a', '-q', 'b', '--', '-q', 'c')).toEqual({
      options: ['quiet='],
      operands: ['a', 'b', '-q', 'c'],
    });
  });

  test('treat a lone dash as an operand', () => {
    expect(read('-').operands).toEqual(['-']);
  });

  test('may be abbreviated while they stay unique', () => {
    expect(read('--form', 'x', '--ou=json').options).toEqual(['format=x', 'output=json']);
    expect(problem('--o', 'json')).toMatchObject({
      problem: 'ambiguous',
      possibilities: ['--object', '--output'],
    });
  });

  test('come out before a later mistake is found', () => {
    const options = new OptionReader(['-q', '-Z'], specs).options();
    expect(options.next().value).toEqual({ name: 'quiet', value: '', spelling: '-q' });
    expect(() => options.next()).toThrow(UsageError);
  });
});

describe('usage errors', () => {
  test.each([
    [['-Z'], "invalid option -- 'Z'"],
    [['-qZ'], "invalid option -- 'Z'"],
    [['--foo=1'], "unrecognized option '--foo=1'"],
    [['-f'], "option requires an argument -- 'f'"],
    [['--format'], "option '--format' requires an argument"],
    [['--quiet=x'], "option '--quiet' doesn't allow an argument"],
    [['--o'], "option '--o' is ambiguous; possibilities: '--object' '--output'"],
  ])('%j: %s', (words, message) => {
    expect(describeUsageError(problem(...words))).toBe(message);
  });
});
