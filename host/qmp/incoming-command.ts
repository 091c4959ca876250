/**
 * What makes a JSON value a QMP request (specification: qmp-protocol, section 3). Members are checked in dictionary
 * order, and the first that is wrong decides the error.
 */
import { invalid } from '../base/errors.ts';
import { inDictionaryOrder } from '../qapi/dictionary-order.ts';
import { isJsonObject, type JsonObject, type JsonValue } from '../qapi/json-value.ts';

export interface Request {
  readonly command: string;
  readonly outOfBand: boolean;
  readonly arguments: JsonObject;
}

/** Throws BlockError. */
export function readRequest(value: JsonValue, options: { outOfBand: boolean }): Request {
  if (!isJsonObject(value)) throw invalid('QMP input must be a JSON object');
  let command: { name: string; key: string } | undefined;
  let given: JsonObject | undefined;
  for (const [key, member] of inDictionaryOrder(value)) {
    if (key === 'execute' || (key === 'exec-oob' && options.outOfBand)) {
      if (typeof member !== 'string') throw invalid(`QMP input member '${key}' must be a string`);
      if (command) throw invalid(`QMP input member '${key}' clashes with '${command.key}'`);
      command = { name: member, key };
    } else if (key === 'arguments') {
      if (!isJsonObject(member)) throw invalid("QMP input member 'arguments' must be an object");
      given = member;
    } else if (key !== 'id') {
      throw invalid(`QMP input member '${key}' is unexpected`);
    }
  }
  if (!command) throw invalid("QMP input lacks member 'execute'");
  return { command: command.name, outOfBand: command.key === 'exec-oob', arguments: given ?? {} };
}

/** Whether it is to overtake the requests before it, be it right or wrong otherwise. */
export function isOutOfBand(value: JsonValue): boolean {
  return isJsonObject(value) && Object.hasOwn(value, 'exec-oob') && !Object.hasOwn(value, 'execute');
}
