/** How large the modules of the core are. */
import { statSync } from 'node:fs';
import { join, resolve } from 'node:path';
import type { Report } from './report.ts';

const modules = ['core', 'qcow2', 'qcow2-check', 'poly1305'];
const mostKiB = 64;

export async function benchSize(report: Report): Promise<void> {
  report.heading('size');
  const build = resolve(import.meta.dirname, '../build');
  const kibibytes = modules.map((name) => statSync(join(build, `${name}.wasm`)).size / 1024);
  for (const [i, name] of modules.entries())
    report.add({ name: `${name}.wasm`, unit: 'KiB', ours: kibibytes[i]! }); // one for each
  const all = kibibytes.reduce((sum, size) => sum + size, 0);
  const aim = { text: `≤ ${mostKiB} KiB`, met: all <= mostKiB };
  report.add({ name: 'all of the core', unit: 'KiB', ours: all, aim });
}
