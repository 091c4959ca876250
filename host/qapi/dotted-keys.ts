/** Options with dotted keys, as file names and the older options have them, as nested objects (specification: graph, section 6). */
import { isJsonObject, type JsonObject } from './json-value.ts';

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
      const copy = isJsonObject(inner) ? { ...inner } : (Object.create(null) as JsonObject);
      object = (object[part] = copy) as Record<string, unknown>;
    }
    const present = object[last];
    object[last] = isJsonObject(value) && isJsonObject(present) ? { ...present, ...value } : value;
  }
  return { ...nested } as Record<string, T | JsonObject>;
}
