/**
 * The numbers of the NBD protocol, and the limits that both sides keep (specification: nbd, section 1).
 *
 * All numbers on the wire are big-endian. Those of 64 bits are written as two words.
 */
import type { Errno } from '../base/errors.ts';

export type Words = readonly [high: number, low: number];

/** What replies to requests look like, as the client has chosen. */
export type ReplyForm = 'simple' | 'structured' | 'extended';

/** `NBDMAGIC`: what every server says first. */
export const initMagic: Words = [0x4e42444d, 0x41474943];
/** `IHAVEOPT`: then says one that negotiates; and so begins each option. */
export const optionMagic: Words = [0x49484156, 0x454f5054];
/** In place of that, a server that does not negotiate. */
export const oldStyleMagic: Words = [0x00004202, 0x81861253];
export const optionReplyMagic: Words = [0x0003e889, 0x045565a9];
export const requestMagic = 0x25609513;
export const extendedRequestMagic = 0x21e41c71;
export const simpleReplyMagic = 0x67446698;
export const structuredReplyMagic = 0x668e33ef;
export const extendedReplyMagic = 0x6e8a278c;

/** Of the server's greeting, and of the client's answer to it. */
export const HandshakeFlag = { fixedNewstyle: 1, noZeroes: 2 } as const;

export const Option = {
  exportName: 1,
  abort: 2,
  list: 3,
  startTls: 5,
  info: 6,
  go: 7,
  structuredReply: 8,
  listMetaContext: 9,
  setMetaContext: 10,
  extendedHeaders: 11,
} as const;

const optionNames = new Map<number, string>([
  [Option.exportName, 'export name'],
  [Option.abort, 'abort'],
  [Option.list, 'list'],
  [Option.startTls, 'starttls'],
  [Option.info, 'info'],
  [Option.go, 'go'],
  [Option.structuredReply, 'structured reply'],
  [Option.listMetaContext, 'list meta context'],
  [Option.setMetaContext, 'set meta context'],
  [Option.extendedHeaders, 'extended headers'],
]);

/** As messages call an option. */
export function optionName(option: number): string {
  return optionNames.get(option) ?? '<unknown>';
}

const errorBit = 2 ** 31;

/** Kinds of answers to options. */
export const OptionReply = {
  ack: 1,
  server: 2,
  info: 3,
  metaContext: 4,
  unsupported: errorBit + 1,
  policy: errorBit + 2,
  invalid: errorBit + 3,
  platform: errorBit + 4,
  tlsRequired: errorBit + 5,
  unknown: errorBit + 6,
  shutdown: errorBit + 7,
  blockSizeRequired: errorBit + 8,
  tooBig: errorBit + 9,
  extendedHeadersRequired: errorBit + 10,
} as const;

const replyNames = new Map<number, string>([
  [OptionReply.ack, 'ack'],
  [OptionReply.server, 'server'],
  [OptionReply.info, 'info'],
  [OptionReply.metaContext, 'meta context'],
  [OptionReply.unsupported, 'unsupported'],
  [OptionReply.policy, 'denied by policy'],
  [OptionReply.invalid, 'invalid'],
  [OptionReply.platform, 'platform lacks support'],
  [OptionReply.tlsRequired, 'TLS required'],
  [OptionReply.unknown, 'export unknown'],
  [OptionReply.shutdown, 'server shutting down'],
  [OptionReply.blockSizeRequired, 'block size required'],
  [OptionReply.tooBig, 'option payload too big'],
  [OptionReply.extendedHeadersRequired, 'extended headers required'],
]);

/** As messages call an answer to an option. */
export function replyName(type: number): string {
  return replyNames.get(type) ?? '<unknown>';
}

/** Whether the answer is that the option cannot be. */
export function isErrorReply(type: number): boolean {
  return type >= errorBit;
}

/** What INFO and GO tell. */
export const Info = { export: 0, name: 1, description: 2, blockSize: 3 } as const;

/** What can be done with an export. */
export const TransmissionFlag = {
  hasFlags: 0x1,
  readOnly: 0x2,
  sendFlush: 0x4,
  sendFua: 0x8,
  rotational: 0x10,
  sendTrim: 0x20,
  sendWriteZeroes: 0x40,
  sendDf: 0x80,
  canMultiConn: 0x100,
  sendResize: 0x200,
  sendCache: 0x400,
  sendFastZero: 0x800,
  blockStatusPayload: 0x1000,
} as const;

export const Command = {
  read: 0,
  write: 1,
  disconnect: 2,
  flush: 3,
  trim: 4,
  cache: 5,
  writeZeroes: 6,
  blockStatus: 7,
} as const;

const commandNames = [
  'read',
  'write',
  'disconnect',
  'flush',
  'trim',
  'cache',
  'write zeroes',
  'block status',
];

/** As messages call a command. */
export function commandName(command: number): string {
  return commandNames[command] ?? '<unknown>';
}

export const CommandFlag = { fua: 1, noHole: 2, df: 4, reqOne: 8, fastZero: 16, payloadLength: 32 } as const;

/** Kinds of chunks of a structured reply. */
export const Chunk = {
  none: 0,
  offsetData: 1,
  offsetHole: 2,
  blockStatus: 5,
  blockStatusExtended: 6,
  error: 0x8001,
  errorOffset: 0x8002,
} as const;

/** Of the last chunk of a reply. */
export const chunkDone = 1;

/** Flags of an extent in `base:allocation`. */
export const AllocationFlag = { hole: 1, zero: 2 } as const;

/** Bytes. What is longer ends the connection. */
export const maxOptionBytes = 32 << 20;
/** Bytes. What is longer is skipped, and answered with an error: no option that is understood needs more. */
export const maxKeptOptionBytes = 1 << 20;
/** Bytes of a name, a description, a query. */
export const maxStringBytes = 4096;
/** Bytes of data of one request, either way. */
export const maxPayloadBytes = 32 << 20;
/** Requests that a client has on their way in one connection. */
export const maxClientRequests = 16;
/** Extents in the answer to one BLOCK_STATUS, per context. */
export const maxExtents = 131_072;

const errorNumbers = {
  EPERM: 1,
  EIO: 5,
  ENOMEM: 12,
  EINVAL: 22,
  ENOSPC: 28,
  EOVERFLOW: 75,
  ENOTSUP: 95,
  ESHUTDOWN: 108,
} as const;

/** Nothing of the protocol's is as good for these as one of its other errors. */
const likeErrors: Partial<Record<Errno, number>> = {
  ...errorNumbers,
  EROFS: errorNumbers.EPERM,
  EFBIG: errorNumbers.ENOSPC,
};

/** The number of an error on the wire. */
export function toWireError(errno: Errno): number {
  return likeErrors[errno] ?? errorNumbers.EINVAL;
}

const errnosByNumber = new Map<number, Errno>(
  Object.entries(errorNumbers).map(([errno, number]) => [number, errno as Errno]),
);

/** The error of a number on the wire. */
export function fromWireError(error: number): Errno {
  return errnosByNumber.get(error) ?? 'EINVAL';
}
