/** Kernel modules in the order in which they can be loaded, by what each says about itself in its `.modinfo` section. */
import { readdirSync, readFileSync } from 'node:fs';
import { basename, join } from 'node:path';

export interface KernelModule {
  readonly name: string;
  readonly data: Uint8Array;
}

/** `wanted` and all that they depend on, dependencies first. Throws when one is not below `directory`. */
export function modulesInOrder(directory: string, wanted: readonly string[]): KernelModule[] {
  const paths = new Map<string, string>();
  for (const path of readdirSync(directory, { recursive: true, encoding: 'utf8' })) {
    if (path.endsWith('.ko')) paths.set(canonical(basename(path, '.ko')), join(directory, path));
  }
  const ordered = new Map<string, KernelModule>();
  const visit = (name: string): void => {
    if (ordered.has(name)) return;
    const path = paths.get(name);
    if (path === undefined) throw new Error(`the kernel package has no module ${name}`);
    const data = readFileSync(path);
    const depends = /\0depends=([^\0]*)\0/.exec(data.toString('latin1'))?.[1] ?? '';
    for (const dependency of depends.split(',')) if (dependency !== '') visit(canonical(dependency));
    ordered.set(name, { name, data });
  };
  for (const name of wanted) visit(canonical(name));
  return [...ordered.values()];
}

function canonical(name: string): string {
  return name.replaceAll('-', '_');
}
