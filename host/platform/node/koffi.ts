/**
 * Loads koffi, the optional package by which libc.ts makes system calls. It is only used on Linux.
 *
 * koffi's own way to its addon leads through five files and sets up much of Node that nobody needs: 8 ms of the life of a process like
 * `img info`. Where npm has put the addon of the version that the package asks for, it is loaded from there, in less than one. Everywhere
 * else koffi looks for it itself.
 */
import * as fs from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { optionalDependencies } from '../../../package.json';

interface KoffiAddon {
  readonly version: string;
}

const architectures = new Set(['x64', 'arm64', 'riscv64', 'loong64']);

/** The names of the interpreter and of the program's parts are within that many bytes of an executable. */
const headBytes = 4096;

/** What the package exports, as far as `T` says. Undefined where it is not installed, or the host is not a Linux that libc.ts fits. */
export function loadKoffi<T>(): T | undefined {
  if (process.platform !== 'linux' || !architectures.has(process.arch)) return undefined;
  return (attempt(loadAddon) ?? attempt(() => createRequire(import.meta.url)('koffi'))) as T | undefined;
}

/** Not installed, or without a build for this machine: an optional dependency is allowed to be missing. */
function attempt<R>(load: () => R): R | undefined {
  try {
    return load();
  } catch {
    return undefined;
  }
}

/** The addon itself; undefined where things are not as we know them. */
function loadAddon(): KoffiAddon | undefined {
  const path = addonPath();
  if (path === undefined || !usesGlibc()) return undefined;
  const module: { exports: Partial<KoffiAddon> } = { exports: {} };
  process.dlopen(module, path);
  return module.exports.version === optionalDependencies.koffi ? (module.exports as KoffiAddon) : undefined;
}

/** Where npm puts it: in the first of the folders above that has packages and this one among them. */
function addonPath(): string | undefined {
  const name = `node_modules/@koromix/koffi-linux-${process.arch}/linux_${process.arch}/koffi.node`;
  for (let folder = dirname(fileURLToPath(import.meta.url)); ; folder = dirname(folder)) {
    const path = join(folder, name);
    if (fs.existsSync(path)) return path;
    if (folder === dirname(folder)) return undefined;
  }
}

/** Whether Node itself is linked with glibc; the addon comes in two kinds. */
function usesGlibc(): boolean {
  const fd = fs.openSync(process.execPath, 'r');
  try {
    const head = Buffer.alloc(headBytes);
    fs.readSync(fd, head, 0, headBytes, 0);
    return head.includes('/ld-linux');
  } finally {
    fs.closeSync(fd);
  }
}
