/**
 * Properties of devices: what `-device`, device_add and qom-set give them, and qom-get and qom-list show
 * (specification: cli, section 6).
 *
 * A declaration says the name, the type that a value is checked against with QEMU's words, and the value that holds
 * when nobody gives one. What a value means is the device's affair; `check` says which values make no sense at all.
 */
import { invalid } from '../base/errors.ts';
import { exactInteger } from '../base/exact-integer.ts';
import { onErrorType } from '../block/error-policy.ts';
import type { JsonValue } from '../qapi/json-value.ts';
import { checkKeyval, parseInteger } from '../qapi/keyval-values.ts';
import { readSize } from '../qapi/sizes.ts';
import { checkStrict } from '../qapi/strict.ts';
import {
  bool,
  enumeration,
  int32,
  size,
  str,
  struct,
  type Type,
  uint16,
  uint32,
  uint64,
} from '../qapi/types.ts';

/** A loop that has queues of a device. */
export interface VirtQueueMapping {
  readonly iothread: string;
  /** Absent or empty: whichever are its turn. */
  readonly vqs?: readonly number[] | undefined;
}

/** A bigint is an integer beyond 2^53. */
export type PropertyValue = string | number | bigint | boolean | readonly VirtQueueMapping[];

export interface PropertySpec {
  readonly name: string;
  readonly type: Type;
  /** As qom-list shows it. */
  readonly typeName: string;
  readonly initial: PropertyValue;
  /** Reads it instead of the type. */
  read?(value: JsonValue): PropertyValue;
  /** Throws for a value of the right type that is out of the question. */
  check?(value: PropertyValue): void;
  /** It names an object of this type, by a path. */
  readonly linkTo?: string;
  /** Clients may change it after the device has been made. */
  readonly isLive?: boolean;
}

const onOffAuto = enumeration('OnOffAuto', ['auto', 'on', 'off']);
const biosTranslation = enumeration('BiosAtaTranslation', ['auto', 'none', 'lba', 'large', 'rechs']);
const floppyDriveType = enumeration('FloppyDriveType', ['144', '288', '120', 'none', 'auto']);

export const unsetUint32 = 0xffffffff;

function maker<V extends PropertyValue>(type: Type, typeName: string, fallback: V) {
  return (name: string, initial: V = fallback): PropertySpec => ({ name, type, typeName, initial });
}

export const flag = maker<boolean>(bool, 'bool', false);
export const text = maker<string>(str, 'str', '');
export const number16 = maker<number>(uint16, 'uint16', 0);
export const number32 = maker<number>(uint32, 'uint32', 0);
export const number64 = maker<number>(uint64, 'uint64', 0);
export const signed32 = maker<number>(int32, 'int32', 0);
export const bytes = maker<number>(size, 'size', 0);
export const onOrOff = maker<string>(onOffAuto, 'OnOffAuto', 'auto');
export const onError = maker<string>(onErrorType, 'BlockdevOnError', 'auto');
export const translation = maker<string>(biosTranslation, 'BiosAtaTranslation', 'auto');
export const floppyType = maker<string>(floppyDriveType, 'FloppyDriveType', 'auto');

/** An object of that type, or nothing. */
export function link(name: string, linkTo: string): PropertySpec {
  return { ...text(name), typeName: `link<${linkTo}>`, linkTo };
}

const maxBlockSize = 2 << 20;

/** A power of two from 512 to 2 MiB, or 0 for the device's own. */
export function blockSize(name: string): PropertySpec {
  return {
    ...bytes(name),
    check(value) {
      const given = Number(value);
      if (given === 0) return;
      if (given < 512 || given > maxBlockSize || !Number.isInteger(Math.log2(given))) {
        throw invalid(`parameter ${name} must be a power of 2 between 512 and ${maxBlockSize}`);
      }
    },
  };
}

/** The checked value: `isText` when it comes from an option string, else it is JSON and its type must fit. */
export function readProperty(spec: PropertySpec, value: JsonValue, isText: boolean): PropertyValue {
  if (spec.read) return spec.read(value);
  const type = struct('', { [spec.name]: spec.type });
  const checked = (isText ? checkKeyval : checkStrict)(type, { [spec.name]: value });
  const rounded = (checked as Record<string, PropertyValue>)[spec.name]!; // it is mandatory
  const isRounded = typeof rounded === 'number' && !Number.isSafeInteger(rounded);
  const result = isRounded ? exactly(spec.type, value) : rounded;
  spec.check?.(result);
  return result;
}

/** A checked integer of 64 bits, as it was given. */
function exactly(type: Type, value: JsonValue): number | bigint {
  if (typeof value !== 'string') return value as number | bigint; // it passed for an integer
  const exact = type === size ? readSize(value) : parseInteger(value);
  return exactInteger(BigInt.asUintN(64, exact!)); // it passed for one
}
