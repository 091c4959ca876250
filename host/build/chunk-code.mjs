// Changes the code of chunks in CommonJS, as rolldown writes it, so that a start has less to do:
//
//   imports   What a chunk imports is loaded when it is first used, as `import defer` is to do: a file is read, and a module of Node set up,
//             only where somebody gets to a line that needs it. Modules of ours may come late, because all that they do when they are
//             loaded is to define (test/tidy/module-state.test.ts).
//   exports   A getter for each is a function that is made at every start; what never changes is exported by its value. Nobody may use
//             a chunk before it has been loaded as a whole.
//   letters   In ASCII the code stays bytes for V8, and is read without being decoded.
//
// Lines stay what they are, for maps and for stacks.
import { parseAst } from 'rolldown/parseAst';

/** They are there when Node has started. */
const atHand = new Set(['node:fs', 'node:path', 'node:url', 'node:util']);

const lazily = 'const lazily = (load) => { let loaded; return () => loaded ??= load(); }; ';

/** `isEager` says of a path whether that chunk is loaded with the one that imports it. */
export function chunkCode(code, isEager) {
  const { body } = parseAst(code, { lang: 'js' });
  const edits = [...importEdits(body, isEager), ...exportEdits(code, body)];
  const text = inAscii(edited(code, edits));
  return text.includes('lazily(') ? lazily + text : text;
}

function* importEdits(body, isEager) {
  const lazy = new Set();
  for (const statement of body) {
    for (const { id, init } of statement.declarations ?? []) {
      const path = requiredBy(init);
      if (path === undefined || isEager(path) || atHand.has(path)) continue;
      lazy.add(id.name);
      yield { start: init.start, end: init.start, text: 'lazily(() => ' };
      yield { start: init.end, end: init.end, text: ')' };
    }
  }
  for (const statement of body) {
    // A copy of the names of a module of Node would cost its set-up, and each call a getter: it is used as it is.
    if (isCopyOfModule(statement)) yield { start: statement.start, end: statement.end, text: '' };
    else for (const use of usesOf(statement, lazy)) yield { ...use, text: `(${use.name}())` };
  }
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
  if (node.type === 'Identifier' && names.has(node.name)) yield node;
  for (const [key, inner] of innerNodes(node)) {
    // In a pattern there may be values, too: `{ a = NAME }`.
    if (node.type === 'VariableDeclarator' && key === 'id' && inner.type === 'Identifier') continue;
    yield* usesOf(inner, names);
  }
}

function* exportEdits(code, body) {
  const changing = new Set(body.flatMap((statement) => [...assignedIn(statement)]));
  let isFirst = true;
  for (const { expression } of body) {
    const calls = expression?.type === 'SequenceExpression' ? expression.expressions : [expression];
    const values = calls.map((call) => exportedBy(call, changing));
    if (!values.some(Boolean)) continue;
    const members = values.filter(Boolean).map(({ name, value }) => `${JSON.stringify(name)}: ${value}`);
    const object = isFirst ? 'exports = module.exports = { ' : 'Object.assign(exports, { ';
    const others = calls.filter((_, i) => !values[i]).map(({ start, end }) => code.slice(start, end));
    const text = [object + members.join(', ') + (isFirst ? ' }' : ' })'), ...others].join(', ');
    const lost = linesOf(code.slice(expression.start, expression.end)) - linesOf(text);
    yield { start: expression.start, end: expression.end, text: text + '\n'.repeat(lost) };
    isFirst = false;
  }
}

const linesOf = (text) => text.split('\n').length;

/** Name and value in `Object.defineProperty(exports, "NAME", { get: function() { return VALUE; } })`, if that never changes. */
function exportedBy(call, changing) {
  if (call?.type !== 'CallExpression' || call.callee.property?.name !== 'defineProperty') return undefined;
  const [target, name, { properties = [] }] = call.arguments;
  const getter = properties.find(({ key }) => key.name === 'get')?.value;
  const value = getter?.body.body[0].argument;
  const isConstant = value?.type === 'Literal' || (value?.type === 'Identifier' && !changing.has(value.name));
  return target.name === 'exports' && isConstant
    ? { name: name.value, value: value.name ?? value.raw }
    : undefined;
}

/** Variables that are assigned to after they were declared. */
function* assignedIn(node) {
  const target = node.type === 'AssignmentExpression' ? node.left : node.argument;
  if (/^(Assignment|Update)Expression$/.test(node.type)) {
    if (target.type === 'Identifier') yield target.name;
    else if (target.type !== 'MemberExpression') yield* namesIn(target);
  }
  for (const [, inner] of innerNodes(node)) yield* assignedIn(inner);
}

function* namesIn(node) {
  if (node.type === 'Identifier') yield node.name;
  for (const [, inner] of innerNodes(node)) yield* namesIn(inner);
}

function* innerNodes(node) {
  for (const [key, value] of Object.entries(node)) {
    if (node.type === 'Property' && node.shorthand && key === 'key') continue;
    for (const inner of Array.isArray(value) ? value : [value]) {
      if (typeof inner?.type === 'string') yield [key, inner];
    }
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

/** No template's raw text is used. */
function inAscii(code) {
  return code.replace(/[^\0-\x7f]/g, (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`);
}
