/** Servers that break the protocol, each in one way: what a client has to notice, wherever in a conversation it is. */
import {
  Chunk,
  Command,
  chunkDone,
  extendedReplyMagic,
  Info,
  initMagic,
  Option,
  OptionReply,
  optionMagic,
  optionReplyMagic,
  simpleReplyMagic,
  structuredReplyMagic,
} from '../../host/nbd/constants.ts';
import { MessageBuilder } from '../../host/nbd/fields.ts';
import {
  type Answer,
  blockSizeInfo,
  exportInfo,
  extendedChunk,
  optionReply,
  type Script,
  type ScriptedRequest,
  scriptedBytes,
  simpleReply,
  structuredChunk,
} from './scripted-nbd-server.ts';

/** What the client is about when it happens. */
export type Occasion = 'open' | 'read' | 'write' | 'map';

export interface BrokenServer {
  readonly name: string;
  readonly occasion: Occasion;
  readonly script: Script;
}

const { structuredReply, extendedHeaders, setMetaContext, go, list, exportName } = Option;
const { ack, info, metaContext, unsupported, server, tlsRequired, policy, unknown, shutdown, invalid } =
  OptionReply;
const message = (): MessageBuilder => new MessageBuilder();
const nothing = new Uint8Array(0);
const last = (...parts: readonly Uint8Array[]): Answer => ({ last: Buffer.concat(parts) });
const joined = (...parts: readonly Uint8Array[]): Answer => Buffer.concat(parts);
const flags = 0xced;
const exp = exportInfo(go, scriptedBytes, flags);

const option = (number: number, answer: Answer, form: NonNullable<Script['form']> = 'extended'): Script => ({
  form,
  options: { [number]: answer },
});
/** The answer is complete: requests follow. */
const chosen = (answer: Answer): Script => ({ options: { [go]: () => answer } });
const sizes = (minimum: number, preferred: number, maximum: number): Script =>
  chosen(joined(blockSizeInfo(go, minimum, preferred, maximum), exp, optionReply(go, ack)));

const greetings: readonly (readonly [string, Answer])[] = [
  ['no greeting', last()],
  ['half a greeting', last(message().words(initMagic).u32(0x49484156).done())],
  ['a wrong first magic', message().words([0x4e42444d, 0x41474944]).words(optionMagic).u16(3).done()],
  ['a wrong second magic', message().words(initMagic).words([1, 2]).u16(3).done()],
  ['no flags', last(message().words(initMagic).words(optionMagic).done())],
  ['half an old greeting', last(message().words(initMagic).words([0x00004202, 0x81861253]).u64(512).done())],
  [
    'an old greeting with unknown flags',
    last(message().words(initMagic).words([0x00004202, 0x81861253]).u64(512).u32(0x10001).zeros(124).done()),
  ],
];

