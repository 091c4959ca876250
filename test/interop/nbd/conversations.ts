/**
 * What clients say to the NBD servers that conversations.test.ts compares: each message is sent when the answer to the one
 * before has been read. Every option and request is here in every form that we could think of, wrong ones too. Not here:
 * what QEMU loses its place at, which is data behind the queries of a meta context, and a query of more than 4096 bytes; and a write
 * of nothing to a disk that fails, which does not reach it here.
 */
import { Command, CommandFlag, Option } from '../../../host/nbd/constants.ts';
import {
  contextsFor,
  extendedRequest,
  hello,
  infoFor,
  option,
  request,
  string,
  u16,
  u32,
  u64,
} from '../../support/nbd-messages.ts';

export interface Conversation {
  readonly name: string;
  /** The exports of the server (conversations.test.ts). */
  readonly disk: 'readonly' | 'writable' | 'failing' | 'aligned';
  readonly says: readonly Uint8Array[];
}

const { read, write, disconnect, flush, trim, cache, writeZeroes, blockStatus } = Command;
const { fua, noHole, df, reqOne, fastZero, payloadLength } = CommandFlag;
const go = (name: string): Uint8Array => option(Option.go, infoFor(name));
const structured = option(Option.structuredReply);
const extended = option(Option.extendedHeaders);
const data = Buffer.alloc(512, 7);
const all = 1 << 20;
const everyContext = [
  'base:allocation',
  'qemu:allocation-depth',
  'qemu:dirty-bitmap:b0',
  'qemu:dirty-bitmap:b1',
];
const setContexts = (...names: readonly string[]): Uint8Array =>
  option(Option.setMetaContext, contextsFor('exp', ...names));

const handshakes: readonly (readonly [string, ...Uint8Array[]])[] = [
  ['nothing but a greeting', hello()],
  ['flags that nobody has', hello(7)],
  ['an option, but not as fixed newstyle', hello(0), option(Option.list)],
  ['a name, but not as fixed newstyle', hello(0), option(Option.exportName, Buffer.from('exp'))],
  ['the export by its name', hello(), option(Option.exportName, Buffer.from('exp'))],
  ['the export by its name, with zeroes', hello(1), option(Option.exportName, Buffer.from('exp'))],
  ['another name', hello(), option(Option.exportName, Buffer.from('zz'))],
  ['no name', hello(), option(Option.exportName)],
  ['a name that is too long', hello(), option(Option.exportName, Buffer.alloc(4097, 'x'))],
  ['abort', hello(), option(Option.abort)],
  ['abort with data', hello(), option(Option.abort, Buffer.from('xx'))],
  ['list', hello(), option(Option.list), option(Option.list, Buffer.from('x'))],
  ['TLS', hello(), option(Option.startTls), option(Option.startTls, Buffer.from('x'))],
  [
    'info',
    hello(),
    ...[
      infoFor('exp'),
      infoFor('exp', 3),
      infoFor('exp', 1, 2, 3, 0, 9),
      infoFor('exp', 1, 1, 3, 3),
      infoFor('zz'),
      infoFor(''),
      infoFor('z'.repeat(80)),
      infoFor('z'.repeat(81)),
      infoFor('z'.repeat(4096)),
      infoFor('z'.repeat(4097)),
      string('exp'),
      u32(100),
      new Uint8Array(0),
      Buffer.concat([infoFor('exp', 3), u16(1)]),
      Buffer.concat([string('exp'), u16(2), u16(1)]),
      infoFor('e\0p'),
    ].flatMap((info) => [option(Option.info, info)]),
  ],
  ['structured replies, twice', hello(), structured, structured, option(Option.structuredReply, u32(1))],
  [
    'extended headers, twice',
    hello(),
    extended,
    extended,
    structured,
    option(Option.extendedHeaders, u32(1)),
  ],
  [
    'extended headers, then info and go',
    hello(),
    extended,
    option(Option.info, infoFor('exp')),
    setContexts('base:allocation'),
    option(Option.info, infoFor('exp')),
    setContexts('nope'),
    option(Option.info, infoFor('exp', 3)),
    go('exp'),
  ],
  ['structured replies, then extended headers', hello(), structured, extended, structured],
  [
    'contexts, listed',
    hello(),
    ...[
      contextsFor('exp'),
      contextsFor('exp', 'base:', 'qemu:', 'qemu:dirty-bitmap:', 'x:y', 'base:allocation'),
      ...[
        'base:',
        'qemu:',
        'qemu:dirty-bitmap:',
        'qemu:dirty-bitmap:b1',
        'qemu:allocation-depth',
        'base',
        '',
        'q',
      ].map((query) => contextsFor('exp', query)),
      contextsFor('zz', 'base:'),
      Buffer.concat([string('exp'), u32(2), string('x')]),
      string('exp'),
      u32(9),
    ].map((query) => option(Option.listMetaContext, query)),
  ],
  ['contexts, set without structured replies', hello(), setContexts('base:allocation')],
  [
    'contexts, set',
    hello(),
    structured,
    ...[
      contextsFor('exp'),
      contextsFor(
        'exp',
        'base:',
        'base:allocation',
        'qemu:allocation-depth',
        'qemu:dirty-bitmap:nope',
        'qemu:',
      ),
      contextsFor('exp', ...everyContext, 'base:allocationx', 'base:allocation'),
      contextsFor('exp', ...everyContext.toReversed()),
      contextsFor('zz', 'base:allocation'),
      Buffer.concat([string('exp'), u32(2), string('x')]),
    ].map((query) => option(Option.setMetaContext, query)),
  ],
  [
    'options that there are not',
    hello(),
    ...[0, 4, 12, 99, 0x7fffffff, 0xffffffff].map((number) => option(number)),
  ],
  ['an option that there is not, with data', hello(), option(12, Buffer.from('abc')), option(Option.list)],
  ['no option', hello(), Buffer.from('IHAVEOPX\0\0\0\0\0\0\0\0')],
  ['data that is too long', hello(), Buffer.concat([Buffer.from('IHAVEOPT'), u32(6), u32((32 << 20) + 1)])],
];

