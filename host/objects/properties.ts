/** Properties that are what an object was made with, and that can be changed without any effect on what it was made for. */
import type { JsonValue } from '../qapi/json-value.ts';
import { checkStrict } from '../qapi/strict.ts';
import { struct, type Type } from '../qapi/types.ts';
import type { QomProperty } from './qom.ts';

/** `type` in qom-list is the declaration's name, or its kind. */
export function plainProperty(name: string, type: Type, initial: unknown): QomProperty {
  let value = initial;
  return {
    name,
    type: typeNameOf(type),
    get: () => value,
    set: (given: JsonValue) => {
      value = (
        checkStrict(struct('PropertyValue', { [name]: type }), { [name]: given }) as Record<string, unknown>
      )[name];
    },
  };
}

function typeNameOf(type: Type): string {
  if (type.kind === 'array') return typeNameOf(type.element);
  if ('name' in type) return type.name;
  return type.kind;
}