const negotiations: readonly (readonly [string, Script])[] = [
  ['no answer to an option', option(extendedHeaders, last())],
  ['half a head of an answer', option(extendedHeaders, last(message().words(optionReplyMagic).done()))],
  [
    'a wrong magic of an answer',
    option(extendedHeaders, message().words([3, 4]).u32(11).u32(1).u32(0).done()),
  ],
  ['an answer to another option', option(extendedHeaders, optionReply(structuredReply, ack))],
  ['an ACK with data', option(extendedHeaders, optionReply(extendedHeaders, ack, Buffer.from('xx')))],
  [
    'an ACK with data, structured',
    option(structuredReply, optionReply(structuredReply, ack, Buffer.from('xx')), 'structured'),
  ],
  ['a kind of answer that there is not', option(extendedHeaders, optionReply(extendedHeaders, 9))],
  [
    'an error that there is not',
    option(extendedHeaders, optionReply(extendedHeaders, 2 ** 31 + 99, Buffer.from('because'))),
  ],
  [
    'an error with a text that is too long',
    option(
      extendedHeaders,
      last(
        message()
          .words(optionReplyMagic)
          .u32(11)
          .u32(2 ** 31 + 1)
          .u32(40_000_000)
          .done(),
      ),
    ),
  ],
  ['an error with a long text', option(go, optionReply(go, invalid, Buffer.alloc(5000, 'x')))],
  [
    'an error cut off',
    option(
      extendedHeaders,
      last(
        message()
          .words(optionReplyMagic)
          .u32(11)
          .u32(2 ** 31 + 1)
          .u32(10)
          .text('abc')
          .done(),
      ),
    ),
  ],
  ['no answer to structured replies', option(structuredReply, last(), 'structured')],
  [
    'TLS required of extended headers',
    option(extendedHeaders, optionReply(extendedHeaders, tlsRequired, Buffer.from('no'))),
  ],
  [
    'TLS required of structured replies',
    option(structuredReply, optionReply(structuredReply, tlsRequired), 'structured'),
  ],
  ['TLS required of the export', option(go, optionReply(go, tlsRequired, Buffer.from('no')))],
  ['a policy against the export', option(go, optionReply(go, policy, Buffer.from('not you')))],
  ['no such export', option(go, optionReply(go, unknown, Buffer.from('none')))],
  ['an export whose server ends', option(go, optionReply(go, shutdown))],
  ['an invalid option', option(go, optionReply(go, invalid))],
  ['an export of another platform', option(go, optionReply(go, OptionReply.platform))],
  ['block sizes wanted', option(go, optionReply(go, OptionReply.blockSizeRequired))],
  ['too big', option(go, optionReply(go, OptionReply.tooBig))],
  ['extended headers wanted', option(go, optionReply(go, OptionReply.extendedHeadersRequired))],
  ['an invalid text', option(go, optionReply(go, invalid, Buffer.from([0x61, 0, 0x62])))],
  [
    'a context without an id',
    option(
      setMetaContext,
      joined(optionReply(setMetaContext, metaContext, Buffer.from('ab')), optionReply(setMetaContext, ack)),
    ),
  ],
  [
    'a context without a name',
    option(
      setMetaContext,
      joined(
        optionReply(setMetaContext, metaContext, message().u32(1).done()),
        optionReply(setMetaContext, ack),
      ),
    ),
  ],
  [
    'a context of another name',
    option(
      setMetaContext,
      joined(
        optionReply(setMetaContext, metaContext, message().u32(1).text('base:allocatiom').done()),
        optionReply(setMetaContext, ack),
      ),
    ),
  ],
  [
    'a context with a name that is too long',
    option(
      setMetaContext,
      joined(
        optionReply(setMetaContext, metaContext, message().u32(1).text('b'.repeat(5000)).done()),
        optionReply(setMetaContext, ack),
      ),
    ),
  ],
  [
    'two contexts',
    option(
      setMetaContext,
      joined(
        ...[1, 2].map((id) =>
          optionReply(setMetaContext, metaContext, message().u32(id).text('base:allocation').done()),
        ),
        optionReply(setMetaContext, ack),
      ),
    ),
  ],
  [
    'a context, then an error',
    option(
      setMetaContext,
      joined(
        optionReply(setMetaContext, metaContext, message().u32(1).text('base:allocation').done()),
        optionReply(setMetaContext, unknown),
      ),
    ),
  ],
  [
    'an ACK of contexts with data',
    option(setMetaContext, joined(optionReply(setMetaContext, ack, Buffer.from('x')))),
  ],
  [
    'INFO in answer to contexts',
    option(setMetaContext, joined(optionReply(setMetaContext, info, Buffer.from('xxxx')))),
  ],
  ['an ACK without an export', option(go, optionReply(go, ack))],
  ['an ACK of an export with data', option(go, joined(exp, optionReply(go, ack, Buffer.from('x'))))],
  [
    'an export that is too short',
    option(
      go,
      joined(optionReply(go, info, message().u16(Info.export).u64(512).done()), optionReply(go, ack)),
    ),
  ],
  [
    'an export that is too long',
    option(
      go,
      joined(
        optionReply(go, info, message().u16(Info.export).u64(512).u16(1).u16(1).done()),
        optionReply(go, ack),
      ),
    ),
  ],
  [
    'an info that is too short',
    option(go, joined(optionReply(go, info, Buffer.from('x')), exp, optionReply(go, ack))),
  ],
  [
    'an info that there is not',
    chosen(joined(optionReply(go, info, message().u16(77).text('what').done()), exp, optionReply(go, ack))),
  ],
  ['an export without flags', option(go, joined(exportInfo(go, scriptedBytes, 0), optionReply(go, ack)))],
  [
    'an export of more than 2^63 bytes',
    option(
      go,
      joined(
        optionReply(go, info, message().u16(Info.export).words([0xffffffff, 0]).u16(1).done()),
        optionReply(go, ack),
      ),
    ),
  ],
  [
    'another kind of answer in place of INFO',
    option(go, joined(optionReply(go, metaContext, Buffer.from('xxxx')))),
  ],
  [
    'block sizes that are too short',
    option(
      go,
      joined(
        optionReply(go, info, message().u16(Info.blockSize).u32(1).u32(2).done()),
        exp,
        optionReply(go, ack),
      ),
    ),
  ],
  ['a smallest block of none', sizes(0, 4096, 1 << 20)],
  ['a smallest block that is no power of two', sizes(3, 4096, 1 << 20)],
  ['a preferred block that is no power of two', sizes(512, 4095, 1 << 20)],
  ['a preferred block below the smallest', sizes(4096, 512, 1 << 20)],
  ['a largest block below the smallest', sizes(4096, 4096, 512)],
  ['a largest block that is no multiple of the smallest', sizes(4096, 4096, 5000)],
  ['half of an answer', option(go, last(exp.subarray(0, 25)))],
  ['half of the export', { style: 'newstyle', options: { [exportName]: last(message().u64(512).done()) } }],
];