/** Requests that may be of any form, and are answered in one. */
const requests = (form: typeof request): Uint8Array[] => [
  form(read, 0, 512),
  form(read, 65_536, 16),
  form(read, 65_636, 16, { cookie: 2 ** 40 + 3 }),
  form(read, 0, 0),
  form(read, all, 0),
  form(read, all + 1, 0),
  form(read, all, 512),
  form(read, all - 256, 512),
  form(read, 0, (32 << 20) + 1),
  form(read, 2 ** 52, 512),
  form(read, 0, 16, { flags: fua }),
  form(read, 0, 16, { flags: 0x40 }),
  form(read, 0, 16, { flags: noHole }),
  form(read, 2 * all, 16, { flags: 0x40 }),
  form(write, 0, 512, { data }),
  form(trim, 0, 512),
  form(trim, 0, 512, { flags: noHole }),
  form(writeZeroes, 0, 512),
  form(writeZeroes, 0, 512, { flags: fastZero | noHole | fua }),
  form(writeZeroes, 0, 512, { flags: df }),
  form(writeZeroes, 0, 0xffffffff),
  form(flush, 0, 0),
  form(flush, 0, 512),
  form(flush, 2 * all, 512),
  form(flush, 0, 0, { flags: fua }),
  form(flush, 0, 0, { flags: noHole }),
  form(blockStatus, 0, 0),
  form(blockStatus, 0, all),
  form(blockStatus, 0, all, { flags: reqOne }),
  form(blockStatus, 65_536, 1000),
  form(blockStatus, 66_048, all - 66_048),
  form(blockStatus, 66_048, all),
  form(blockStatus, 2 * all, 5),
  form(blockStatus, 0, 512, { flags: fua }),
  form(blockStatus, 0, 512, { flags: df }),
  form(8, 0, 512),
  form(9, 2 * all, 0),
  form(0xffff, 0, 0, { flags: 0xffff & ~payloadLength }),
  form(cache, 65_536, 512),
  form(cache, 0, (32 << 20) + 1),
  form(cache, 2 * all, 512),
];

const transmissions: readonly Conversation[] = (
  ['readonly', 'writable', 'failing', 'aligned'] as const
).flatMap((disk) => [
  {
    name: 'simple replies',
    disk,
    says: [hello(), go('exp'), ...requests(request), request(disconnect, 0, 0)],
  },
  {
    name: 'structured replies',
    disk,
    says: [hello(), structured, go('exp'), ...requests(request), request(disconnect, 0, 0)],
  },
  {
    name: 'extended headers',
    disk,
    says: [hello(), extended, go('exp'), ...requests(extendedRequest), extendedRequest(disconnect, 0, 0)],
  },
]);

