/** The package as packed, on Node: what is in it, and the programs of the READMEs, as they are printed there. */
import { execFileSync, spawnSync } from 'node:child_process';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, describe, expect, test } from 'vitest';
import { sectorMill } from '../emulator/sector-mill.ts';
import { type PackedProject, packedProject } from '../support/packed-project.ts';
import { scratchDirectory } from '../support/scratch.ts';
import { exampleOf } from './readme-examples.ts';

const scratch = scratchDirectory();
let project: PackedProject;

beforeAll(() => {
  project = packedProject(scratch('project'));
});

/** Runs a program in `name`, a folder in the project, with `blockyard` on the path, as `npx` has it. */
function runIn(name: string, program: string, ...args: string[]): string {
  const folder = join(project.folder, name);
  const bin = join(folder, 'bin');
  mkdirSync(bin, { recursive: true });
  const cli = join(project.folder, 'node_modules/blockyard/dist/blockyard.cjs');
  writeFileSync(join(bin, 'blockyard'), `#!/bin/sh\nexec '${process.execPath}' '${cli}' "$@"\n`, {
    mode: 0o755,
  });
  writeFileSync(join(folder, 'example.mjs'), program);
  const start = 'PATH="$PWD/bin:$PATH" exec "$@"';
  return execFileSync('sh', ['-c', start, 'sh', process.execPath, 'example.mjs', ...args], {
    cwd: folder,
    encoding: 'utf8',
    timeout: 110_000,
  });
}

const createDisk = (name: string, size: string): string =>
  `import { execFileSync } from 'node:child_process';
  execFileSync('blockyard', ['img', 'create', '-q', '-f', 'qcow2', '${name}', '${size}']);`;

describe('the package', () => {
  test('has what is run, read and checked, and nothing of tests and benchmarks', () => {
    // That is made by the script which packs, and is there if that has run (reference.test.ts).
    const files = project.files.filter((path) => !path.startsWith('dist/reference/'));
    const kinds = new Set(files.map((path) => path.replace(/^(dist\/\w+|host|assembly)\/.*/, '$1/…')));
    expect([...kinds].sort()).toMatchInlineSnapshot(`
      [
        "CHANGELOG.md",
        "CONTRIBUTING.md",
        "LICENSE",
        "README.md",
        "SECURITY.md",
        "assembly/…",
        "dist/LICENSES.txt",
        "dist/blockyard.cjs",
        "dist/blockyard.cjs.map",
        "dist/blockyard.js",
        "dist/browser/…",
        "dist/chunks/…",
        "dist/compressed/…",
        "dist/index.js",
        "dist/library/…",
        "dist/man/…",
        "dist/types/…",
        "dist/web/…",
        "host/…",
        "package.json",
      ]
    `);
    expect(project.files.filter((path) => /(^|\/)(test|bench)(\/|\.js)/.test(path))).toEqual([]);
  });

  test('has the licence of each package that is bundled', () => {
    const text = readFileSync(join(project.folder, 'node_modules/blockyard/dist/LICENSES.txt'), 'utf8');
    const named = [...text.matchAll(/^-+\n\n(.*)$/gm)].map(([, names]) => names);
    expect(named).toMatchInlineSnapshot(`
      [
        "@cloudpss/zstd",
        "@lit/reactive-element, lit, lit-element",
        "@xterm/addon-fit",
        "@xterm/xterm",
        "aws4fetch",
        "lit-html",
        "pako",
        "uplot",
        "ws",
        "zstd",
        "assemblyscript",
      ]
    `);
  });

  test('does nothing when it is imported', () => {
    expect(runIn('import', "import 'blockyard';", 'img', '--help')).toBe('');
  });

  test('the example of README.md writes to a disk', () => {
    runIn('parts', createDisk('disk.qcow2', '10M'));
    runIn('parts', exampleOf('README.md', 'ts').program);
    const read = runIn(
      'parts',
      `import { execFileSync } from 'node:child_process';
      console.log(execFileSync('blockyard', ['io', '-c', 'read -P 1 0 512', 'disk.qcow2'], { encoding: 'utf8' }));`,
    );
    expect(read).toMatch(/^read 512\/512 bytes at offset 0\n/);
  });

  test.each([
    ['host/library/README.md', []],
    ['host/qmp/README.md', []],
    ['host/emulator/README.md', ['disk.qcow2', 'kernel']],
  ])(
    'the example of %s prints what is said there',
    (page, args) => {
      const name = page.split('/')[1]!; // after `host/`
      if (args.length > 0) {
        runIn(name, createDisk('disk.qcow2', '1M'));
        writeFileSync(join(project.folder, name, 'kernel'), new Uint8Array(sectorMill()));
      }
      const { program, printed } = exampleOf(page, 'js');
      expect(printed).not.toBe('');
      expect(runIn(name, program, ...args)).toBe(printed);
    },
    120_000,
  );

  test('tells an uncaught error in a few short lines, and where it is in the sources when maps are read', () => {
    const file = join(project.folder, 'fails.mjs');
    writeFileSync(
      file,
      "import { openBlockyard } from 'blockyard';\nawait (await openBlockyard()).qmp('blockdev-del', { 'node-name': 'x' });",
    );
    const plain = spawnSync(process.execPath, [file], { encoding: 'utf8' });
    expect(plain.stderr).toContain("Failed to find node with node-name='x'");
    expect(plain.stderr.length).toBeLessThan(3000);
    const mapped = spawnSync(process.execPath, ['--enable-source-maps', file], { encoding: 'utf8' });
    expect(mapped.stderr).toMatch(/host\/qmp\/client\.ts:\d+/);
  });
});
