/**
 * Options of nodes on web servers, as the library takes them: `http` and `https` are one driver to it, and the address says
 * which is meant. A page names the address of an image as it finds it, often from its own, and is itself served by either.
 *
 * Monitors keep to QEMU, where each of the two refuses the other's addresses.
 */
import { isJsonObject, type JsonObject, type JsonValue } from '../qapi/json-value.ts';

/** Options of `blockdev-add` with the driver that the address asks for, also in the nodes that are declared within. */
export function withDriversOfAddresses(options: JsonObject): JsonObject {
  const result: JsonObject = {};
  for (const [name, value] of Object.entries(options)) result[name] = inValue(value);
  const { driver, url } = result;
  if ((driver !== 'http' && driver !== 'https') || typeof url !== 'string') return result;
  const scheme = /^(https?):\/\//i.exec(url)?.[1]?.toLowerCase();
  return scheme === undefined ? result : { ...result, driver: scheme };
}

function inValue(value: JsonValue): JsonValue {
  if (Array.isArray(value)) return value.map(inValue);
  return isJsonObject(value) ? withDriversOfAddresses(value) : value;
}
