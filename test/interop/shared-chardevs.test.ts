/** Several users of one character device (`mux=on`): what is shown to somebody who goes from one to the next, as QEMU shows it. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { describe, expect, onTestFinished, test } from 'vitest';
import { bundle } from '../support/cli.ts';
import { haveQemuSystem } from '../support/tools.ts';

const machine = ['-S', '-display', 'none', '-nodefaults', '-no-user-config', '-chardev'];
const shared = 'stdio,id=m,mux=on,signal=off';
const next = '\x01c';

/** What is typed, and what is shown last of what follows. */
type Piece = readonly [typed: string, end: string];

const greeting = '"capabilities": ["oob"]}}\r\n';
const prompt = '(qemu) ';
const answer = '(prelaunch)\r\n(qemu) ';

/** What is shown; of each piece, so that what one says does not come between what others say. */
async function shownFor(
  command: string,
  words: readonly string[],
  users: readonly string[],
  pieces: readonly Piece[],
): Promise<string> {
  const child = spawn(command, [...words, ...machine, shared, ...users], {
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  onTestFinished(() => void child.kill());
  let shown = '';
  child.stdout.setEncoding('latin1').on('data', (text: string) => {
    shown += text;
  });
  for (const [typed, end] of pieces) {
    const before = shown.length;
    child.stdin.write(typed, 'latin1');
    while (!shown.slice(before).endsWith(end)) await once(child.stdout, 'data');
  }
  child.stdin.write('\x01x', 'latin1');
  await once(child, 'exit');
  return shown.replaceAll(/"package": "[^"]*"|"timestamp": \{.*?\}/g, '');
}

describe.skipIf(!haveQemuSystem)('users of one chardev take turns as with QEMU', () => {
  test.each<[string, readonly string[], readonly Piece[]]>([
    [
      'a port and two human monitors',
      ['-serial', 'chardev:m', '-mon', 'm', '-mon', 'm'],
      [
        ['\x01h', 'sends C-a\n\r'],
        [next, prompt],
        ['info status\r', answer],
        [next, prompt],
        ['x\x01\x01y', 'yx\x1b[K\x1b[D'],
        [`${next}${next}`, prompt],
        ['info status\r', answer],
      ],
    ],
    [
      'a QMP monitor and a human one',
      ['-mon', 'm', '-mon', 'm,mode=control'],
      [
        ['', greeting],
        ['{"execute":"qmp_capabilities"}\n', '{"return": {}}\r\n'],
        [next, prompt],
        ['\x01?', 'sends C-a\n\r'],
        ['info status\r', answer],
        [`${next}{"execute":"query-status"}\n`, '}}\r\n'],
        [next, prompt],
      ],
    ],
    [
      'two QMP monitors and a human one',
      ['-mon', 'm,mode=control', '-mon', 'm,mode=control', '-mon', 'm'],
      [
        ['', greeting],
        ['[]\n', '}}\r\n'],
        [`${next}{"execute":"qmp_capabilities"}\n`, '{"return": {}}\r\n'],
        [next, prompt],
      ],
    ],
  ])('%s', async (_, users, pieces) => {
    const [theirs, ours] = await Promise.all([
      shownFor('qemu-system-x86_64', [], users, pieces),
      shownFor(process.execPath, [bundle, 'system'], users, pieces),
    ]);
    expect(ours).toBe(theirs);
  });
});
