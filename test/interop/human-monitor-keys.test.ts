/** What the human monitor shows of what is typed: the bytes that QEMU shows, through a pipe as on a terminal. */
import { spawn } from 'node:child_process';
import { describe, expect, test } from 'vitest';
import { bundle } from '../support/cli.ts';
import { haveQemuSystem } from '../support/tools.ts';

const options = ['-display', 'none', '-monitor', 'stdio', '-S', '-no-user-config'];

/** What is shown for what is typed, from the first prompt to the last line. */
async function shownFor(command: string, words: readonly string[], typed: string): Promise<string> {
  const child = spawn(command, [...words, ...options], { stdio: ['pipe', 'pipe', 'inherit'] });
  let shown = '';
  child.stdout.setEncoding('latin1').on('data', (text: string) => {
    if (shown === '') child.stdin.write(`${typed}\rquit\r`, 'latin1');
    shown += text;
  });
  await new Promise((resolve) => child.once('exit', resolve));
  return shown.slice(shown.indexOf('(qemu) '));
}

describe.skipIf(!haveQemuSystem)('the human monitor shows as QEMU does', () => {
  test.each([
    ['a line', 'info status'],
    ['several', 'xa\nxb\r\rxc'],
    ['arrows', 'ab\x1b[Dc\x1b[C\x1b[Cd\x1b[D\x1b[D\x1b[De'],
    ['Home and End', 'abc\x01x\x05y\x1b[1~z\x1b[4~w\x1bOHv\x1bOFu\x1b[Ht'],
    ['what is deleted', 'abcd\x7f\x08\x01\x04\x1b[3~\x1b[3~\x7f\x04ef'],
    ['words that are deleted', 'ab cd  \x17e\x17\x17'],
    ['the history', 'xa\rxb\r\x1b[A\x1b[A\x1b[A\x1b[Bq\r\x1b[A\x1b[B\x1b[Bz'],
    ['one that repeats itself', 'xa\rxa\rxb\rxa\r\x1b[A\x1b[A\x1b[A'],
    ['the screen made empty', 'ab\x0cc'],
    ['keys that it does not know', 'a\x02\x03\x06\x07\x0b\x0e\x0f\x10\x15\x1bcb\x1b[1;5Dc\x1b[5~d\x1b[Z'],
    ['what is not ASCII', 'x\xc3\xa9'],
    ['a name that is completed', 'drive_del i\t'],
    ['one that cannot be', 'zzz\tz drive_del zz\t'],
    ['a word that help is asked of', 'help drive_d\t\x17\x17'],
  ])('%s', async (_, typed) => {
    const [theirs, ours] = await Promise.all([
      shownFor('qemu-system-x86_64', [], typed),
      shownFor(process.execPath, [bundle, 'system'], typed),
    ]);
    expect(ours).toBe(theirs);
  });
});
