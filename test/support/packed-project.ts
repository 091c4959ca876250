/** A project that has the package as people get it: what `npm pack` packs, unpacked, with links to the packages that it needs. */
import { execFileSync } from 'node:child_process';
import { mkdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';

const root = resolve(import.meta.dirname, '../..');
const { dependencies, optionalDependencies } = JSON.parse(
  readFileSync(join(root, 'package.json'), 'utf8'),
) as Record<'dependencies' | 'optionalDependencies', Record<string, string>>;

export interface PackedProject {
  /** Of the project. */
  readonly folder: string;
  /** The packed file. */
  readonly tarball: string;
  /** What is in it, as paths in the package. */
  readonly files: readonly string[];
}

/** Makes one at `folder`, which does not exist. `others`: packages that the project has beside blockyard and what it depends on. */
export function packedProject(folder: string, others: readonly string[] = []): PackedProject {
  const installed = join(folder, 'node_modules/blockyard');
  mkdirSync(installed, { recursive: true });
  // What is packed was built before: scripts would build it once more, under the other tests.
  const pack = ['pack', '--ignore-scripts', '--json', '--pack-destination', folder];
  const packed = execFileSync('npm', pack, { cwd: root, encoding: 'utf8' });
  const [{ filename, files }] = JSON.parse(packed) as [{ filename: string; files: { path: string }[] }];
  const tarball = join(folder, filename);
  execFileSync('tar', ['-xzf', tarball, '-C', installed, '--strip-components=1']);
  for (const name of [...Object.keys(dependencies), ...Object.keys(optionalDependencies), ...others]) {
    const link = join(folder, 'node_modules', name);
    mkdirSync(dirname(link), { recursive: true });
    symlinkSync(join(root, 'node_modules', name), link);
  }
  writeFileSync(join(folder, 'package.json'), '{ "private": true, "type": "module" }\n');
  return { folder, tarball, files: files.map(({ path }) => path) };
}
