/** What an NBD client says, byte by byte, right or wrong: for tests that hold the other end of a server. */

import { extendedRequestMagic, optionMagic, requestMagic } from '../../host/nbd/constants.ts';
import { MessageBuilder } from '../../host/nbd/fields.ts';

/** The client's answer to the greeting. */
export function hello(flags = 3): Uint8Array {
  return new MessageBuilder().u32(flags).done();
}

export function option(number: number, ...data: readonly Uint8Array[]): Uint8Array {
  const all = Buffer.concat(data);
  return new MessageBuilder().words(optionMagic).u32(number).u32(all.length).bytes(all).done();
}

export function u16(value: number): Uint8Array {
  return new MessageBuilder().u16(value).done();
}

export function u32(value: number): Uint8Array {
  return new MessageBuilder().u32(value).done();
}

export function u64(value: number): Uint8Array {
  return new MessageBuilder().u64(value).done();
}

/** Its length, then its bytes. */
export function string(value: string): Uint8Array {
  return new MessageBuilder().string(value).done();
}

/** Data of INFO and GO. */
export function infoFor(name: string, ...wanted: readonly number[]): Uint8Array {
  return Buffer.concat([string(name), u16(wanted.length), ...wanted.map(u16)]);
}

/** Data of LIST_META_CONTEXT and SET_META_CONTEXT. */
export function contextsFor(name: string, ...queries: readonly string[]): Uint8Array {
  return Buffer.concat([string(name), u32(queries.length), ...queries.map(string)]);
}

export interface RequestOptions {
  readonly flags?: number;
  readonly data?: Uint8Array;
  readonly cookie?: number;
}

function requestOf(
  magic: number,
  length: Uint8Array,
  [command, offset]: readonly [number, number],
  { flags = 0, data = new Uint8Array(0), cookie = 1 }: RequestOptions,
): Uint8Array {
  const head = new MessageBuilder().u32(magic).u16(flags).u16(command).u64(cookie).u64(offset);
  return Buffer.concat([head.done(), length, data]);
}

export function request(
  command: number,
  offset: number,
  bytes: number,
  options: RequestOptions = {},
): Uint8Array {
  return requestOf(requestMagic, u32(bytes), [command, offset], options);
}

/** After EXTENDED_HEADERS. */
export function extendedRequest(
  command: number,
  offset: number,
  bytes: number,
  options: RequestOptions = {},
): Uint8Array {
  return requestOf(extendedRequestMagic, u64(bytes), [command, offset], options);
}
