/** What of a message has not arrived when a server stops in its middle, as errors name it. */
import { Info, isErrorReply, OptionReply, optionName, replyName } from '../constants.ts';
import { MessageReader } from '../fields.ts';

type Field = readonly [bytes: number, name: string];

const size = 8;
const word = 4;

/** In answer to EXPORT_NAME, and of servers of the old style. */
export function missingOfExport(arrived: number): string {
  return firstMissing(
    [
      [size, 'export length'],
      [2, 'export flags'],
    ],
    'reserved block',
    arrived,
  );
}

/** Of what follows the head of an answer. `data`: as much of it as has arrived. */
export function missingOfAnswer(option: number, type: number, data: Uint8Array): string {
  if (isErrorReply(type)) return `option error ${type} (${replyName(type)}) message`;
  if (type === OptionReply.server)
    return firstMissing([[word, 'option name length']], nameOrDescription(data), data.length);
  if (type === OptionReply.metaContext)
    return firstMissing([[word, 'context id']], 'context name', data.length);
  if (type === OptionReply.info)
    return firstMissing([[2, 'info type'], ...infoFields(data)], 'info', data.length);
  return `the answer to option ${option} (${optionName(option)})`;
}

function nameOrDescription(data: Uint8Array): string {
  const reader = new MessageReader(data);
  const bytes = reader.u32();
  return bytes !== undefined && reader.rest >= bytes ? 'export description' : 'export name';
}

function infoFields(data: Uint8Array): readonly Field[] {
  switch (new MessageReader(data).u16()) {
    case Info.export:
      return [
        [size, 'info size'],
        [2, 'info flags'],
      ];
    case Info.blockSize:
      return ['minimum', 'preferred', 'maximum'].map((which) => [word, `info ${which} block size`]);
    default:
      return [];
  }
}

function firstMissing(fields: readonly Field[], rest: string, arrived: number): string {
  let end = 0;
  for (const [bytes, name] of fields) {
    end += bytes;
    if (arrived < end) return name;
  }
  return rest;
}
