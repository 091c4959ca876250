/** Whoever asks a running `img convert` by SIGUSR1 is told how far it is, also without `-p`. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, writeFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { expect, test } from 'vitest';
import { bundle } from '../support/cli.ts';
import { scratchDirectory } from '../support/scratch.ts';

const scratch = scratchDirectory();

test('SIGUSR1 prints how much of the source is done', async () => {
  const [source, target] = [scratch('source.raw'), scratch('target.raw')];
  writeFileSync(source, new Uint8Array(8 << 20).fill(7));
  const args = ['img', 'convert', '-r', '2M', '-m', '1', '-f', 'raw', source, target];
  const child = spawn(process.execPath, [bundle, ...args]);
  let shown = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    shown += text;
  });
  // It listens before it makes the target.
  while (!existsSync(target)) await sleep(10);
  while (!/\((?!0\.00)\d+\.\d\d\/100%\)\r/.test(shown)) {
    child.kill('SIGUSR1');
    await sleep(50);
  }
  child.kill();
  await once(child, 'exit');
  expect(shown).toMatch(/^( {4}\(\d+\.\d\d\/100%\)\r)+$/);
});
