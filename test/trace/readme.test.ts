/** The trace in host/README.md is what the program prints; times differ, and the comments are the page's. */
import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync, symlinkSync } from 'node:fs';
import { dirname, resolve } from 'node:path';
import { expect, test } from 'vitest';
import { bundle } from '../support/cli.ts';
import { scratchDirectory } from '../support/scratch.ts';

const scratch = scratchDirectory();
const readme = readFileSync(resolve(import.meta.dirname, '../../host/README.md'), 'utf8');

const withoutTimes = (trace: string): string => trace.replace(/us \d+$/gm, 'us TIME');

test('the commands under Watching print the trace below them', () => {
  expect(existsSync(bundle), 'run `npm run build` first').toBe(true);
  const [, commands, trace] = /## Watching\n.*?```sh\n(.*?)```\n\n```\n(.*?)```/s.exec(readme)!;
  const program = scratch('blockyard');
  symlinkSync(bundle, program);
  const script = `PATH="$PWD:$PATH"; { ${commands}} 2>&1 >output`;
  const log = execFileSync('sh', ['-e', '-c', script], { cwd: dirname(program), encoding: 'utf8' });
  // What it says depends on the machine.
  expect(withoutTimes(log.replace(/^file_way.*\n/gm, ''))).toBe(withoutTimes(trace!.replace(/^#.*\n/gm, '')));
});
