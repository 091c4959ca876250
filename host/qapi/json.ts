/**
 * Reading JSON as QMP does: tokens to values, with QEMU's error texts (specification: qmp-protocol, section 4).
 *
 * `JsonStream` takes bytes as they come and hands out one value, or one error, at a time. A value is complete when its
 * braces and brackets balance. Whatever a peer sends, memory and nesting stay within the limits below.
 */
import { BlockError, invalid } from '../base/errors.ts';
import { exactInteger } from '../base/exact-integer.ts';
import { JsonLexer, type Token } from './json-lexer.ts';
import { JsonDouble, type JsonObject, type JsonValue } from './json-value.ts';

/** Text of one value, in bytes. */
const maxTokenBytes = 64 << 20;
const maxTokens = 2 << 20;
const maxNesting = 1024;

const int64 = { min: -(2n ** 63n), max: 2n ** 63n - 1n };
const uint64Max = 2n ** 64n - 1n;

const encoder = new TextEncoder();

function parseError(what: string): BlockError {
  return invalid(`JSON parse error, ${what}`);
}

export type JsonResult = { value: JsonValue } | { error: BlockError };

export class JsonStream {
  private readonly lexer = new JsonLexer((token) => this.take(token));
  private tokens: Token[] = [];
  private tokenBytes = 0;
  private braces = 0;
  private brackets = 0;
  private results = 0;

  /** `deliver` gets every value and every error, in the order of the input; one byte may cause two. */
  constructor(private readonly deliver: (result: JsonResult) => void) {}

  /** Takes bytes up to the first one that completes something. Returns how many it took. */
  push(bytes: Uint8Array): number {
    const before = this.results;
    let taken = 0;
    while (taken < bytes.length && this.results === before) {
      taken = this.lexer.skipPlain(bytes, taken);
      if (taken < bytes.length) this.lexer.feed(bytes[taken++]!); // taken < length
      if (this.tokenBytes + this.lexer.pendingBytes > maxTokenBytes) {
        this.lexer.reset();
        this.refuse(invalid('JSON token size limit exceeded'));
      }
    }
    return taken;
  }

  /** The input is over: a value that it ends in is an error. */
  finish(): void {
    this.lexer.finish();
    const { tokens } = this;
    this.clear();
    if (tokens.length > 0) this.emit(parseTokens(tokens));
  }

  reset(): void {
    this.lexer.reset();
    this.clear();
  }

  private clear(): void {
    this.tokens = [];
    this.tokenBytes = 0;
    this.braces = 0;
    this.brackets = 0;
  }

  private refuse(error: BlockError): void {
    this.clear();
    this.emit({ error });
  }

  private emit(result: JsonResult): void {
    this.results++;
    this.deliver(result);
  }

  private take(token: Token): void {
    if (token.type === 'error') {
      this.refuse(parseError(`stray '${decodeLoosely(token.text)}'`));
      return;
    }
    if (token.text === '{' && token.type === 'punctuator') this.braces++;
    else if (token.text === '}' && token.type === 'punctuator') this.braces--;
    else if (token.text === '[' && token.type === 'punctuator') this.brackets++;
    else if (token.text === ']' && token.type === 'punctuator') this.brackets--;
    this.tokens.push(token);
    this.tokenBytes += token.text.length;
    if (this.tokens.length > maxTokens) {
      this.refuse(invalid('JSON token count limit exceeded'));
      return;
    }
    if (this.braces + this.brackets > maxNesting) {
      this.refuse(invalid('JSON nesting depth limit exceeded'));
      return;
    }
    const open = this.braces > 0 || this.brackets > 0;
    if (open && this.braces >= 0 && this.brackets >= 0) return;
    const { tokens } = this;
    this.clear();
    this.emit(parseTokens(tokens));
  }
}

/** Reads one value that is all of `text`. Errors: BlockError with `JSON parse error, …`; there is none, or another one. */
export function parseJson(text: string): JsonValue {
  const results: JsonResult[] = [];
  const stream = new JsonStream((result) => results.push(result));
  const bytes = encoder.encode(text);
  for (let at = 0; at < bytes.length; ) at += stream.push(bytes.subarray(at));
  stream.finish();
  const [first] = results;
  if (!first) throw invalid('Expecting a JSON value');
  if ('error' in first) throw first.error;
  if (results.length > 1) throw invalid('Expecting at most one JSON value');
  return first.value;
}

function parseTokens(tokens: readonly Token[]): JsonResult {
  try {
    return { value: new TokenParser(tokens).value() };
  } catch (error) {
    if (error instanceof BlockError) return { error };
    throw error;
  }
}

/** Recursion is bounded by the nesting limit of the stream. */
class TokenParser {
  private at = 0;

  constructor(private readonly tokens: readonly Token[]) {}

  value(): JsonValue {
    const token = this.next();
    switch (token.type) {
      case 'punctuator':
        if (token.text === '{') return this.object();
        if (token.text === '[') return this.array();
        throw parseError('expecting value');
      case 'string':
        return decodeString(token.text);
      case 'integer':
        return parseInteger(token.text);
      case 'float':
        return parseFloatToken(token.text);
      default:
        return keyword(token.text);
    }
  }

  private object(): JsonObject {
    const members = new Map<string, JsonValue>();
    if (this.skip('}')) return {};
    do {
      const key = this.peek();
      // A key may be any value as far as the grammar goes; its own errors come first.
      const name = this.value();
      if (key?.type !== 'string') throw parseError('key is not a string in object');
      if (!this.skip(':')) throw parseError('missing : in object pair');
      const member = this.value();
      if (members.has(name as string)) throw parseError('duplicate key');
      members.set(name as string, member);
    } while (this.skip(','));
    if (!this.skip('}')) throw parseError('expected separator in dict');
    // Not by assignment: a member may be called `__proto__`.
    return Object.fromEntries(members);
  }

