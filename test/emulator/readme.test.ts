/** The example of host/emulator/README.md does what is said there. */
import { execFileSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join, resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import { expect, test } from 'vitest';
import { bundle } from '../support/cli.ts';
import { run } from '../support/qemu.ts';
import { scratchDirectory } from '../support/scratch.ts';
import { haveQemu } from '../support/tools.ts';
import { installedV86 } from '../support/v86.ts';
import { sectorMill } from './sector-mill.ts';

const readme = readFileSync(resolve(import.meta.dirname, '../../host/emulator/README.md'), 'utf8');
const blocks = readme.split('\n```').filter((_, i) => i % 2 === 1);
const [program, output] = [blocks[0]!.replace(/^js\n/, ''), blocks[1]!.trim()];
const scratch = scratchDirectory();

test.skipIf(!installedV86 || !haveQemu)('the program in the README runs a guest and stops it', () => {
  const disk = scratch('disk.qcow2');
  run('qemu-img', 'create', '-q', '-f', 'qcow2', disk, '1M');
  const kernel = scratch('kernel');
  writeFileSync(kernel, new Uint8Array(sectorMill()));
  // It lies outside of the package, where the names of packages lead nowhere.
  const require = createRequire(import.meta.url);
  const library = pathToFileURL(join(bundle, '../index.js')).href;
  const v86 = require.resolve('v86');
  const file = scratch('example.mjs');
  writeFileSync(
    file,
    program
      .replace("from 'blockyard'", `from '${library}'`)
      .replace("from 'v86'", `from '${pathToFileURL(v86).href}'`)
      .replace("resolve('v86')", `resolve('${v86}')`),
  );
  const printed = execFileSync(process.execPath, [file], {
    env: { ...process.env, DISK: disk, KERNEL: kernel },
    encoding: 'utf8',
    timeout: 50_000,
  });
  expect(printed.trim()).toBe(output);
  expect(run('qemu-img', 'check', disk)).toContain('No errors were found');
});
