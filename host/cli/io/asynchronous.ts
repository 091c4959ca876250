/**
 * aio_read, aio_write and aio_flush: requests that run on while the next commands do (specification: cli, section 4).
 * Their failures are printed but do not change the exit status.
 */
import { Perm } from '../../block/permissions.ts';
import { complain, type IoCommand, parseNumber, parsePattern, readOptions, showUsage } from './command.ts';
import { parseLengths, refuseRegisteredZeroes } from './read-write.ts';
import { report, reportRead, verify } from './report.ts';

const defaultPattern = 0xcd;

export const aioRead: IoCommand = {
  name: 'aio_read',
  args: { min: 2 },
  synopsis: '[-Ciqrv] [-P pattern] off len [len..]',
  help: 'asynchronously reads a number of bytes',
  longHelp: [
    "As 'readv', without waiting: 'aio_flush' does. -i counts an invalid request and reads nothing.",
  ],
  async run(session, args) {
    const flags = { C: false, i: false, q: false, r: false, v: false };
    let pattern: number | undefined;
    const operands = readOptions(session, aioRead, args, 'CP:iqrv', (letter, value) => {
      if (letter === 'P') pattern = parsePattern(session, value);
      else flags[letter as keyof typeof flags] = true;
    });
    // The invalid request is only counted, whatever its arguments.
    if (flags.i) return void session.tool.out('injecting invalid read request\n');
    if (operands.length < 2) showUsage(session, aioRead);
    const offset = parseNumber(session, operands[0]!); // checked above
    const buffer = session.allocate(parseLengths(session, operands.slice(1)));
    const { backend } = session;
    session.start(
      () => backend.read(offset, buffer),
      (error, elapsedNs) => {
        if (error) return session.tool.out(`readv failed: ${error.message}\n`);
        if (pattern !== undefined) verify(session, buffer, offset, pattern);
        if (!flags.q) reportRead(session, { offset, buffer, elapsedNs, machine: flags.C, verbose: flags.v });
      },
    );
  },
};

export const aioWrite: IoCommand = {
  name: 'aio_write',
  args: { min: 2 },
  synopsis: '[-Cfiqruz] [-P pattern] off len [len..]',
  help: 'asynchronously writes a number of bytes',
  longHelp: ["As 'writev' and 'write -z', without waiting: 'aio_flush' does. -i counts an invalid request."],
  needs: Perm.write,
  async run(session, args) {
    const flags = { C: false, f: false, i: false, q: false, r: false, u: false, z: false };
    let pattern = defaultPattern;
    const operands = readOptions(session, aioWrite, args, 'CfiP:qruz', (letter, value) => {
      if (letter === 'P') pattern = parsePattern(session, value);
      else flags[letter as keyof typeof flags] = true;
    });
    if (flags.i) return void session.tool.out('injecting invalid write request\n');
    if (operands.length < 2) showUsage(session, aioWrite);
    if (flags.z && operands.length !== 2) complain(session, '-z supports only a single length parameter');
    if (flags.u && !flags.z) complain(session, '-u requires -z to be specified');
    if (flags.r && flags.z) refuseRegisteredZeroes(session);
    const offset = parseNumber(session, operands[0]!); // checked above
    const bytes = flags.z ? parseNumber(session, operands[1]!) : parseLengths(session, operands.slice(1)); // checked above
    const { backend } = session;
    const buffer = flags.z ? undefined : session.allocate(bytes).fill(pattern);
    session.start(
      () =>
        buffer
          ? backend.write(offset, buffer, { fua: flags.f })
          : backend.writeZeroes(offset, bytes, { fua: flags.f, mayUnmap: flags.u }),
      (error, elapsedNs) => {
        if (error) return session.tool.out(`aio_write failed: ${error.message}\n`);
        if (!flags.q) report(session, { verb: 'wrote', offset, bytes, elapsedNs, machine: flags.C });
      },
    );
  },
};

export const aioFlush: IoCommand = {
  name: 'aio_flush',
  args: { min: 0, max: 0 },
  help: 'completes all outstanding aio requests',
  run: (session) => session.waitForAll(),
};
