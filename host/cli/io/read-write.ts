/** The synchronous requests: read, write, readv, writev, discard, flush (specification: cli, section 4). */
import { readFileSync } from 'node:fs';
import { asBlockError, BlockError } from '../../base/errors.ts';
import { sectorBytes } from '../../base/sectors.ts';
import type { BlockBackend } from '../../block/backend.ts';
import type { ZeroFlags } from '../../block/driver.ts';
import { Perm } from '../../block/permissions.ts';
import { maxRequestBytes } from '../../block/request.ts';
import {
  CommandFailed,
  complain,
  type IoCommand,
  parseNumber,
  parsePattern,
  readOptions,
  showUsage,
} from './command.ts';
import { report, reportRead, verify } from './report.ts';
import type { Session } from './session.ts';

const defaultPattern = 0xcd;

/** Registered buffers spare some hosts a translation with each request; here any buffer does as it is. */
const registered = '-r   use a registered buffer: no buffer has to be registered here';

/** Errors: always. */
export function refuseRegisteredZeroes(session: Session): never {
  return complain(session, 'cannot combine zero write with registered I/O buffer');
}

/** `operands`: two. */
function parseRange(session: Session, operands: readonly string[]): { offset: number; bytes: number } {
  const [offset = '', bytes = ''] = operands;
  return { offset: parseNumber(session, offset), bytes: parseNumber(session, bytes) };
}

function checkSectorAligned(session: Session, range: { offset: number; bytes: number }): void {
  const check = (value: number, name: string): void => {
    if (value % sectorBytes !== 0) complain(session, `${value} is not a sector-aligned value for '${name}'`);
  };
  check(range.offset, 'offset');
  check(range.bytes, 'count');
}

/** VM state is stored behind the guest's data by some formats; nothing here reaches it. */
function refuseVmState(session: Session, command: string): never {
  return complain(session, `${command}: VM state (-b) is not supported`);
}

/** Lengths of the parts of a vectored request, and their sum. */
export function parseLengths(session: Session, texts: readonly string[]): number {
  let total = 0;
  for (const text of texts) {
    const bytes = parseNumber(session, text);
    if (bytes > maxRequestBytes)
      complain(session, `Argument '${text}' exceeds maximum size ${maxRequestBytes}`);
    total += bytes;
    if (total > maxRequestBytes) {
      complain(session, `The total number of bytes exceed the maximum size ${maxRequestBytes}`);
    }
  }
  return total;
}

export const read: IoCommand = {
  name: 'read',
  alias: 'r',
  args: { min: 2 },
  synopsis: '[-abCqrv] [-P pattern [-s off] [-l len]] off len',
  help: 'reads a number of bytes at a specified offset',
  longHelp: [
    '-C   report in a form for machines',
    '-P   check that what was read is this byte throughout',
    '-s   where the check starts, from the start of the range (with -P)',
    '-l   how many bytes are checked (with -P)',
    '-q   print no report',
    registered,
    '-v   dump what was read',
    "Example: 'read -v 512 1k' dumps one KiB from offset 512",
  ],
  async run(session, args) {
    let machine = false;
    let quiet = false;
    let verbose = false;
    let vmState = false;
    let pattern: number | undefined;
    let checkFrom: number | undefined;
    let checkBytes: number | undefined;
    const operands = readOptions(session, read, args, 'bCl:pP:qrs:v', (letter, value) => {
      if (letter === 'b') vmState = true;
      else if (letter === 'C') machine = true;
      else if (letter === 'l') checkBytes = parseNumber(session, value);
      else if (letter === 'P') pattern = parsePattern(session, value);
      else if (letter === 'q') quiet = true;
      else if (letter === 's') checkFrom = parseNumber(session, value);
      else if (letter === 'v') verbose = true;
    });
    if (operands.length !== 2) showUsage(session, read);
    const range = parseRange(session, operands);
    const { offset, bytes } = range;
    if (bytes > maxRequestBytes) {
      complain(session, `length cannot exceed ${maxRequestBytes}, given ${operands[1]}`);
    }
    if (pattern === undefined && (checkFrom !== undefined || checkBytes !== undefined))
      showUsage(session, read);
    const from = checkFrom ?? 0;
    if (from + (checkBytes ?? 0) > bytes || from > bytes) {
      complain(session, 'pattern verification range exceeds end of read data');
    }
    if (vmState) {
      checkSectorAligned(session, range);
      refuseVmState(session, 'read');
    }
    const buffer = session.allocate(bytes);
    const elapsedNs = await session.timed('read', () => session.backend.read(offset, buffer));
    const checked = buffer.subarray(from, checkBytes === undefined ? bytes : from + checkBytes);
    const isGood = pattern === undefined || verify(session, checked, offset + from, pattern);
    if (!quiet) reportRead(session, { offset, buffer, elapsedNs, machine, verbose });
    if (!isGood) throw new CommandFailed('pattern');
  },
};