/** Where GO is not known, the name is looked up in the list. */
const listings: readonly (readonly [string, Answer])[] = [
  [
    'a list without the name',
    joined(optionReply(list, server, message().string('other').done()), optionReply(list, ack)),
  ],
  ['a list of nothing', optionReply(list, ack)],
  ['an entry without a length', joined(optionReply(list, server, Buffer.from('xx')), optionReply(list, ack))],
  [
    'an entry with a name that is longer than itself',
    joined(optionReply(list, server, message().u32(9).text('x').done()), optionReply(list, ack)),
  ],
  [
    'an entry with a name that is too long',
    joined(optionReply(list, server, message().string('x'.repeat(5000)).done()), optionReply(list, ack)),
  ],
  [
    'an entry that is too long',
    joined(message().words(optionReplyMagic).u32(list).u32(server).u32(40_000_000).done()),
  ],
  [
    'an end of the list with data',
    joined(
      optionReply(list, server, message().string('exp').done()),
      optionReply(list, ack, Buffer.from('x')),
    ),
  ],
  [
    'another answer in the list',
    joined(optionReply(list, info, Buffer.from('xxxxxx')), optionReply(list, ack)),
  ],
  ['a list that is refused', optionReply(list, policy, Buffer.from('private'))],
  ['an end within the list', last(optionReply(list, server, message().string('exp').done()))],
];

type Reply = (request: ScriptedRequest) => Answer;

const command = (number: number, reply: Reply, form: NonNullable<Script['form']>): Script => ({
  form,
  commands: { [number]: reply },
});
const data = (at: number, bytes: number): Uint8Array => message().u64(at).bytes(new Uint8Array(bytes)).done();
const hole = (at: number, bytes: number): Uint8Array => message().u64(at).u32(bytes).done();
const none: readonly [number, number] = [Chunk.none, chunkDone];
const dataDone: readonly [number, number] = [Chunk.offsetData, chunkDone];
const chunk =
  (kind: readonly [number, number], payload: Uint8Array): Reply =>
  ({ cookie }) =>
    structuredChunk(cookie, kind, payload);
const chunks =
  (...all: readonly (readonly [readonly [number, number], Uint8Array])[]): Reply =>
  ({ cookie }) =>
    joined(...all.map(([kind, payload]) => structuredChunk(cookie, kind, payload)));

/** Reads are of 4 KiB at 4096. */
const simpleReads: readonly (readonly [string, Reply])[] = [
  ['no reply', () => last()],
  ['half a reply', () => last(message().u32(simpleReplyMagic).u32(0).done())],
  ['a wrong magic', ({ cookie }) => message().u32(5).u32(0).u64(cookie).done()],
  ['a reply to nothing', ({ cookie }) => simpleReply(cookie + 5)],
  ['a reply to what is far away', () => simpleReply(2 ** 40 + 1)],
  ['a cookie of zero', () => simpleReply(0)],
  ['half of the data', ({ cookie }) => last(simpleReply(cookie, 0, new Uint8Array(100)))],
  ['an unknown error', ({ cookie }) => simpleReply(cookie, 77)],
  ['a structured reply', chunk(dataDone, data(4096, 4096))],
  ['an extended reply', (request) => extendedChunk(request, dataDone, data(4096, 4096))],
];

