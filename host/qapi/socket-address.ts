/** Where a server is, as commands and options say it (QAPI SocketAddress and SocketAddressLegacy). */
import { invalid } from '../base/errors.ts';
import type { SocketAddress } from '../platform/sockets.ts';
import {
  bool,
  enumeration,
  optional,
  type StructType,
  str,
  struct,
  type TypeOf,
  type UnionType,
  uint16,
  worded,
} from './types.ts';

/** As an option of a node: the name is that of the member alone. */
export const missingByName = (name: string) => ({ missing: `Parameter '${name}' is missing` });
const named = (name: string): typeof str => worded(str, missingByName(name));

const inet = struct('InetSocketAddress', {
  host: named('host'),
  port: named('port'),
  numeric: optional(bool),
  to: optional(uint16),
  ipv4: optional(bool),
  ipv6: optional(bool),
  'keep-alive': optional(bool),
  mptcp: optional(bool),
});
const unix = struct('UnixSocketAddress', {
  path: named('path'),
  abstract: optional(bool),
  tight: optional(bool),
});
const vsock = struct('VsockSocketAddress', { cid: named('cid'), port: named('port') });
const fd = struct('FdSocketAddress', { str: named('str') });

export const socketAddressTypes = ['inet', 'unix', 'vsock', 'fd'] as const;

const addressTypes = worded(enumeration('SocketAddressType', socketAddressTypes), missingByName('type'));

type Inet = TypeOf<typeof inet>;
type Unix = TypeOf<typeof unix>;
type Fd = TypeOf<typeof fd>;
type AnyAddress = Partial<Inet & Unix & TypeOf<typeof vsock> & Fd>;

/** Its members beside each other: in options, and in what came later. */
export const socketAddress: UnionType<{ type: TypeOf<typeof addressTypes> } & AnyAddress> = {
  kind: 'union',
  name: 'SocketAddress',
  base: struct('SocketAddressBase', { type: addressTypes }),
  discriminator: 'type',
  branches: () => ({ inet, unix, vsock, fd }),
};

const wrapped = <T extends object>(type: StructType<T>): StructType =>
  struct(`${type.name}Wrapper`, { data: type });

/** Its members in a `data` of their own, as older commands have it. */
export const legacySocketAddress: UnionType<{ type: TypeOf<typeof addressTypes>; data: AnyAddress }> = {
  kind: 'union',
  name: 'SocketAddressLegacy',
  base: struct('SocketAddressLegacyBase', { type: addressTypes }),
  discriminator: 'type',
  branches: () => ({ inet: wrapped(inet), unix: wrapped(unix), vsock: wrapped(vsock), fd: wrapped(fd) }),
};

const refusedMembers = ['to', 'ipv4', 'ipv6', 'keep-alive', 'mptcp', 'abstract', 'tight', 'numeric'] as const;

/** Errors: what cannot be listened on or connected to here, by name. Descriptors have no names, only numbers. */
export function readSocketAddress({ type, ...given }: TypeOf<typeof socketAddress>): SocketAddress {
  const refused = refusedMembers.find((name) => given[name] === true || typeof given[name] === 'number');
  if (refused) throw invalid(`Parameter '${refused}' is not supported`);
  // The check saw to it that the members of the type are there.
  switch (type) {
    case 'inet':
      return { type, host: given.host!, port: given.port! };
    case 'unix':
      return { type, path: given.path! };
    case 'vsock':
      throw invalid("Socket address type 'vsock' is not supported");
    case 'fd':
      if (!/^\d+$/.test(given.str!)) throw invalid('only QEMU supports file descriptor passing');
      return { type, fd: Number(given.str) };
  }
}
