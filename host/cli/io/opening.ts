/** open, close, reopen: which image the session works on (specification: cli, section 4). */
import { invalid } from '../../base/errors.ts';
import { complain, type IoCommand, readOptions, showUsage } from './command.ts';
import { type OpenRequest, Session } from './session.ts';

const aioModes: readonly string[] = ['threads', 'native', 'io_uring'];

/** True for `unmap`. */
export function parseDiscard(mode: string): boolean {
  if (mode === 'unmap' || mode === 'on') return true;
  if (mode === 'ignore' || mode === 'off') return false;
  throw invalid(`Invalid discard option: ${mode}`);
}

export const open: IoCommand = {
  name: 'open',
  alias: 'o',
  args: { min: 1 },
  choosesImage: true,
  synopsis: '[-rsCnkU] [-t cache] [-d discard] [-o options] [path]',
  help: 'open the file specified by path',
  longHelp: [
    '-r   for reading only',
    '-n   bypass the host cache: -t none',
    '-t   cache mode',
    '-d   discard mode: unmap (default) or ignore',
    '-i   AIO mode: threads, native, io_uring; -k is -i native',
    '-U   although another process has it open for writing',
    '-o   options for the driver',
    "Example: 'open -n -o driver=raw /tmp/data'",
  ],
  noFile: true,
  async run(session, args) {
    let cache = 'writethrough';
    let discard = 'unmap';
    let aio: string | undefined;
    let options: string | undefined;
    let readOnly = false;
    let forceShare = false;
    const operands = readOptions(session, open, args, 'snCro:ki:t:d:U', (letter, value) => {
      if (letter === 's' || letter === 'C') refuseMode(session, letter);
      else if (letter === 'n') cache = 'none';
      else if (letter === 'r') readOnly = true;
      else if (letter === 'o') options = options === undefined ? value : `${options},${value}`;
      else if (letter === 'k') aio = 'native';
      else if (letter === 'i') aio = value;
      else if (letter === 't') cache = value;
      else if (letter === 'd') discard = value;
      else forceShare = true;
    });
    if (operands.length > 1 || (operands.length === 0 && options === undefined)) showUsage(session, open);
    const path = operands[0];
    const request: OpenRequest = {
      path,
      imageOpts: false,
      format: undefined,
      options,
      readOnly,
      cache: Session.cacheMode(cache),
      discard: parseDiscard(discard),
      forceShare,
    };
    if (aio !== undefined) checkOpenAio(aio, request);
    await session.open(request);
  },
};

/** How requests reach the host is chosen per request; the modes differ only in what they require. */
export function checkOpenAio(mode: string, { path, cache }: OpenRequest): void {
  if (!aioModes.includes(mode)) throw invalid(`Invalid aio option: ${mode}`);
  if (mode !== 'native' || cache.flags.direct) return;
  throw invalid(
    `can't open device ${path ?? ''}: aio=native was specified, but it requires cache.direct=on, which was not specified.`,
  );
}

/** `-s` and `-C` put another layer on top of the image. */
function refuseMode(session: Session, letter: 's' | 'C'): never {
  const what = letter === 's' ? 'a temporary snapshot (-s)' : 'copy on read (-C)';
  return complain(session, `open: ${what} is not supported`);
}

export const close: IoCommand = {
  name: 'close',
  alias: 'c',
  args: { min: 0, max: 0 },
  choosesImage: true,
  help: 'close the current open file',
  run: (session) => session.close(),
};

export const reopen: IoCommand = {
  name: 'reopen',
  args: { min: 0 },
  choosesImage: true,
  synopsis: '[(-r|-w)] [-c cache] [-o options]',
  help: 'reopens an image with new options',
  longHelp: ['-r   for reading only', '-w   for writing', '-c   cache mode', '-o   options for the driver'],
  async run(session, args) {
    let readOnly: boolean | undefined;
    let cache: string | undefined;
    let options: string | undefined;
    const operands = readOptions(session, reopen, args, 'c:o:rw', (letter, value) => {
      if (letter === 'c') cache = value;
      else if (letter === 'o') options = options === undefined ? value : `${options},${value}`;
      else {
        if (readOnly !== undefined) throw invalid('Only one -r/-w option may be given');
        readOnly = letter === 'r';
      }
    });
    if (operands.length > 0) showUsage(session, reopen);
    const before = session.openedAs!; // reopen needs an open image
    const merged = [before.options, options].filter((part) => part !== undefined);
    await session.reopen({
      ...before,
      ...(readOnly !== undefined && { readOnly, overridesReadOnly: true }),
      cache: cache === undefined ? before.cache : Session.cacheMode(cache),
      options: merged.length === 0 ? undefined : merged.join(','),
    });
  },
};
