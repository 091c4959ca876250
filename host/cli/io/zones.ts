/**
 * zone_report, zone_open, zone_close, zone_finish, zone_reset, zone_append: commands for devices that are written in zones
 * (specification: cli, section 4). No node here is such a device, so that all of them end as they do on any other disk.
 */
import { BlockError } from '../../base/errors.ts';
import { complain, type IoCommand, parseNumber } from './command.ts';
import { parseLengths } from './read-write.ts';
import type { Session } from './session.ts';

interface ZoneCommand {
  name: string;
  alias: string;
  synopsis: string;
  help: string;
}

/** `verb`: as its failure calls it. */
function zoneCommand(command: ZoneCommand, verb: string): IoCommand {
  return {
    ...command,
    args: { min: 2, max: 2 },
    async run(session, args) {
      const [offset, bytes] = args.map((text) => parseNumber(session, text)) as [number, number]; // `args` says so
      refuse(session, `zone ${verb}`, offset, bytes);
    },
  };
}

function refuse(session: Session, what: string, offset: number, bytes: number): never {
  const isWithin = offset + bytes <= session.backend.length;
  return complain(session, `${what} failed: ${new BlockError(isWithin ? 'ENOTSUP' : 'EIO').message}`);
}

const range = 'offset len';

export const zoneCommands: readonly IoCommand[] = [
  {
    name: 'zone_report',
    alias: 'zrp',
    args: { min: 2, max: 2 },
    synopsis: 'offset number',
    help: 'report zone information',
    async run(session, args) {
      for (const text of args) parseNumber(session, text);
      complain(session, `zone report failed: ${new BlockError('ENOTSUP').message}`);
    },
  },
  zoneCommand(
    {
      name: 'zone_open',
      alias: 'zo',
      synopsis: range,
      help: 'explicit open a range of zones in zone block device',
    },
    'open',
  ),
  zoneCommand(
    { name: 'zone_close', alias: 'zc', synopsis: range, help: 'close a range of zones in zone block device' },
    'close',
  ),
  zoneCommand(
    {
      name: 'zone_finish',
      alias: 'zf',
      synopsis: range,
      help: 'finish a range of zones in zone block device',
    },
    'finish',
  ),
  zoneCommand(
    {
      name: 'zone_reset',
      alias: 'zrs',
      synopsis: range,
      help: 'reset a zone write pointer in zone block device',
    },
    'reset',
  ),
  {
    name: 'zone_append',
    alias: 'zap',
    args: { min: 3, max: 4 },
    synopsis: 'offset len [len..]',
    help: 'append write a number of bytes at a specified offset',
    async run(session, [offset, ...lengths]) {
      parseNumber(session, offset!); // `args` says so
      parseLengths(session, lengths);
      complain(session, `zone append failed: ${new BlockError('ENOTSUP').message}`);
    },
  },
];
