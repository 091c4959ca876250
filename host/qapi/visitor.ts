/**
 * Walks a value along a declared type and checks it, with QEMU's error texts (specification: qmp-protocol, section 5).
 *
 * Members are visited in the order of their declaration; members nobody declared are reported last. Whether a value came
 * as JSON (strict.ts), as text on a command line (keyval-values.ts) or as either for a node (node-options.ts) matters only
 * for what is not an object or a list, and for some words: that is the `Dialect`'s affair. Messages name the dotted path
 * of a value, list elements as `[i]`; those about enums, alternates and ranges only its last part, which for a list
 * element is `null`.
 */
import { type BlockError, invalid } from '../base/errors.ts';
import { isJsonObject, type JsonObject, type JsonValue } from './json-value.ts';
import type { AlternateType, EnumType, IntType, StructType, Type, UnionType } from './types.ts';

export class Path {
  /** The value itself, before any member. */
  static readonly root = new Path('', null);

  private constructor(
    readonly full: string,
    /** Null for the root and for a list element. */
    private readonly last: string | null,
  ) {}

  member(name: string): Path {
    return new Path(this.full === '' ? name : `${this.full}.${name}`, name);
  }

  element(index: number): Path {
    return new Path(`${this.full}[${index}]`, null);
  }

  get fullName(): string {
    return this.full || 'null';
  }

  get lastName(): string {
    return this.last ?? 'null';
  }
}

/** How values that hold no other values are read. Each throws a BlockError for a value of the wrong kind. */
export interface Dialect {
  string(value: JsonValue, path: Path): string;
  bool(value: JsonValue, path: Path): boolean;
  null(value: JsonValue, path: Path): null;
  number(value: JsonValue, path: Path): number;
  integer(value: JsonValue, path: Path, type: IntType): number;
  /** Whether a branch of an alternate is the one for this kind of value. Never called for objects and lists. */
  accepts(type: Type, value: JsonValue): boolean;
  /** An object or list where none is declared, or something else where one is. */
  misshapen?(value: JsonValue, path: Path): BlockError;
  missing?(type: Type, path: Path): BlockError;
  unexpected?(value: JsonValue, path: Path): BlockError;
  /** `text` is none of the values. */
  refused?(type: EnumType, text: string, path: Path): BlockError | undefined;
}

export function wrongType(path: Path, expected: string): BlockError {
  return invalid(`Invalid parameter type for '${path.fullName}', expected: ${expected}`);
}

const ranges: Partial<Record<IntType['width'], readonly [number, number, string]>> = {
  int8: [-128, 127, 'int8_t'],
  int16: [-32768, 32767, 'int16_t'],
  int32: [-(2 ** 31), 2 ** 31 - 1, 'int32_t'],
  uint8: [0, 255, 'uint8_t'],
  uint16: [0, 65535, 'uint16_t'],
  uint32: [0, 2 ** 32 - 1, 'uint32_t'],
};

/** Throws when `value` does not fit the C type that QEMU has for `width`. */
export function checkRange(width: IntType['width'], value: number, path: Path): number {
  const range = ranges[width];
  if (range && (value < range[0] || value > range[1])) {
    throw invalid(`Parameter '${path.lastName}' expects ${range[2]}`);
  }
  return value;
}

export class Visitor {
  constructor(private readonly dialect: Dialect) {}

  visit(type: Type, value: JsonValue, path: Path): unknown {
    const { dialect } = this;
    switch (type.kind) {
      case 'string':
        return dialect.string(value, path);
      case 'bool':
        return dialect.bool(value, path);
      case 'null':
        return dialect.null(value, path);
      case 'number':
        return dialect.number(value, path);
      case 'int':
        return dialect.integer(value, path, type);
      case 'any':
        return value;
      case 'enum':
        return this.enumeration(type, value, path);
      case 'array':
        if (!Array.isArray(value)) throw this.misshapen(value, path, 'array');
        return value.map((element, i) => this.visit(type.element, element, path.element(i)));
      case 'struct':
        return this.struct(type, value, path);
      case 'union':
        return this.union(type, value, path);
      case 'alternate':
        return this.alternate(type, value, path);
    }
  }

  private enumeration(type: EnumType, value: JsonValue, path: Path): string {
    const text = this.dialect.string(value, path);
    if (type.values.includes(text)) return text;
    throw (
      this.dialect.refused?.(type, text, path) ??
      invalid(`Parameter '${path.lastName}' does not accept value '${text}'`)
    );
  }

  private struct(type: StructType, value: JsonValue, path: Path): Record<string, unknown> {
    if (!isJsonObject(value)) throw this.misshapen(value, path, 'object');
    const result: Record<string, unknown> = {};
    this.members(type, value, path, result);
    if (type.isOpen) return { ...value, ...result };
    this.refuseOthers(value, [type], path);
    return result;
  }

  private union(type: UnionType, value: JsonValue, path: Path): Record<string, unknown> {
    if (!isJsonObject(value)) throw this.misshapen(value, path, 'object');
    const result: Record<string, unknown> = {};
    this.members(type.base, value, path, result);
    const branch = type.branches()[result[type.discriminator] as string];
    if (branch) this.members(branch, value, path, result);
    if (branch?.isOpen) return { ...value, ...result };
    this.refuseOthers(value, branch ? [type.base, branch] : [type.base], path);
    return result;
  }

  private members(type: StructType, value: JsonObject, path: Path, result: Record<string, unknown>): void {
    for (const { name, type: memberType, optional } of type.members) {
      const inner = path.member(name);
      if (Object.hasOwn(value, name))
        result[name] = this.visit(memberType, value[name]!, inner); // it has that member
      else if (!optional)
        throw this.dialect.missing?.(memberType, inner) ?? invalid(`Parameter '${inner.full}' is missing`);
    }
  }

  private alternate(type: AlternateType, value: JsonValue, path: Path): unknown {
    const branch = type.branches().find((candidate) => this.accepts(candidate, value));
    if (branch) return this.visit(branch, value, path);
    throw invalid(`Invalid parameter type for '${path.lastName}', expected: ${type.name}`);
  }

  private accepts(type: Type, value: JsonValue): boolean {
    if (type.kind === 'alternate') return type.branches().some((branch) => this.accepts(branch, value));
    if (isJsonObject(value)) return type.kind === 'struct' || type.kind === 'union';
    if (Array.isArray(value)) return type.kind === 'array';
    return this.dialect.accepts(type, value);
  }

  private misshapen(value: JsonValue, path: Path, expected: string): BlockError {
    return this.dialect.misshapen?.(value, path) ?? wrongType(path, expected);
  }

  private refuseOthers(value: JsonObject, known: readonly StructType[], path: Path): void {
    for (const [name, inner] of Object.entries(value)) {
      if (known.some(({ members }) => members.some((member) => member.name === name))) continue;
      const at = path.member(name);
      throw this.dialect.unexpected?.(inner, at) ?? invalid(`Parameter '${at.full}' is unexpected`);
    }
  }
}