export const write: IoCommand = {
  name: 'write',
  alias: 'w',
  args: { min: 2 },
  synopsis: '[-bcCfnqruz] [-P pattern | -s source_file] off len',
  help: 'writes a number of bytes at a specified offset',
  longHelp: [
    `-P   the byte to write (default 0x${defaultPattern.toString(16)})`,
    '-s   write the content of a file, repeated',
    '-z   write zeros as such; -u: their space may be given back; -n: only if that is cheap',
    '-c   write compressed clusters',
    '-f   the data is durable before the command ends',
    '-C   report in a form for machines',
    '-q   print no report',
    registered,
    "Example: 'write 512 1k' writes one KiB at offset 512",
  ],
  needs: Perm.write,
  async run(session, args) {
    const flags = {
      b: false,
      c: false,
      C: false,
      f: false,
      n: false,
      p: false,
      q: false,
      r: false,
      u: false,
      z: false,
    };
    let pattern: number | undefined;
    let sourceFile: string | undefined;
    const operands = readOptions(session, write, args, 'bcCfnpP:qrs:uz', (letter, value) => {
      if (letter === 'P') pattern = parsePattern(session, value);
      else if (letter === 's') sourceFile = value;
      else flags[letter as keyof typeof flags] = true;
    });
    if (operands.length !== 2) showUsage(session, write);
    if (flags.b && flags.z) complain(session, '-b and -z cannot be specified at the same time');
    if (flags.f && (flags.b || flags.c))
      complain(session, '-f and -b or -c cannot be specified at the same time');
    if (flags.n && !flags.z) complain(session, '-n requires -z to be specified');
    if (flags.u && !flags.z) complain(session, '-u requires -z to be specified');
    if (flags.r && flags.z) refuseRegisteredZeroes(session);
    if (Number(flags.z) + Number(pattern !== undefined) + Number(sourceFile !== undefined) > 1) {
      complain(session, 'Only one of -z, -P, and -s can be specified at the same time');
    }
    const range = parseRange(session, operands);
    const { offset, bytes } = range;
    if (bytes > maxRequestBytes && !flags.n) {
      complain(session, `length cannot exceed ${maxRequestBytes} without -n, given ${operands[1]}`);
    }
    if (flags.b || flags.c) checkSectorAligned(session, range);
    if (flags.b) refuseVmState(session, 'write');
    const zero: ZeroFlags = { fua: flags.f, mayUnmap: flags.u, noFallback: flags.n };
    const buffer = flags.z ? undefined : fillBuffer(session, bytes, pattern, sourceFile);
    const { backend } = session;
    const elapsedNs = await session.timed('write', () => {
      if (!buffer) return backend.writeZeroes(offset, bytes, zero);
      if (flags.c) return writeCompressed(backend, offset, buffer);
      return backend.write(offset, buffer, { fua: flags.f });
    });
    if (!flags.q) report(session, { verb: 'wrote', offset, bytes, elapsedNs, machine: flags.C });
  },
};

function fillBuffer(
  session: Session,
  bytes: number,
  pattern: number | undefined,
  sourceFile: string | undefined,
): Uint8Array {
  const buffer = session.allocate(bytes);
  if (sourceFile === undefined) return buffer.fill(pattern ?? defaultPattern);
  const source = readSource(session, sourceFile);
  for (let at = 0; at < bytes; at += source.length) {
    buffer.set(source.subarray(0, Math.min(source.length, bytes - at)), at);
  }
  return buffer;
}

function readSource(session: Session, path: string): Uint8Array {
  let content: Uint8Array;
  try {
    content = readFileSync(path);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    const reason = code === 'ENOENT' ? new BlockError('ENOENT').message : String((error as Error).message);
    session.tool.error(`${path}: ${reason}\n`);
    throw new CommandFailed(path);
  }
  if (content.length > 0) return content;
  session.tool.error(`${path}: file is empty\n`);
  throw new CommandFailed(path);
}

