/** open, close, reopen: which image the session works on (specification: cli, section 4). */
import { invalid } from '../../base/errors.ts';
import type { NodeOptions } from '../../block/options.ts';
import type { AioMode } from '../../platform/platform.ts';
import { type CacheMode, parseCacheMode } from '../shared/cache-mode.ts';
import { parseImageOptions } from '../shared/image-options.ts';
import { type IoCommand, readOptions, showUsage } from './command.ts';
import type { OpenRequest } from './session.ts';

/** How an image is to be opened, as options of the tool and of `open` say it: by letters, which are the same. */
export class OpenSettings {
  private cache = cacheModeOf('writethrough');
  private discard = true;
  private aio: AioMode | undefined;
  private readonly flags = { r: false, s: false, C: false, U: false };

  /** Errors: a mode that there is not. */
  take(letter: string, value: string): void {
    if (letter === 'n') this.cache = cacheModeOf('none');
    else if (letter === 't') this.cache = cacheModeOf(value);
    else if (letter === 'd') this.discard = parseDiscard(value);
    else if (letter === 'k') this.aio = 'native';
    else if (letter === 'i') this.aio = parseAio(value);
    else this.flags[letter as keyof typeof this.flags] = true;
  }

  get request(): Omit<OpenRequest, 'path' | 'format' | 'options'> {
    const { cache, discard, aio, flags } = this;
    return {
      ...{ cache, discard, aio },
      ...{ readOnly: flags.r, temporary: flags.s, copyOnRead: flags.C, forceShare: flags.U },
    };
  }
}

function cacheModeOf(name: string): CacheMode {
  return parseCacheMode(name) ?? fail(`Invalid cache option: ${name}`);
}

/** True for `unmap`. */
function parseDiscard(mode: string): boolean {
  if (mode === 'unmap' || mode === 'on') return true;
  if (mode === 'ignore' || mode === 'off') return false;
  return fail(`Invalid discard option: ${mode}`);
}

function parseAio(mode: string): AioMode {
  if (mode === 'threads' || mode === 'native' || mode === 'io_uring') return mode;
  return fail(`Invalid aio option: ${mode}`);
}

function fail(message: string): never {
  throw invalid(message);
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
    '-s   what is written goes to a temporary overlay, and is gone afterwards',
    '-C   what is read from a backing file is copied into the image',
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
    const settings = new OpenSettings();
    let options: NodeOptions | undefined;
    const operands = readOptions(session, open, args, 'snCro:ki:t:d:U', (letter, value) => {
      if (letter !== 'o') settings.take(letter, value);
      else options = { ...options, ...parseImageOptions(value, session.tool, undefined) };
    });
    if (operands.length > 1 || (operands.length === 0 && options === undefined)) showUsage(session, open);
    const [path] = operands;
    await session.open({ path, format: undefined, options: options ?? {}, ...settings.request });
  },
};

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
  synopsis: '[(-r|-w)] [-c cache] [-o options]',
  help: 'reopens an image with new options',
  longHelp: [
    'What is not said stays as it is.',
    '-r   for reading only',
    '-w   for writing',
    '-c   cache mode',
    '-o   options of the image and, as file.NAME and backing.NAME, of what it was opened with; may be repeated',
    "Example: 'reopen -r -o lazy-refcounts=on'",
  ],
  async run(session, args) {
    let readOnly: boolean | undefined;
    let cache: CacheMode | undefined;
    let options: NodeOptions = {};
    const operands = readOptions(session, reopen, args, 'c:o:rw', (letter, value) => {
      if (letter === 'c') cache = cacheModeOf(value);
      else if (letter === 'o') options = { ...options, ...parseImageOptions(value, session.tool, undefined) };
      else {
        if (readOnly !== undefined) throw invalid('Only one -r/-w option may be given');
        readOnly = letter === 'r';
      }
    });
    if (operands.length > 0) showUsage(session, reopen);
    await session.reopen(
      { ...options, ...changed(options, readOnly, cache) },
      {
        writethrough: cache?.writethrough,
        withoutWriting: readOnly === true,
      },
    );
  },
};

/** What options of the command say of the node, which must not be said twice. */
function changed(
  options: NodeOptions,
  readOnly: boolean | undefined,
  cache: CacheMode | undefined,
): NodeOptions {
  if (readOnly !== undefined && 'read-only' in options)
    throw invalid("Cannot set both -r/-w and 'read-only'");
  if (cache && ('cache.direct' in options || 'cache.no-flush' in options))
    throw invalid('Cannot set both -c and the cache options');
  return {
    ...(readOnly === undefined ? {} : { 'read-only': readOnly }),
    ...(cache ? { 'cache.direct': cache.flags.direct, 'cache.no-flush': cache.flags.noFlush } : {}),
  };
}