  private array(): JsonValue[] {
    const elements: JsonValue[] = [];
    if (this.skip(']')) return elements;
    do elements.push(this.value());
    while (this.skip(','));
    if (!this.skip(']')) throw parseError('expected separator in list');
    return elements;
  }

  private peek(): Token | undefined {
    return this.tokens[this.at];
  }

  private next(): Token {
    const token = this.tokens[this.at++];
    if (!token) throw parseError('premature EOI');
    return token;
  }

  private skip(text: string): boolean {
    const token = this.peek();
    if (token?.type !== 'punctuator' || token.text !== text) return false;
    this.at++;
    return true;
  }
}

function keyword(text: string): JsonValue {
  if (text === 'true') return true;
  if (text === 'false') return false;
  if (text === 'null') return null;
  throw parseError(`invalid keyword '${text}'`);
}

function parseInteger(text: string): JsonValue {
  const value = BigInt(text);
  const fits = value >= int64.min && value <= (value < 0n ? int64.max : uint64Max);
  if (!fits) return wrapDouble(Number(text));
  return exactInteger(value);
}

function parseFloatToken(text: string): JsonValue {
  return wrapDouble(Number(text));
}

function wrapDouble(value: number): JsonValue {
  return Number.isInteger(value) || !Number.isFinite(value) ? new JsonDouble(value) : value;
}

// Strings. Token texts hold one character per byte.

const simpleEscapes: Record<string, string> = {
  '"': '"',
  "'": "'",
  '\\': '\\',
  '/': '/',
  b: '\b',
  f: '\f',
  n: '\n',
  r: '\r',
  t: '\t',
};

function decodeString(token: string): string {
  const end = token.length - 1;
  // Almost every string is plain.
  if (/^[\x20-\x5b\x5d-\x7f]*$/.test(token)) return token.slice(1, end);
  let result = '';
  for (let at = 1; at < end; ) {
    const char = token[at]!; // at < end
    if (char === '\\') {
      const escaped = decodeEscape(token, at);
      result += escaped.text;
      at += escaped.length;
    } else if (char.charCodeAt(0) < 0x80) {
      result += char;
      at++;
    } else {
      const { codepoint, length } = decodeUtf8(token, at);
      if (codepoint === undefined) throw parseError('invalid UTF-8 sequence in string');
      result += String.fromCodePoint(codepoint);
      at += length;
    }
  }
  return result;
}

function decodeEscape(token: string, at: number): { text: string; length: number } {
  const char = token[at + 1]!; // the quote at the end, if nothing else
  const simple = simpleEscapes[char];
  if (simple !== undefined) return { text: simple, length: 2 };
  if (char !== 'u') throw parseError('invalid escape sequence in string');
  const first = /^[0-9a-fA-F]{4}$/.test(token.slice(at + 2, at + 6));
  // Six bytes, and be it that the closing quote is among them.
  const text = decodeLoosely(token.slice(at, at + 6));
  if (!first) throw parseError(`${text} is not a valid Unicode character`);
  let codepoint = Number.parseInt(token.slice(at + 2, at + 6), 16);
  let length = 6;
  if (
    codepoint >= 0xd800 &&
    codepoint < 0xdc00 &&
    /^\\u[dD][c-fC-F][0-9a-fA-F]{2}$/.test(token.slice(at + 6, at + 12))
  ) {
    codepoint =
      0x10000 + ((codepoint & 0x3ff) << 10) + (Number.parseInt(token.slice(at + 8, at + 12), 16) & 0x3ff);
    length = 12;
  }
  if (!isCharacter(codepoint)) {
    throw parseError(`${token.slice(at, at + length)} is not a valid Unicode character`);
  }
  return { text: String.fromCodePoint(codepoint), length };
}

/** Not a surrogate, not a noncharacter. */
function isCharacter(codepoint: number): boolean {
  if (codepoint > 0x10ffff || (codepoint >= 0xd800 && codepoint <= 0xdfff)) return false;
  return !((codepoint >= 0xfdd0 && codepoint <= 0xfdef) || (codepoint & 0xfffe) === 0xfffe);
}

/** Modified UTF-8: `C0 80` stands for NUL; everything else overlong or not a character is refused. */
function decodeUtf8(token: string, at: number): { codepoint: number | undefined; length: number } {
  const first = token.charCodeAt(at);
  const length = first >= 0xf0 ? 4 : first >= 0xe0 ? 3 : 2;
  const wrong = { codepoint: undefined, length: 1 };
  if (first < 0xc0 || first >= 0xf8) return wrong;
  let codepoint = first & (0xff >> (length + 1));
  for (let i = 1; i < length; i++) {
    const next = token.charCodeAt(at + i);
    if ((next & 0xc0) !== 0x80) return wrong;
    codepoint = (codepoint << 6) | (next & 0x3f);
  }
  const least = [0, 0, 0x80, 0x800, 0x10000][length]!; // 2 to 4
  if (codepoint < least && !(codepoint === 0 && length === 2)) return wrong;
  return isCharacter(codepoint) ? { codepoint, length } : wrong;
}

/** Input as it is shown in an error: what is not a character becomes U+FFFD. */
function decodeLoosely(token: string): string {
  let result = '';
  for (let at = 0; at < token.length; ) {
    if (token.charCodeAt(at) < 0x80) {
      result += token[at++];
      continue;
    }
    const { codepoint, length } = decodeUtf8(token, at);
    result += codepoint === undefined ? '\uFFFD' : String.fromCodePoint(codepoint);
    at += length;
  }
  return result;
}
