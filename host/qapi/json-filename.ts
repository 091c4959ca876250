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
