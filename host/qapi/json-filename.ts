/**
 * `json:{…}` in place of a file name: options, nested or with dotted keys (specification: graph, section 6).
 */
import { asBlockError, invalid } from '../base/errors.ts';
import { parseJson } from './json.ts';
import { isJsonObject, type JsonObject } from './json-value.ts';

export function parseJsonFilename(filename: string): JsonObject {
  let value: unknown;
  try {
    value = parseJson(filename.slice('json:'.length));
  } catch (error) {
    throw asBlockError(error).within('Could not parse the JSON options');
  }
  if (!isJsonObject(value)) throw invalid('Invalid JSON object given');
  return value;
}

/** `{"file.driver": …}` → `{"file": {"driver": …}}` */
export function nestDottedKeys<T>(flat: Readonly<Record<string, T>>): Record<string, T | JsonObject> {
  if (!Object.keys(flat).some((key) => key.includes('.'))) return flat;
  const nested = Object.create(null) as Record<string, unknown>;
  for (const [key, value] of Object.entries(flat)) {
    const path = key.split('.');
    const last = path.pop()!;
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
