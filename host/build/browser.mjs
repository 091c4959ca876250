// Builds the library for web pages, dist/browser/, which bundlers, development servers and plain web servers all take as it is:
//
//   index.js       what pages import
//   parts/NAME.js  the worker and what it loads on demand, each a text that is a module's default: `import()` finds them anywhere;
//                  and what the page itself loads on demand, as modules
//   worker.js      the worker in one file, for pages whose Content-Security-Policy allows none that are made of texts
//
// The core travels compressed inside the worker.
import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { deflateRawSync } from 'node:zlib';
import { rolldown } from 'rolldown';
import { notingModules } from './licenses.mjs';
import { loadedWith } from './loaded-with.mjs';

const workerEntry = 'host/library/worker.ts';

/** Names of parts, where the module that is loaded on demand has another. */
const partNames = { pako: 'deflate', wasm: 'zstd', '@cloudpss/zstd': 'zstd', 'worker-emulator': 'emulator' };

const unpacking = `
  export async function unpack(text) {
    const packed = new Blob([Uint8Array.from(atob(text), (character) => character.charCodeAt(0))]);
    const plain = packed.stream().pipeThrough(new DecompressionStream('deflate-raw'));
    return new Uint8Array(await new Response(plain).arrayBuffer());
  }`;

/** Text in a module costs a third more than bytes, and compressed text stays what it is: so bytes go in compressed. */
const compressedWasm = {
  name: 'compressed-wasm',
  resolveId: (id) => (id === 'unpacking' ? id : null),
  load(id) {
    if (id === 'unpacking') return { code: unpacking, moduleType: 'js' };
    if (!id.endsWith('.wasm')) return null;
    const text = deflateRawSync(readFileSync(id), { level: 9 }).toString('base64');
    const code = `
      import { unpack } from 'unpacking';
      export default await unpack('${text}');`;
    return { code, moduleType: 'js' };
  },
};

/**
 * What a page bundles has long names at its top level. v86 has a function `a` inside a block, which the esbuild in vite 5 to 7
 * declares once more at the top of the bundle, where nothing else may have that name.
 */
const namesKept = { compress: true, mangle: { toplevel: false }, codegen: { removeWhitespace: true } };

/** What bundlers might leave out is marked for them. Nobody bundles a worker once more. */
const comments = { annotation: false };

/** Parts are files beside the one that imports them. */
const partsBeside = {
  name: 'parts-beside',
  resolveId(id) {
    const [, name] = /^blockyard:(.*)/.exec(id) ?? [];
    return name === undefined ? null : { id: `./parts/${name}.js`, external: true };
  },
};

async function bundle({ root, modules }, input, { external = [], ...output } = {}) {
  const build = await rolldown({
    cwd: root,
    input,
    external,
    platform: 'browser',
    transform: { target: 'es2022' },
    plugins: [compressedWasm, partsBeside, notingModules(modules)],
    preserveEntrySignatures: 'allow-extension',
    // What some load on demand, others need from the start; in worker.js all is there from the start.
    checks: { ineffectiveDynamicImport: false },
  });
  const files = { format: 'esm', minify: true, entryFileNames: '[name].js', chunkFileNames: '[name].js' };
  const { output: chunks } = await build.generate({ ...files, ...output });
  await build.close();
  return chunks;
}

/**
 * The worker and its parts, by their names. All that is loaded with the worker is in one text, for parts import from it, and it
 * is the only one that has an address by then (host/library/worker-parts.ts).
 */
async function buildWorker(site) {
  let first;
  const name = (id, context) => {
    first ??= loadedWith([resolve(site.root, workerEntry)], (module) => context.getModuleInfo(module));
    return first.has(id) ? 'worker' : null;
  };
  const groups = [{ name, debugName: 'worker', includeDependenciesRecursively: false }];
  const chunks = await bundle(site, { entry: workerEntry }, { codeSplitting: { groups }, comments });
  const parts = new Map();
  for (const { isEntry, name, imports, code } of chunks) {
    // It only imports what is in 'worker'.
    if (isEntry) continue;
    const other = imports.find((file) => file !== 'worker.js');
    if (other !== undefined) throw new Error(`Part '${name}' of the worker imports '${other}'`);
    parts.set(partNames[name] ?? name, withParts(code).replace('"./worker.js"', '"blockyard:worker"'));
  }
  return parts;
}

/** Parts are not files: what `import()` is in the sources is asked of the page, and bundlers need not look for it. */
function withParts(code) {
  return code
    .replace(
      /\bimport\([`"](?:\.\/)?([\w@/-]+)(?:\.js)?[`"]\)/g,
      (_, name) => `importPart("${partNames[name] ?? name}")`,
    )
    .replace(/\bimport\((?=\w+\))/g, 'import(/* @vite-ignore */ /* webpackIgnore: true */ ');
}

/** `modules` gets the path of each module that is in it. */
export async function buildBrowser(root, modules) {
  const site = { root, modules };
  const folder = join(root, 'dist/browser');
  rmSync(folder, { recursive: true, force: true });
  mkdirSync(join(folder, 'parts'), { recursive: true });
  const write = (name, code) => writeFileSync(join(folder, name), code);
  const pageOutput = { minify: namesKept, chunkFileNames: 'parts/[name].js' };
  const [page, ...pageParts] = await bundle(site, { index: 'host/library/index.ts' }, pageOutput);
  // Some bundlers know addresses by their quotation marks.
  for (const { fileName, code } of [page, ...pageParts])
    write(fileName, code.replace(/\bimport\(`(.*?)`\)/g, 'import("$1")'));
  for (const [name, text] of await buildWorker(site)) {
    if (!page.code.includes(`./parts/${name}.js`))
      throw new Error(`host/library/worker-source.ts has no part '${name}' for the worker`);
    write(`parts/${name}.js`, `export default ${JSON.stringify(text)};`);
  }
  const whole = { codeSplitting: false, external: ['@cloudpss/zstd'], comments };
  const [worker] = await bundle(site, { worker: workerEntry }, whole);
  write('worker.js', withParts(worker.code));
}
