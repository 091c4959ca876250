/** Images whose backing files lead back to them: refused by name, by whatever opens the chain. */
import { expect, test } from 'vitest';
import { runOwn } from '../support/own-tools.ts';
import { scratchDirectory } from '../support/scratch.ts';

const scratch = scratchDirectory();
const loop = `Backing file '${scratch('a')}' creates an infinite loop.`;

async function make(name: string, backing: string): Promise<void> {
  const args = [
    'create',
    '-q',
    '-f',
    'qcow2',
    '-u',
    '-b',
    scratch(backing),
    '-F',
    'qcow2',
    scratch(name),
    '1M',
  ];
  expect(await runOwn('qemu-img', args)).toEqual({ status: 0, stdout: '', stderr: '' });
}

test('a chain that closes on itself', async () => {
  await make('a', 'b');
  await make('b', 'a');
  const links = 'Could not open backing file: '.repeat(2);
  for (const args of [
    ['map'],
    ['convert', '-O', 'raw', scratch('a')],
    ['bench', '-c', '1'],
    ['snapshot', '-c', 's'],
  ]) {
    const [command, ...others] = args as [string, ...string[]];
    const operands = command === 'convert' ? [scratch('out')] : [scratch('a')];
    const { status, stderr } = await runOwn('qemu-img', [command, ...others, ...operands]);
    expect([status, stderr], command).toEqual([
      1,
      `qemu-img: Could not open '${scratch('a')}': ${links}${loop}\n`,
    ]);
  }
  const { status, stderr } = await runOwn('qemu-io', ['-c', 'read 0 512', scratch('a')]);
  expect([status, stderr]).toEqual([1, `qemu-io: can't open device ${scratch('a')}: ${links}${loop}\n`]);
});

test('a chain that leads into such a one', async () => {
  await make('top', 'a');
  const { status, stderr } = await runOwn('qemu-img', ['map', scratch('top')]);
  expect(status).toBe(1);
  expect(stderr).toContain(loop);
});
