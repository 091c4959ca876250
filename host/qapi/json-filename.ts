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
  return nestDottedKeys(value);
}

/** `{"file.driver": …}` → `{"file": {"driver": …}}` */
export function nestDottedKeys(flat: JsonObject): JsonObject {
  const nested: JsonObject = Object.create(null) as JsonObject;
  for (const [key, value] of Object.entries(flat)) {
    const path = key.split('.');
    const last = path.pop()!;
    let object = nested;
    for (const part of path) {
      const inner = object[part];
      object = isJsonObject(inner)
        ? inner
        : ((object[part] = Object.create(null) as JsonObject) as JsonObject);
    }
    object[last] = isJsonObject(value) ? nestDottedKeys(value) : value;
  }
  return { ...nested };
}
