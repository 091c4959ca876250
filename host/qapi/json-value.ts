/**
 * JSON values as QMP knows them: integers up to 64 bits are kept apart from fractional numbers.
 *
 * An integer is a number, or a bigint beyond 2^53. A number written with a fraction or an exponent is a number when it
 * has a fractional part, and a `JsonDouble` when it has none: `1.0` is not an integer.
 */
export class JsonDouble {
  constructor(readonly value: number) {}
}

/** What JSON can say. A bigint is an integer beyond 2^53. */
export type JsonValue = null | boolean | number | bigint | string | JsonDouble | JsonValue[] | JsonObject;
/** An object of JSON. */
export interface JsonObject {
  [key: string]: JsonValue;
}

export function isJsonObject(value: unknown): value is JsonObject {
  return (
    typeof value === 'object' && value !== null && !Array.isArray(value) && !(value instanceof JsonDouble)
  );
}
