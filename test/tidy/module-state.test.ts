/**
 * What changes belongs to an object that somebody made and that goes again: a node, a graph, a yard. A module keeps nothing,
 * but for what there is one of in a process.
 */
import { expect, test } from 'vitest';
import { host, withoutComments } from './sources.ts';

/** File, name, and why there is one of it. */
const ofTheProcess: Readonly<Record<string, string>> = {
  'host/trace/events.ts tracer': 'what is watched: programs choose before there is any graph',
  'host/core/module.ts coreModule': 'the compiled core',
  'host/core/module.ts qcow2Module': 'the same, of images',
  'host/formats/qcow2/check/check-core.ts checkModule': 'the same, of the check',
  'host/core/scan.ts visitors': 'room for scans, which end before anybody else can begin one',
  'host/core/poly1305.ts made': 'room for messages, of which one is under way at a time',
  'host/block/request.ts zeroBuffer': 'zeros, which nobody writes to',
  'host/qapi/dictionary-order.ts bucketOfKey': 'what a pure function has found out, within a bound',
  'host/platform/node/libc.ts loaded': 'the C library',
  'host/platform/node/libc.ts tried': 'the C library',
  'host/platform/node/socket-calls.ts calls': 'calls of the C library',
  'host/platform/node/ring-requests.ts ring': 'the io_uring of the process',
  'host/platform/node/wakefulness.ts wakefulness': 'the event loop',
  'host/platform/node/clock.ts originMs': 'the clock of the system',
  'host/platform/node/codecs.ts loaded': 'a module of Node, loaded when first needed',
  'host/platform/node/in-place-or-pool.ts ofTheProcess': 'how busy the thread pool of the process is',
  'host/platform/node/zstd.ts engine': 'a compiled library',
  'host/platform/node/folders.ts unfinished': 'names of files of this process that are not whole yet',
  'host/library/worker-inbox.ts firstMessage': 'what a worker is started with',
  'host/platform/browser/clock.ts channel': 'turns of the event loop',
  'host/cli/main.ts programName': 'the name that the process was started by',
  'host/cli/shared/terminal.ts streams': 'the standard streams of the process',
  'host/cli/shared/internal-error.ts closing': 'what there is to close before the process ends',
};

/** Classes whose objects do not change. */
const constant = 'AttachmentKey|RegExp|TextDecoder|TextEncoder|Visitor';

const declared = (pattern: string): RegExp =>
  new RegExp(`^(?:export )?${pattern.replaceAll('NAME', '(?<name>\\w+)')}`, 'gm');

const variable = declared('(?:let|var) NAME\\b');
const collection = declared('const NAME(?:: [^=\\n]+)? =\\s+(?:new (?:Map|Set|Array)\\b|\\[|\\{)');
const object = declared(`const NAME(?:: [^=\\n]+)? =\\s+new (?!(?:Map|Set|Array|Uint8Array|${constant})\\b)`);
const staticMember =
  /^\s+(?:private |protected |public )?static (?!readonly |async )(?<name>\w+)(?:: [^=\n(]+)?(?: =|;)/gm;

function isWrittenTo(name: string, text: string): boolean {
  const methods = 'set|add|delete|clear|push|pop|shift|unshift|splice|sort|reverse|fill';
  const calls = new RegExp(`(?<![\\w.])${name}\\.(?:${methods})\\(`);
  const assignments = new RegExp(`(?<![\\w.])${name}(?:\\[[^\\]\\n]+\\]|\\.\\w+)(?:\\+\\+|--| [-+*/|&?]*= )`);
  return calls.test(text) || assignments.test(text);
}

function moduleState(text: string): string[] {
  const code = withoutComments(text);
  const names = (pattern: RegExp): string[] =>
    [...code.matchAll(pattern)].map(({ groups }) => groups!['name']!);
  return [
    ...names(variable),
    ...names(object),
    ...names(staticMember),
    ...names(collection).filter((name) => isWrittenTo(name, code)),
  ];
}

test('modules keep nothing that changes', () => {
  // The page that `blockyard web` serves is a program of its own.
  const found = host
    .filter(({ path }) => !path.startsWith('host/web/'))
    .flatMap(({ path, text }) => moduleState(text).map((name) => `${path} ${name}`));
  expect([...new Set(found)].sort()).toEqual(Object.keys(ofTheProcess).sort());
});

test.each([
  ['let made = 0;', ['made']],
  ['export let made: number | undefined;', ['made']],
  ['const lists = new WeakMap<Node, List>();\nlists.set(a, b);', ['lists']],
  ['const blobs: Map<string, Blob> = new Map();\nexport const put = () => blobs.set(name, blob);', ['blobs']],
  ['const waiting: Waiter[] = [];\nfunction wait() {\n  waiting.push(waiter);\n}', ['waiting']],
  ['const counts = { made: 0 };\nfunction make() {\n  counts.made++;\n}', ['counts']],
  ['const turns = new Mutex();', ['turns']],
  ['class A {\n  private static made = 0;\n}', ['made']],
  ["const known = new Set(['a']);\nconst names = ['a'];\nconst table = { a: 1 };\nknown.has(names[0]);", []],
  ['function f() {\n  let at = 0;\n  const seen = new Set();\n  seen.add(at);\n}', []],
])('%j keeps %j', (text, names) => {
  expect(moduleState(text)).toEqual(names);
});
