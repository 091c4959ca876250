// Builds what runs on Node: dist/blockyard.js, index.js and bench.js, and their parts in dist/chunks.
//
// Every file that Node loads costs a start a quarter of a millisecond, and what it does not need costs more. So what commands
// share comes in layers, a file each: a layer has what its roots import, but for what is in those before it. What is imported
// by `import()` alone is a part of its own.
import { chmodSync } from 'node:fs';
import { resolve } from 'node:path';
import { rolldown } from 'rolldown';
import { notingModules } from './licenses.mjs';
import { loadedWith } from './loaded-with.mjs';

const layers = {
  start: ['host/cli/main.ts'],
  // What every command on an image needs.
  image: ['host/cli/img/main.ts', 'host/drivers.ts', 'host/graph.ts', 'host/platform/node/index.ts'],
  // Monitor, jobs and machines.
  machine: ['host/index.ts'],
};

/**
 * For each module of a layer its layer's name. No layer imports from one behind it. An entry is in none: it runs when it is
 * loaded.
 */
function layersOf(root, moduleInfo) {
  const found = new Map();
  for (const [layer, roots] of Object.entries(layers)) {
    const paths = roots.map((path) => resolve(root, path));
    for (const id of loadedWith(paths, moduleInfo)) {
      if (!found.has(id) && !moduleInfo(id).isEntry) found.set(id, layer);
    }
  }
  return found;
}

/** `modules` gets the path of each module that is in it. */
export async function buildNode(root, modules) {
  let found;
  const layer = (id, context) => {
    found ??= layersOf(root, (module) => context.getModuleInfo(module));
    return found.get(id) ?? null;
  };
  const bundle = await rolldown({
    cwd: root,
    input: { blockyard: 'host/cli/main.ts', index: 'host/index.ts', bench: 'bench/main.ts' },
    platform: 'node',
    preserveEntrySignatures: 'allow-extension',
    transform: { target: 'node20' },
    moduleTypes: { '.wasm': 'binary', '.bin': 'binary' },
    plugins: [notingModules(modules)],
    external: ['koffi', '@cloudpss/zstd', 'v86'],
    // Modules of a layer that are also imported by `import()` are none of their own.
    checks: { ineffectiveDynamicImport: false },
  });
  await bundle.write({
    dir: resolve(root, 'dist'),
    format: 'esm',
    chunkFileNames: 'chunks/[name]-[hash].js',
    codeSplitting: { groups: [{ name: layer, debugName: 'layers', includeDependenciesRecursively: false }] },
    // Names and lines stay: they are what a stack of an internal error shows. Node reads the maps only when it is asked to
    // (BLOCKYARD_DEBUG).
    minify: { compress: true, mangle: false, codegen: { removeWhitespace: false } },
    sourcemap: true,
    sourcemapExcludeSources: true,
  });
  await bundle.close();
  chmodSync(resolve(root, 'dist/blockyard.js'), 0o755);
}
