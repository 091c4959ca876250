// Writes the manual pages, dist/man/NAME.1, from the tables of options (host/cli/manual/pages.ts). Their date is that of the build,
// or SOURCE_DATE_EPOCH, as builds that can be repeated set it.
import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { rolldown } from 'rolldown';

export async function buildManual(root) {
  const tables = await bundleTables(root);
  const { manualPages } = await import(pathToFileURL(join(tables, 'pages.js')).href);
  const seconds = process.env.SOURCE_DATE_EPOCH;
  const date = seconds === undefined ? new Date() : new Date(Number(seconds) * 1000);
  const folder = join(root, 'dist/man');
  mkdirSync(folder, { recursive: true });
  for (const [name, text] of await manualPages(date.toISOString().slice(0, 10)))
    writeFileSync(join(folder, name), text);
  rmSync(tables, { recursive: true });
}

/** The tables are TypeScript: a bundle of them is what can be imported here. Gives its folder. */
async function bundleTables(root) {
  const folder = join(root, 'build/manual');
  const bundle = await rolldown({
    cwd: root,
    input: 'host/cli/manual/pages.ts',
    platform: 'node',
    moduleTypes: { '.wasm': 'binary', '.bin': 'binary' },
    external: ['koffi', '@cloudpss/zstd', 'v86'],
    checks: { ineffectiveDynamicImport: false },
  });
  await bundle.write({ dir: folder, format: 'esm' });
  await bundle.close();
  return folder;
}