const structuredReads: readonly (readonly [string, Reply])[] = [
  ['a simple reply with data', ({ cookie }) => simpleReply(cookie, 0, new Uint8Array(4096))],
  ['a simple error', ({ cookie }) => simpleReply(cookie, 5)],
  ['half a head', ({ cookie }) => last(structuredChunk(cookie, none, nothing).subarray(0, 17))],
  ['a chunk of nothing', () => structuredChunk(99, none, nothing)],
  ['NONE with a payload', chunk(none, Buffer.from('x'))],
  ['NONE that is not the last', chunk([Chunk.none, 0], nothing)],
  ['no data at all', chunk(none, nothing)],
  ['data without an offset', chunk(dataDone, Buffer.from('xxxx'))],
  ['data of nothing', chunk(dataDone, data(4096, 0))],
  ['data before the request', chunk(dataDone, data(0, 4096))],
  ['data behind the request', chunk(dataDone, data(8192, 512))],
  ['data across the end of the request', chunk(dataDone, data(6144, 4096))],
  [
    'data far away',
    chunk(dataDone, Buffer.concat([message().words([0xffffffff, 0]).done(), new Uint8Array(512)])),
  ],
  ['less data than asked for', chunk(dataDone, data(4096, 512))],
  ['the same data twice', chunks([[Chunk.offsetData, 0], data(4096, 4096)], [dataDone, data(4096, 4096)])],
  [
    'data that is cut off',
    ({ cookie }) => last(structuredChunk(cookie, dataDone, data(4096, 4096)).subarray(0, 300)),
  ],
  [
    'a payload that is too long',
    ({ cookie }) =>
      message()
        .u32(structuredReplyMagic)
        .u16(1)
        .u16(1)
        .u64(cookie)
        .u32(2 ** 31)
        .done(),
  ],
  ['a hole without a length', chunk([Chunk.offsetHole, chunkDone], message().u64(4096).done())],
  ['a hole of nothing', chunk([Chunk.offsetHole, chunkDone], hole(4096, 0))],
  ['a hole before the request', chunk([Chunk.offsetHole, chunkDone], hole(0, 4096))],
  ['a hole across the end of the request', chunk([Chunk.offsetHole, chunkDone], hole(4096, 8192))],
  ['a hole with a tail', chunk([Chunk.offsetHole, chunkDone], message().u64(4096).u32(4096).u32(1).done())],
  ['block status', chunk([Chunk.blockStatus, chunkDone], message().u32(1).u32(4096).u32(0).done())],
  ['a kind of chunk that there is not', chunk([9, chunkDone], nothing)],
  [
    'a kind of error that there is not',
    chunk([0x8009, chunkDone], message().u32(5).u16(3).text('why').done()),
  ],
  ['a flag that there is not', chunk([Chunk.offsetData, 3], data(4096, 4096))],
  ['an error without a number', chunk([Chunk.error, chunkDone], Buffer.from('xx'))],
  ['an error of zero', chunk([Chunk.error, chunkDone], message().u32(0).u16(0).done())],
  [
    'an error whose text is longer than itself',
    chunk([Chunk.error, chunkDone], message().u32(5).u16(300).text('x').done()),
  ],
  [
    'an error with something behind',
    chunk([Chunk.error, chunkDone], message().u32(5).u16(1).text('xyz').done()),
  ],
  ['an error with a text', chunk([Chunk.error, chunkDone], message().u32(5).u16(3).text('why').done())],
  ['an error and no end', chunk([Chunk.error, 0], message().u32(5).u16(3).text('why').done())],
  [
    'an error at an offset',
    chunk([Chunk.errorOffset, chunkDone], message().u32(5).u16(3).text('why').u64(5000).done()),
  ],
  [
    'an error at an offset before the request',
    chunk([Chunk.errorOffset, chunkDone], message().u32(5).u16(3).text('why').u64(5).done()),
  ],
  [
    'an error at an offset that is missing',
    chunk([Chunk.errorOffset, chunkDone], message().u32(5).u16(3).text('why').done()),
  ],
  [
    'data after an error',
    chunks([[Chunk.error, 0], message().u32(28).u16(0).done()], [dataDone, data(4096, 4096)]),
  ],
  ['an extended reply', (request) => extendedChunk(request, dataDone, data(4096, 4096))],
];

const extendedReads: readonly (readonly [string, Reply])[] = [
  ['a simple reply', ({ cookie }) => joined(simpleReply(cookie, 0, new Uint8Array(4096)))],
  ['a structured reply', chunk(dataDone, data(4096, 4096))],
  [
    'an offset of another request',
    ({ cookie }) => extendedChunk({ cookie, offset: 1 }, dataDone, data(4096, 4096)),
  ],
  [
    'a payload that is too long',
    ({ cookie, offset }) =>
      message().u32(extendedReplyMagic).u16(1).u16(1).u64(cookie).u64(offset).words([1, 0]).done(),
  ],
];

const simpleWrites: readonly (readonly [string, Reply])[] = [
  ['no space', ({ cookie }) => simpleReply(cookie, 28)],
  ['a shutdown', ({ cookie }) => simpleReply(cookie, 108)],
];

