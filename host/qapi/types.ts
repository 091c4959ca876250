/**
 * The vocabulary in which QMP commands, events and driver options are declared.
 *
 * One declaration gives the TypeScript type (`TypeOf`), the checking with QEMU's error texts (strict.ts for JSON,
 * keyval-values.ts for command-line strings, node-options.ts for what a node is opened with), and the answer to
 * `query-qmp-schema` (introspect.ts). A declaration is data: nothing here looks at a value.
 */

interface Carries<T> {
  /** Never present at run time: it carries the TypeScript type. */
  readonly valueType?: T;
  /** What is said of an option of a node, where QEMU has words of its own. */
  readonly words?: OptionWords;
}

interface OptionWords {
  /** It has to be there, and is not. */
  missing?: string;
  /** `text` is not one of its values. */
  refused?(text: string): string;
}

declare const checked: unique symbol;

/** Options of a node that have passed node-options.ts, which alone makes values of this type. */
export type Checked<T extends object> = T & { readonly [checked]: true };

interface StringType extends Carries<string> {
  readonly kind: 'string';
}
interface BoolType extends Carries<boolean> {
  readonly kind: 'bool';
}
interface NullType extends Carries<null> {
  readonly kind: 'null';
}
/** A JSON number with or without a fraction. */
interface NumberType extends Carries<number> {
  readonly kind: 'number';
}
interface AnyType extends Carries<unknown> {
  readonly kind: 'any';
}
/** `size` is a uint64 that accepts suffixes on the command line. Values beyond 2^53 arrive rounded. */
export interface IntType extends Carries<number> {
  readonly kind: 'int';
  /** As an option of a node: bytes, which are not negative, with suffixes. */
  readonly isSize?: true;
  /** As an option of a node: a number without a width. */
  readonly isPlain?: true;
  readonly width:
    | 'int'
    | 'int8'
    | 'int16'
    | 'int32'
    | 'int64'
    | 'uint8'
    | 'uint16'
    | 'uint32'
    | 'uint64'
    | 'size';
}
export interface EnumType<V extends string = string> extends Carries<V> {
  readonly kind: 'enum';
  readonly name: string;
  readonly values: readonly V[];
}
export interface ArrayType<E = unknown> extends Carries<E[]> {
  readonly kind: 'array';
  readonly element: Type;
}
export interface StructType<T extends object = object> extends Carries<T> {
  readonly kind: 'struct';
  readonly name: string;
  readonly members: readonly Member[];
  /** Members that nobody declared pass through unchecked. */
  readonly isOpen?: true;
}
export interface Member {
  readonly name: string;
  readonly type: Type;
  readonly optional: boolean;
  readonly help?: string;
}
/** The members of `base` and, by the value of `discriminator` (an enum member of base), those of one branch. */
export interface UnionType<T = unknown> extends Carries<T> {
  readonly kind: 'union';
  readonly name: string;
  readonly base: StructType;
  readonly discriminator: string;
  /** A discriminator value without a branch adds no members. A function, so that unions may be recursive. */
  readonly branches: () => Readonly<Record<string, StructType>>;
}
/** One of several JSON types. At most one branch per JSON type. */
export interface AlternateType<T = unknown> extends Carries<T> {
  readonly kind: 'alternate';
  readonly name: string;
  readonly branches: () => readonly Type[];
}

export type Type =
  | StringType
  | BoolType
  | NullType
  | NumberType
  | AnyType
  | IntType
  | EnumType
  | ArrayType
  | StructType
  | UnionType
  | AlternateType;

/** The TypeScript type of a value that passed the check against `T`. */
export type TypeOf<T> = T extends Carries<infer V> ? V : never;

export interface Optional<T extends Type> {
  readonly optional: true;
  readonly type: T;
}

type MemberSpec = Type | Optional<Type>;
type RequiredKeys<M> = { [K in keyof M]: M[K] extends Optional<Type> ? never : K }[keyof M];
type OptionalKeys<M> = { [K in keyof M]: M[K] extends Optional<Type> ? K : never }[keyof M];
type Flatten<T> = { [K in keyof T]: T[K] };
type ValuesOf<M extends Record<string, MemberSpec>> = Flatten<
  { [K in RequiredKeys<M>]: TypeOf<M[K]> } & {
    [K in OptionalKeys<M>]?: M[K] extends Optional<infer T> ? TypeOf<T> | undefined : never;
  }
>;

export const str: StringType = { kind: 'string' };
export const bool: BoolType = { kind: 'bool' };
export const nil: NullType = { kind: 'null' };
export const num: NumberType = { kind: 'number' };
export const any: AnyType = { kind: 'any' };
export const int: IntType = { kind: 'int', width: 'int' };
export const int32: IntType = { kind: 'int', width: 'int32' };
export const int64: IntType = { kind: 'int', width: 'int64' };
export const uint16: IntType = { kind: 'int', width: 'uint16' };
export const uint32: IntType = { kind: 'int', width: 'uint32' };
export const uint64: IntType = { kind: 'int', width: 'uint64' };
export const size: IntType = { kind: 'int', width: 'size' };
/** Of 32 bits in QMP, any number wherever else options of nodes come from. */
export const plainUint32: IntType = { kind: 'int', width: 'uint32', isPlain: true };
/** An integer in QMP, a size wherever else options of nodes come from. */
export const byteCount: IntType = { kind: 'int', width: 'int', isSize: true };

export function optional<T extends Type>(type: T): Optional<T> {
  return { optional: true, type };
}

/** `type`, with words of its own in messages about options of nodes. */
export function worded<T extends Type>(type: T, words: OptionWords): T {
  return { ...type, words };
}

export function enumeration<const V extends string>(name: string, values: readonly V[]): EnumType<V> {
  return { kind: 'enum', name, values };
}

export function array<T extends Type>(element: T): ArrayType<TypeOf<T>> {
  return { kind: 'array', element };
}

/** Members are checked in the order given. */
export function struct<M extends Record<string, MemberSpec>>(
  name: string,
  members: M,
): StructType<ValuesOf<M>> {
  return {
    kind: 'struct',
    name,
    members: Object.entries(members).map(([member, spec]) => ({
      name: member,
      type: 'optional' in spec ? spec.type : spec,
      optional: 'optional' in spec,
    })),
  };
}

/** All members of `first`, then those of `second`. */
export function extend<A extends object, B extends object>(
  name: string,
  first: StructType<A>,
  second: StructType<B>,
): StructType<A & B> {
  return { kind: 'struct', name, members: [...first.members, ...second.members] };
}

export const empty: StructType<Record<string, never>> = { kind: 'struct', name: 'q_empty', members: [] };
