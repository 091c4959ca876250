// Builds what runs on Node:
//
//   blockyard.cjs            the executable (host/cli/start/launcher.ts); blockyard.js is the same to those who know it by this name
//   chunks/NAME-HASH.cjs     the program, in chunks that are loaded when something of them is used
//   index.js, bench.js       what programs import, and the benchmark, with parts in library/
//
// Every file that is loaded costs a start a quarter of a millisecond, and what it does not need costs more: reading it, setting it up,
// and making it known to V8. So what commands share comes in layers, a file each: a layer has what its roots import, but for what is in
// those before it, and for what is left for later. What is imported by `import()` alone is a part of its own.
//
// The program is in CommonJS: Node starts that without its loader of modules, which alone takes 3 ms, and V8's compiled code for it can
// be kept (host/cli/start/compiled-code.ts). What it imports is loaded when it is first used (chunk-code.mjs).
import { createHash } from 'node:crypto';
import { chmodSync, mkdirSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { rolldown } from 'rolldown';
import { chunkCode } from './chunk-code.mjs';
import { notingModules } from './licenses.mjs';
import { loadedWith } from './loaded-with.mjs';

const programLayers = {
  start: ['host/cli/main.ts'],
  // What every command on an image needs.
  image: [
    'host/cli/img/main.ts',
    'host/cli/img/info.ts',
    'host/drivers.ts',
    'host/graph.ts',
    'host/platform/node/index.ts',
  ],
  // Monitor, jobs and machines.
  machine: ['host/index.ts'],
};

const libraryLayers = {
  image: ['host/drivers.ts', 'host/graph.ts', 'host/platform/node/index.ts'],
  machine: ['host/index.ts'],
};

/**
 * What `img info` never gets to, although the layer `image` imports it. No module of that layer may use it while it is loaded, but in
 * functions that are called later.
 */
const later = {
  layer: 'image',
  name: 'data',
  paths: new RegExp(
    [
      'build/core.wasm',
      'host/core/(?!qcow2-abi)',
      'host/copy/(?!buffer-options)',
      'host/filters/copy-before-write/(?!driver)',
      'host/formats/qcow2/live/(writeback|stored-bitmaps|zeroes|compressed|refcount-growth|snapshot-storage|corruption|holes|frees)',
      'host/formats/qcow2/disk/(header-update|bitmap-directory|entry)',
      'host/formats/qcow2/create/(tables|layout|new-header)',
      'host/formats/(clear-file|vdi/limits|vpc/geometry)',
      'host/block/(reopen|status|statistics|snapshots|copy-range|chain|request-trace|write-threshold|cluster-bytes)\\.',
      'host/throttle/(group|leaky-bucket)\\.',
      'host/bitmaps/dirty-bitmap',
      'host/qapi/(json|json-lexer|json-output|qemu-opts|config-file)\\.',
      'host/platform/(due-timer|node/(direct-file|io-uring|ring-requests))',
      'host/base/(sparse-bytes|exact-integer)',
      'host/cli/shared/snapshot-table',
    ].join('|'),
  ),
};

/**
 * For each module of a layer its layer's name. No layer imports from one behind it. An entry is in none: it runs when it is
 * loaded.
 */
function layersOf(root, layers, moduleInfo) {
  const found = new Map();
  for (const [layer, roots] of Object.entries(layers)) {
    const paths = roots.map((path) => resolve(root, path));
    for (const id of loadedWith(paths, moduleInfo)) {
      if (!found.has(id) && !moduleInfo(id).isEntry) found.set(id, layer);
    }
  }
  return found;
}

async function bundle({ root, modules }, { input, layers, nameOf = (_, layer) => layer, ...output }) {
  let found;
  const name = (id, context) => {
    found ??= layersOf(root, layers, (module) => context.getModuleInfo(module));
    const layer = found.get(id);
    return layer === undefined ? null : nameOf(id, layer);
  };
  const build = await rolldown({
    cwd: root,
    input,
    platform: 'node',
    preserveEntrySignatures: 'allow-extension',
    transform: { target: 'node20', define: output.define ?? {} },
    moduleTypes: { '.wasm': 'binary', '.bin': 'binary' },
    plugins: [notingModules(modules)],
    external: ['koffi', '@cloudpss/zstd', 'v86'],
    // Modules of a layer that are also imported by `import()` are none of their own.
    checks: { ineffectiveDynamicImport: false },
  });
  const { output: files } = await build.generate({
    dir: resolve(root, output.dir),
    format: output.format,
    entryFileNames: output.entries,
    chunkFileNames: output.chunks,
    codeSplitting: { groups: [{ name, debugName: 'layers', includeDependenciesRecursively: false }] },
    // Names and lines stay: they are what a stack of an internal error shows. Node reads the maps only when it is asked to
    // (BLOCKYARD_DEBUG).
    minify: { compress: true, mangle: false, codegen: { removeWhitespace: false } },
    comments: { jsdoc: false, annotation: false },
    sourcemap: true,
    sourcemapExcludeSources: true,
  });
  await build.close();
  return files;
}

async function buildLibrary(site) {
  const files = await bundle(site, {
    input: { index: 'host/index.ts', bench: 'bench/main.ts' },
    layers: libraryLayers,
    dir: 'dist',
    format: 'esm',
    entries: '[name].js',
    chunks: 'library/[name]-[hash].js',
  });
  for (const { fileName, code, source } of files) write(site, fileName, code ?? source);
}

async function buildProgram(site) {
  const files = await bundle(site, {
    input: { main: 'host/cli/main.ts' },
    layers: programLayers,
    dir: 'dist/chunks',
    nameOf: (id, layer) => (layer === later.layer && later.paths.test(id) ? later.name : layer),
    format: 'cjs',
    entries: '[name].cjs',
    chunks: '[name]-[hash].cjs',
  });
  const hash = createHash('sha256');
  const isEager = (path) => /^\.\/(start|image|rolldown-runtime)-/.test(path);
  for (const { fileName, code, source } of files) {
    const text = code === undefined ? source : asScript(chunkCode(code, isEager));
    hash.update(fileName).update(text);
    write(site, `chunks/${fileName}`, text);
  }
  return hash.digest('hex').slice(0, 16);
}

const ofNode = 'exports, require, module, __filename, __dirname';

/**
 * A script whose value is the function that a module is. Where there is a module already, because Node loads it, it is called at
 * once. All in the first line, for maps tell lines.
 */
function asScript(code) {
  const run = `typeof exports === "undefined" ? (body) => body : (body) => body(${ofNode}, (id) => import(id))`;
  const head = `(${run})(function (${ofNode}, importPackage) { "use strict"; `;
  const [, body, map = ''] = /^([\s\S]*?)(\/\/# sourceMappingURL=.*\n?)?$/.exec(
    code.replace(/\bimport\((?=["'])/g, 'importPackage('),
  );
  return `${head}${body}})\n${map}`;
}

async function buildLauncher(site, buildName) {
  const files = await bundle(site, {
    input: { blockyard: 'host/cli/start/launcher.ts' },
    layers: {},
    dir: 'dist',
    define: { buildName: JSON.stringify(buildName) },
    format: 'cjs',
    entries: '[name].cjs',
  });
  for (const { fileName, code, source } of files) write(site, fileName, code ?? source);
  write(site, 'blockyard.js', "#!/usr/bin/env node\nimport './blockyard.cjs';\n");
  for (const name of ['blockyard.cjs', 'blockyard.js']) chmodSync(join(site.root, 'dist', name), 0o755);
}

function write({ root }, name, text) {
  const path = join(root, 'dist', name);
  mkdirSync(resolve(path, '..'), { recursive: true });
  writeFileSync(path, text);
}

/** `modules` gets the path of each module that is in it. */
export async function buildNode(root, modules) {
  const site = { root, modules };
  await buildLibrary(site);
  await buildLauncher(site, await buildProgram(site));
}
