/** The backup program of host/qmp/README.md does what is said there with QEMU, too; with us it does in test/package/node.test.ts. */
import { execFileSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { expect, test } from 'vitest';
import { scratchDirectory } from '../support/scratch.ts';
import { haveQemu } from '../support/tools.ts';

const readme = readFileSync(resolve(import.meta.dirname, '../../host/qmp/README.md'), 'utf8');
/** What is in code blocks, with the language each begins with. */
const blocks = readme.split('\n```').filter((_, i) => i % 2 === 1);
/** The program, and behind it what it prints. */
const at = blocks.findIndex((block) => block.startsWith('js\n'));
const [program, output] = [blocks[at]!.replace(/^js\n/, ''), blocks[at + 1]!.trim()];
const scratch = scratchDirectory();

function runWith(system: string, img: string): string {
  const file = scratch('backup.mjs');
  writeFileSync(file, program);
  return execFileSync(process.execPath, [file], {
    env: { ...process.env, SYSTEM: system, IMG: img },
    encoding: 'utf8',
    stdio: 'pipe',
    timeout: 50_000,
  });
}

test.skipIf(!haveQemu)(
  'the backup program prints with QEMU what the README says',
  () => {
    expect(runWith('qemu-system-x86_64', 'qemu-img').trim()).toBe(output);
  },
  60_000,
);