const structuredWrites: readonly (readonly [string, Reply])[] = [
  ['data in reply to a write', chunk(dataDone, data(4096, 4096))],
  ['a hole in reply to a write', chunk([Chunk.offsetHole, chunkDone], hole(4096, 4096))],
  ['NONE in reply to a write', chunk(none, nothing)],
  [
    'an error in reply to a write',
    chunk([Chunk.error, chunkDone], message().u32(28).u16(4).text('full').done()),
  ],
  ['an error, then success', chunks([[Chunk.error, 0], message().u32(28).u16(0).done()], [none, nothing])],
  [
    'block status in reply to a write',
    chunk([Chunk.blockStatus, chunkDone], message().u32(1).u32(4096).u32(0).done()),
  ],
];

const status = (...words: readonly number[]): Reply =>
  chunk([Chunk.blockStatus, chunkDone], Buffer.concat(words.map((word) => message().u32(word).done())));

/** Of the whole disk. */
const statuses: readonly (readonly [string, Reply])[] = [
  ['a simple reply to block status', ({ cookie }) => simpleReply(cookie)],
  ['an error', ({ cookie }) => simpleReply(cookie, 5)],
  ['no status', chunk(none, nothing)],
  ['status of no extent', status(1)],
  ['status without a context', chunk([Chunk.blockStatus, chunkDone], Buffer.from('xx'))],
  ['half an extent', status(1, 4096)],
  ['status of another context', status(7, scriptedBytes, 0)],
  ['an extent of nothing', status(1, 0, 0)],
  ['an extent longer than asked for', status(1, 2 * scriptedBytes, 0)],
  ['several extents', status(1, 4096, 0, 4096, 3)],
  ['one and a half extents', status(1, 4096, 0, 4096)],
  [
    'status twice',
    chunks(
      ...[0, 1].map(
        (done) => [[Chunk.blockStatus, done] as const, message().u32(1).u32(4096).u32(0).done()] as const,
      ),
    ),
  ],
  ['data in reply to block status', chunk(dataDone, data(0, 4096))],
  ['flags that there are not', status(1, scriptedBytes, 0xf0)],
  [
    'an extended status',
    chunk([Chunk.blockStatusExtended, chunkDone], message().u32(1).u32(1).u64(scriptedBytes).u64(0).done()),
  ],
  ['an unaligned extent', status(1, 1000, 3)],
];

const extendedStatus =
  (payload: Uint8Array): Reply =>
  (request) =>
    extendedChunk(request, [Chunk.blockStatusExtended, chunkDone], payload);

const extendedStatuses: readonly (readonly [string, Reply])[] = [
  [
    'a compact status',
    (request) =>
      extendedChunk(request, [Chunk.blockStatus, chunkDone], message().u32(1).u32(4096).u32(0).done()),
  ],
  ['a wrong count', extendedStatus(message().u32(1).u32(2).u64(4096).u64(0).done())],
  ['an extent of nothing', extendedStatus(message().u32(1).u32(1).u64(0).u64(0).done())],
  [
    'an extent beyond all numbers',
    extendedStatus(message().u32(1).u32(1).words([0xffffffff, 0xffffffff]).u64(0).done()),
  ],
  ['flags that are too long', extendedStatus(message().u32(1).u32(1).u64(4096).words([1, 0]).done())],
];

const withoutGo = { go: optionReply(go, unsupported) };

export const brokenServers: readonly BrokenServer[] = [
  ...greetings.map(([name, greeting]) => ({ name, occasion: 'open' as const, script: { greeting } })),
  ...negotiations.map(([name, script]) => ({ name, occasion: 'open' as const, script })),
  ...listings.map(([name, answer]) => ({
    name,
    occasion: 'open' as const,
    script: { options: { [go]: withoutGo.go, [list]: answer } },
  })),
  ...replies('simple', 'read', Command.read, simpleReads),
  ...replies('structured', 'read', Command.read, structuredReads),
  ...replies('extended', 'read', Command.read, extendedReads),
  ...replies('simple', 'write', Command.write, simpleWrites),
  ...replies('structured', 'write', Command.write, structuredWrites),
  ...replies('structured', 'map', Command.blockStatus, statuses),
  ...replies('extended', 'map', Command.blockStatus, extendedStatuses),
];

function replies(
  form: 'simple' | 'structured' | 'extended',
  occasion: Occasion,
  number: number,
  all: readonly (readonly [string, Reply])[],
): BrokenServer[] {
  return all.map(([name, reply]) => ({
    name: `${name}, ${form}`,
    occasion,
    script: command(number, reply, form),
  }));
}