/** Cluster by cluster; only the last cluster of the image may be short. */
async function writeCompressed(backend: BlockBackend, offset: number, buffer: Uint8Array): Promise<void> {
  const { driver } = backend.node;
  const unit = driver.info?.().clusterBytes ?? 0;
  const end = offset + buffer.length;
  if (end > backend.length) throw new BlockError('EIO');
  if (!driver.writeCompressed) throw new BlockError('ENOTSUP');
  if (unit === 0 || buffer.length === 0) return backend.writeCompressed(offset, buffer);
  if (offset % unit !== 0 || (end % unit !== 0 && end !== backend.length)) throw new BlockError('EINVAL');
  for (let done = 0; done < buffer.length; done += unit) {
    await backend.writeCompressed(offset + done, buffer.subarray(done, Math.min(done + unit, buffer.length)));
  }
}

export const readv: IoCommand = {
  name: 'readv',
  args: { min: 2 },
  synopsis: '[-Cqrv] [-P pattern] off len [len..]',
  help: 'reads a number of bytes at a specified offset',
  longHelp: ["As 'read', into one buffer for each length.", "Example: 'readv -v 512 1k 1k' dumps two KiB"],
  async run(session, args) {
    let machine = false;
    let quiet = false;
    let verbose = false;
    let pattern: number | undefined;
    const operands = readOptions(session, readv, args, 'CP:qrv', (letter, value) => {
      if (letter === 'C') machine = true;
      else if (letter === 'P') pattern = parsePattern(session, value);
      else if (letter === 'q') quiet = true;
      else if (letter === 'v') verbose = true;
    });
    if (operands.length < 2) showUsage(session, readv);
    const offset = parseNumber(session, operands[0]!); // checked above
    const bytes = parseLengths(session, operands.slice(1));
    const buffer = session.allocate(bytes);
    const elapsedNs = await session.timed('readv', () => session.backend.read(offset, buffer));
    const isGood = pattern === undefined || verify(session, buffer, offset, pattern);
    if (!quiet) reportRead(session, { offset, buffer, elapsedNs, machine, verbose });
    if (!isGood) throw new CommandFailed('pattern');
  },
};

export const writev: IoCommand = {
  name: 'writev',
  args: { min: 2 },
  synopsis: '[-Cfqr] [-P pattern] off len [len..]',
  help: 'writes a number of bytes at a specified offset',
  longHelp: ["As 'write', out of one buffer for each length.", "Example: 'writev 512 1k 1k' writes two KiB"],
  needs: Perm.write,
  async run(session, args) {
    let machine = false;
    let fua = false;
    let quiet = false;
    let pattern = defaultPattern;
    const operands = readOptions(session, writev, args, 'CfqrP:', (letter, value) => {
      if (letter === 'C') machine = true;
      else if (letter === 'f') fua = true;
      else if (letter === 'q') quiet = true;
      else if (letter === 'P') pattern = parsePattern(session, value);
    });
    if (operands.length < 2) showUsage(session, writev);
    const offset = parseNumber(session, operands[0]!); // checked above
    const bytes = parseLengths(session, operands.slice(1));
    const buffer = session.allocate(bytes).fill(pattern);
    const elapsedNs = await session.timed('writev', () => session.backend.write(offset, buffer, { fua }));
    if (!quiet) report(session, { verb: 'wrote', offset, bytes, elapsedNs, machine });
  },
};

export const discard: IoCommand = {
  name: 'discard',
  alias: 'd',
  args: { min: 2 },
  synopsis: '[-Cq] off len',
  help: 'discards a number of bytes at a specified offset',
  longHelp: ['-C   report in a form for machines', '-q   print no report'],
  needs: Perm.write,
  async run(session, args) {
    let machine = false;
    let quiet = false;
    const operands = readOptions(session, discard, args, 'Cq', (letter) => {
      if (letter === 'C') machine = true;
      else quiet = true;
    });
    if (operands.length !== 2) showUsage(session, discard);
    const { offset, bytes } = parseRange(session, operands);
    if (bytes > maxRequestBytes) {
      complain(session, `length cannot exceed ${maxRequestBytes}, given ${operands[1]}`);
    }
    const elapsedNs = await session.timed('discard', () => session.backend.discard(offset, bytes));
    if (!quiet) report(session, { verb: 'discard', offset, bytes, elapsedNs, machine });
  },
};

export const flush: IoCommand = {
  name: 'flush',
  alias: 'f',
  args: { min: 0, max: 0 },
  help: 'flush all in-core file state to disk',
  async run(session) {
    try {
      await session.backend.flush();
    } catch (error) {
      // QEMU does not say why, either.
      throw new CommandFailed(asBlockError(error).message);
    } finally {
      session.announceCompleted();
    }
  },
};
