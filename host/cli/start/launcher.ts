#!/usr/bin/env node
/**
 * The executable: runs the program, whose chunks are in a folder beside it, by V8's compiled code for them where that was kept
 * (compiled-code.ts).
 *
 * It is the one part that is compiled at every start. So it is small, and imports nothing but what Node has set up by then. Chunks are
 * modules in CommonJS that Node can load, too, and does with BLOCKYARD_DEBUG: it reads source maps only for what it has loaded.
 */
import { basename, join } from 'node:path';
import { CompiledCode } from './compiled-code.ts';

interface ChunkModule {
  exports: unknown;
}

type ModuleBody = (
  exports: unknown,
  require: (id: string) => unknown,
  module: ChunkModule,
  filename: string,
  folder: string,
  importPackage: (id: string) => Promise<unknown>,
) => void;

/** What they say about themselves is `./NAME`. */
const folder = join(import.meta.dirname, 'chunks');
const firstChunk = './main.cjs';

/** Commands that differ in what they run of the program are told apart: a word that may be a command, or also the one behind it. */
function commandIn([, path = '', ...words]: readonly string[]): string | undefined {
  const name = basename(path).replace(/\.c?js$/, '');
  const [command, subcommand] = name === 'blockyard' ? words : [name, ...words];
  const parts = command === 'img' || command === 'qemu-img' ? [command, subcommand] : [command];
  const isCommand = parts.every((part) => part !== undefined && /^[a-z][\w-]{0,40}$/.test(part));
  return isCommand ? parts.join('-') : undefined;
}

/** A script has no `import()` of its own. */
const importPackage = (id: string): Promise<unknown> => import(id);

function runByCompiledCode(code: CompiledCode): void {
  const modules = new Map<string, ChunkModule>();
  const load = (id: string): unknown => {
    if (!id.startsWith('./')) return require(id);
    const loaded = modules.get(id);
    if (loaded) return loaded.exports;
    const module: ChunkModule = { exports: {} };
    modules.set(id, module);
    const path = join(folder, id);
    const body = code.run(path) as ModuleBody;
    body(module.exports, load, module, path, folder, importPackage);
    return module.exports;
  };
  process.on('exit', (status) => {
    if (status === 0) code.keep();
  });
  load(firstChunk);
}

if (process.env['BLOCKYARD_DEBUG']) require(join(folder, firstChunk));
else runByCompiledCode(new CompiledCode(commandIn(process.argv)));
