/** Options with dotted keys, as file names and the older options have them, as nested objects (specification: graph, section 6). */
import { isJsonObject, type JsonObject } from './json-value.ts';

/** In an object of dotted keys: what its own key was given beside them, `m` in `backing=m,backing.driver=raw`; else undefined. */
export const ownValue = Symbol();

/** `{"file.driver": …}` → `{"file": {"driver": …}}` */
export function nestDottedKeys<T>(flat: Readonly<Record<string, T>>): Record<string, T | JsonObject> {
  if (!Object.keys(flat).some((key) => key.includes('.'))) return flat;
  const nested = Object.create(null) as Record<string, unknown>;
  for (const [key, value] of Object.entries(flat)) {
    const path = key.split('.');
    const last = path.pop()!; // split gives one at the least
    let object = nested;
    for (const part of path) {
      const inner = object[part];
      const copy = isJsonObject(inner)
        ? { ...inner }
        : Object.assign(Object.create(null) as JsonObject, inner !== undefined && { [ownValue]: inner });
      object = (object[part] = copy) as Record<string, unknown>;
    }
    const present = object[last];
    object[last] = isJsonObject(present)
      ? { ...present, ...(isJsonObject(value) ? value : { [ownValue]: value }) }
      : value;
  }
  return { ...nested } as Record<string, T | JsonObject>;
}
