/** alloc, map, length, info, truncate: the image as a whole (specification: cli, section 4). */
import { asBlockError, BlockError } from '../../base/errors.ts';
import { sectorBytes } from '../../base/sectors.ts';
import { checkDiskLength } from '../../block/disk-length.ts';
import type { Preallocation } from '../../block/driver.ts';
import { isProtocol } from '../../block/options.ts';
import { Perm } from '../../block/permissions.ts';
import { statusThroughRaw } from '../../block/status-through-raw.ts';
import { statusRuns } from '../../copy/status-runs.ts';
import { infoOf } from '../../qmp/node-info.ts';
import { formatSpecificText } from '../shared/human-info.ts';
import { formatIoSize } from '../shared/human-size.ts';
import {
  CommandFailed,
  complain,
  type IoCommand,
  parseExactNumber,
  parseNumber,
  readOptions,
  showUsage,
} from './command.ts';
import type { Session } from './session.ts';

interface Allocation {
  allocated: boolean;
  bytes: number;
}

const isSame = (one: Allocation, next: Allocation): boolean => one.allocated === next.allocated;

/** Whether the image itself, not what backs it, holds the data at `offset`; and for how many bytes that goes on. */
function isAllocated(session: Session, offset: number, bytes: number): Promise<Allocation> {
  return statusThroughRaw(session.backend.node, offset, bytes, false);
}

async function attempt<T>(asked: Promise<T>, failed: (reason: string) => never): Promise<T> {
  try {
    return await asked;
  } catch (error) {
    return failed(asBlockError(error).message);
  }
}

export const alloc: IoCommand = {
  name: 'alloc',
  alias: 'a',
  args: { min: 1, max: 2 },
  synopsis: 'offset [count]',
  help: 'checks if offset is allocated in the file',
  async run(session, [offsetText, countText]) {
    const offset = parseNumber(session, offsetText!); // `args` says so
    const asked = countText === undefined ? sectorBytes : parseNumber(session, countText);
    const bytes = Math.max(0, Math.min(asked, session.backend.length - offset));
    const look = (at: number, rest: number): Promise<Allocation> =>
      attempt(isAllocated(session, at, rest), (reason) =>
        complain(session, `is_allocated failed: ${reason}`),
      );
    let allocated = 0;
    for await (const run of statusRuns(offset, offset + bytes, look, isSame)) {
      if (run.allocated) allocated += run.bytes;
    }
    session.tool.out(
      `${BigInt(allocated)}/${BigInt(bytes)} bytes allocated at offset ${formatIoSize(offset)}\n`,
    );
  },
};

export const map: IoCommand = {
  name: 'map',
  args: { min: 0, max: 0 },
  synopsis: '',
  help: 'prints the allocated areas of a file',
  async run(session) {
    const { length } = session.backend;
    const look = (at: number, rest: number): Promise<Allocation> =>
      attempt(isAllocated(session, at, rest), (reason) => {
        throw new BlockError('EIO', `Failed to get allocation status: ${reason}`);
      });
    for await (const { start, bytes, allocated } of statusRuns(0, length, look, isSame)) {
      session.tool.out(
        `${formatIoSize(bytes)} (0x${BigInt(bytes).toString(16)}) bytes ${allocated ? '    allocated' : 'not allocated'} ` +
          `at offset ${formatIoSize(start)} (0x${start.toString(16)})\n`,
      );
    }
  },
};

export const length: IoCommand = {
  name: 'length',
  alias: 'l',
  args: { min: 0, max: 0 },
  help: 'gets the length of the current file',
  async run(session) {
    session.tool.out(`${formatIoSize(session.backend.length)}\n`);
  },
};

export const info: IoCommand = {
  name: 'info',
  alias: 'i',
  args: { min: 0, max: 0 },
  help: 'prints information about the current file',
  async run(session) {
    const node = session.backend.node.skipImplicit();
    const { definition } = node;
    const line = `format name: ${definition.name}\n`;
    // A second time as the name of a protocol.
    session.tool.out(isProtocol(definition) ? line + line : line);
    const known = infoOf(node);
    if (!known) throw new CommandFailed('there is nothing to tell');
    session.tool.out(`cluster size: ${formatIoSize(known.clusterBytes ?? 0)}\n`);
    session.tool.out(`vm state offset: ${formatIoSize(known.vmStateOffset ?? 0)}\n`);
    session.tool.out(formatSpecificText(node.driver.info?.().formatSpecific?.data));
  },
};

export const truncate: IoCommand = {
  name: 'truncate',
  alias: 't',
  args: { min: 1, max: 3 },
  synopsis: '[-m prealloc_mode] off',
  help: 'truncates the current file at the given offset',
  needs: Perm.write | Perm.resize,
  async run(session, args) {
    let mode = 'off';
    const operands = readOptions(session, truncate, args, 'm:', (_letter, value) => {
      mode = value;
    });
    if (!isPreallocation(mode)) throw new BlockError('EINVAL', `Invalid preallocation mode '${mode}'`);
    if (operands.length !== 1) showUsage(session, truncate);
    const bytes = parseExactNumber(session, operands[0]!); // checked above
    checkDiskLength(bytes);
    await session.backend.truncate(Number(bytes), { preallocation: mode });
    session.announceCompleted();
  },
};

function isPreallocation(mode: string): mode is Preallocation {
  return mode === 'off' || mode === 'metadata' || mode === 'falloc' || mode === 'full';
}
