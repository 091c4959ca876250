// Writes dist/LICENSES.txt: the licences of what is in the bundles and is not ours, each with the names of the packages it is for.
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

/** What is compiled into a file of a package, or by one: no bundle names it as a module. */
const compiled = [
  { from: '@cloudpss/zstd', name: 'zstd', text: 'host/build/zstd-license.txt' },
  { from: undefined, name: 'assemblyscript', text: 'node_modules/assemblyscript/LICENSE' },
];

/** A plugin of rolldown that adds the path of each module to `paths`. */
export function notingModules(paths) {
  return { name: 'noting-modules', moduleParsed: ({ id }) => void paths.add(id) };
}

/** `modules`: paths of all that the bundles were made of. */
export function writeLicenses(root, modules) {
  const packages = new Set([...modules].map(packageOf).filter((name) => name !== undefined));
  const texts = [...packages].sort().map((name) => [name, licenseOf(root, name)]);
  for (const { from, name, text } of compiled) {
    if (from === undefined || packages.has(from)) texts.push([name, readFileSync(join(root, text), 'utf8')]);
  }
  const namesByText = new Map();
  for (const [name, text] of texts) namesByText.set(text, [...(namesByText.get(text) ?? []), name]);
  const parts = [...namesByText].map(([text, names]) => `${names.join(', ')}\n\n${text.trim()}\n`);
  const head = 'blockyard is under the licence in the file LICENSE. Its bundles contain these packages:\n';
  writeFileSync(join(root, 'dist/LICENSES.txt'), [head, ...parts].join(`\n${'-'.repeat(80)}\n\n`));
}

function packageOf(path) {
  const [, name] = /^.*node_modules\/((?:@[^/]+\/)?[^/]+)\//.exec(path) ?? [];
  return name;
}

function licenseOf(root, name) {
  const folder = join(root, 'node_modules', name);
  const file = existsSync(folder) && readdirSync(folder).find((entry) => /^licen[cs]e/i.test(entry));
  if (!file) throw new Error(`Package '${name}' is bundled and has no licence`);
  return readFileSync(join(folder, file), 'utf8');
}
