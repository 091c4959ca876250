// Makes a chunk in CommonJS load what it imports when that is first used, as `import defer` is to do: a file is read, and a module of Node
// set up, only where somebody gets to a line that needs it. Modules of ours may come late, because all that they do when they are loaded
// is to define (test/tidy/module-state.test.ts).
import { parseAst } from 'rolldown/parseAst';

/** They are there when Node has started. */
const atHand = new Set(['node:fs', 'node:path', 'node:url', 'node:util']);

/** Lines stay what they are. */
const helper = 'const lazily = (load) => { let loaded; return () => loaded ??= load(); }; ';

/** `isEager` says of a path whether that chunk is loaded with the one that imports it. */
export function withLazyImports(code, isEager) {
  const { body } = parseAst(code, { lang: 'js' });
  const edits = [];
  const lazy = new Set();
  for (const statement of body) {
    for (const { id, init } of statement.declarations ?? []) {
      const path = requiredBy(init);
      if (path === undefined || isEager(path) || atHand.has(path)) continue;
      lazy.add(id.name);
      edits.push({ start: init.start, end: init.start, text: 'lazily(() => ' });
      edits.push({ start: init.end, end: init.end, text: ')' });
    }
  }
  for (const statement of body) {
    // A copy of the names of a module of Node would cost its set-up, and each call a getter: it is used as it is.
    if (isCopyOfModule(statement)) edits.push({ start: statement.start, end: statement.end, text: '' });
    else for (const use of usesOf(statement, lazy)) edits.push({ ...use, text: `(${use.name}())` });
  }
  return lazy.size > 0 ? helper + edited(code, edits) : edited(code, edits);
}

/** The path in `require("PATH")`. */
function requiredBy(node) {
  const isCall = node?.type === 'CallExpression' && node.callee.name === 'require';
  return isCall ? node.arguments[0].value : undefined;
}

/** Whether it is `NAME = RUNTIME.COPY(NAME, 1);`. */
function isCopyOfModule({ expression }) {
  return (
    expression?.type === 'AssignmentExpression' &&
    /^node_/.test(expression.left.name) &&
    expression.right.type === 'CallExpression' &&
    expression.right.arguments[0]?.name === expression.left.name
  );
}

/** Where in `node` the values of variables `names` are used. Rolldown gives nothing else these names. */
function* usesOf(node, names) {
  if (node.type === 'Identifier') {
    if (names.has(node.name)) yield node;
    return;
  }
  for (const [key, value] of Object.entries(node)) {
    if (value === null || typeof value !== 'object') continue;
    if (node.type === 'VariableDeclarator' && key === 'id') continue;
    if (node.type === 'Property' && node.shorthand && key === 'key') continue;
    if (Array.isArray(value)) for (const each of value) yield* each === null ? [] : usesOf(each, names);
    else if (typeof value.type === 'string') yield* usesOf(value, names);
  }
}

function edited(code, edits) {
  let text = '';
  let at = 0;
  for (const edit of edits.sort((one, other) => one.start - other.start)) {
    text += code.slice(at, edit.start) + edit.text;
    at = edit.end;
  }
  return text + code.slice(at);
}

/** The same code in ASCII: V8 keeps it as bytes then, and it is read without being decoded. No template's raw text is used. */
export function inAscii(code) {
  return code.replace(/[^\0-\x7f]/g, (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`);
}