const withContexts: readonly (readonly [string, ...Uint8Array[]])[] = [
  [
    'structured replies and every context',
    hello(),
    structured,
    setContexts(...everyContext),
    go('exp'),
    request(read, 0, all),
    request(read, 0, all, { flags: df }),
    ...requests(request),
  ],
  [
    'structured replies and contexts of nothing',
    hello(),
    structured,
    setContexts('base:allocation'),
    option(Option.setMetaContext, contextsFor('exp')),
    go('exp'),
    request(blockStatus, 0, all),
  ],
  [
    'contexts that were set for what there is not',
    hello(),
    structured,
    setContexts('base:allocation'),
    option(Option.setMetaContext, contextsFor('zz', 'base:allocation')),
    go('exp'),
    request(blockStatus, 0, all),
  ],
  [
    'extended headers and every context',
    hello(),
    extended,
    setContexts(...everyContext),
    option(Option.go, infoFor('exp', 3)),
    ...requests(extendedRequest),
    extendedRequest(read, 0, 2 ** 33),
    extendedRequest(blockStatus, 0, 2 ** 33),
  ],
  [
    'a status that is asked for with a payload',
    hello(),
    extended,
    setContexts('base:allocation', 'qemu:dirty-bitmap:b1'),
    go('exp'),
    ...[
      [u64(all), u32(0)],
      [u64(all), u32(0), u32(0)],
      [u64(all), u32(7)],
      [u64(all)],
      [u64(2 * all), u32(0)],
      [u64(0), u32(0)],
      [Buffer.alloc(9)],
      [Buffer.alloc(4)],
    ].map((parts) => {
      const payload = Buffer.concat(parts);
      return extendedRequest(blockStatus, 0, payload.length, { flags: payloadLength, data: payload });
    }),
  ],
  [
    'payloads of what has none',
    hello(),
    extended,
    go('exp'),
    ...[read, flush, trim, writeZeroes, 9].map((command) =>
      extendedRequest(command, 0, 512, { flags: payloadLength, data }),
    ),
    // QEMU's daemon ends by an assertion at a BLOCK_STATUS that has a payload where no contexts were chosen.
    extendedRequest(flush, 0, 0),
  ],
  ['a write that is too long', hello(), go('exp'), request(write, 0, (32 << 20) + 1)],
  [
    'a write that is too long, extended',
    hello(),
    extended,
    go('exp'),
    extendedRequest(write, 0, (32 << 20) + 1),
  ],
  ['no request', hello(), go('exp'), new Uint8Array(28)],
  ['no request, structured', hello(), structured, go('exp'), new Uint8Array(28)],
  [
    'a compact request where headers are extended',
    hello(),
    extended,
    go('exp'),
    Buffer.concat([request(read, 0, 512), u32(0)]),
  ],
];

export const conversations: readonly Conversation[] = [
  ...handshakes.map(([name, ...says]) => ({ name, disk: 'readonly' as const, says })),
  {
    name: 'info',
    disk: 'aligned',
    says: [
      hello(),
      ...[[], [3], [0, 1]].map((wanted) => option(Option.info, infoFor('exp', ...wanted))),
      go('exp'),
    ],
  },
  { name: 'go, with block sizes', disk: 'aligned', says: [hello(), option(Option.go, infoFor('exp', 3))] },
  ...withContexts.map(([name, ...says]) => ({ name, disk: 'readonly' as const, says })),
  ...transmissions,
  {
    // What a busy machine has not answered yet may be answered in another order.
    name: 'writes',
    disk: 'writable',
    says: [
      hello(),
      extended,
      setContexts('base:allocation'),
      go('exp'),
      extendedRequest(write, 4096, 512, { data, flags: payloadLength, cookie: 1 }),
      extendedRequest(write, 8192, 512, { data, cookie: 2 }),
      extendedRequest(write, 8192, 0, { cookie: 3 }),
      extendedRequest(write, 8192, 512, { data, flags: fua | payloadLength, cookie: 4 }),
      extendedRequest(writeZeroes, 0, all, { flags: fua, cookie: 5 }),
      extendedRequest(blockStatus, 0, all, { cookie: 6 }),
      extendedRequest(trim, 0, all, { flags: fua, cookie: 7 }),
      extendedRequest(flush, 0, 0, { cookie: 8 }),
      extendedRequest(read, 4096, 512, { cookie: 9 }),
    ],
  },
];
