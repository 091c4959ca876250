/**
 * The `http` and `https` protocols: a file on a web server, read in ranges (specification: graph, section 3).
 *
 * The server must support ranges and tell the length. The file must stay as it is while it is open: when it changes,
 * reads fail. There is a cache of chunks in memory, with reading ahead for those who read on and on, and a store that
 * outlives the program where the platform has one. Differences from QEMU: its `ftp` is not served; options for secrets,
 * proxies and unverified certificates are refused; a server that refuses HEAD is asked for a range instead.
 */
import { asBlockError, BlockError } from '../../base/errors.ts';
import type { Driver, DriverDefinition, Extent } from '../../block/driver.ts';
import type { OpenContext } from '../../block/open-context.ts';
import { ChunkCache, maxKeptChunks } from './chunk-cache.ts';
import { webChunkBytes } from './chunk-size.ts';
import { HttpClient } from './client.ts';
import {
  checkScheme,
  type HttpOptions,
  optionsOf,
  type Scheme,
  settingsOf,
  strongOptions,
} from './options.ts';
import {
  maxListBytes,
  type PrefetchList,
  type PrefetchRange,
  PrefetchRecorder,
  parsePrefetchList,
} from './prefetch-list.ts';
import { ReadAhead } from './read-ahead.ts';

export type { HttpOptions } from './options.ts';
export type { PrefetchList } from './prefetch-list.ts';

/** Longest read that is answered in one piece: what is on its way to one reader is not in the cache's bound. */
const maxTransfer = 8 << 20;

export const http = protocol('http');
export const https = protocol('https');

function protocol(scheme: Scheme): DriverDefinition<HttpOptions> {
  return {
    name: scheme,
    kind: 'protocol',
    options: optionsOf[scheme],
    strongOptions,
    filenamePrefix: scheme,
    parseFilename(filename) {
      checkScheme(scheme, filename);
      return { url: filename };
    },
    exactFilename: (given) => {
      const others = { ...given, sslverify: given.sslverify === true ? undefined : given.sslverify };
      const says = (name: string): boolean =>
        (others as HttpOptions)[name as keyof HttpOptions] !== undefined;
      return strongOptions.some((name) => name !== 'url' && says(name)) ? undefined : given.url;
    },
    open: (context, given) => openRemote(scheme, context, given),
  };
}

/**
 * Which parts of the file were read since it was opened, in their order: to be put on the server as JSON, and named
 * with `x-prefetch`. Undefined for drivers other than these.
 */
export function prefetchListOf(driver: Driver): PrefetchList | undefined {
  return driver instanceof HttpDriver ? driver.prefetchList() : undefined;
}

async function openRemote(scheme: Scheme, context: OpenContext, given: HttpOptions): Promise<Driver> {
  const { platform, flags } = context;
  if (!flags.readOnly) {
    if (!flags.autoReadOnly) throw new BlockError('EACCES', 'curl driver does not support writes');
    context.fallBackToReadOnly();
  }
  const settings = settingsOf(scheme, given, platform);
  const client = new HttpClient(platform, settings.url, settings.client);
  try {
    await client.open();
  } catch (error) {
    await client.close();
    throw asBlockError(error).within('CURL: Error opening file');
  }
  const driver = new HttpDriver(context, client, settings.readahead);
  try {
    if (settings.prefetchUrl !== undefined && !flags.noIo)
      driver.prefetch(await loadList(context, settings.prefetchUrl, settings.client));
    return driver;
  } catch (error) {
    await driver.close();
    throw asBlockError(error).within(`Could not load prefetch list '${settings.prefetchUrl}'`);
  }
}

async function loadList(
  { platform }: OpenContext,
  url: string,
  options: ConstructorParameters<typeof HttpClient>[2],
): Promise<PrefetchRange[]> {
  const client = new HttpClient(platform, url, options);
  try {
    return parsePrefetchList(new TextDecoder().decode(await client.readWhole(maxListBytes)));
  } finally {
    await client.close();
  }
}

class HttpDriver implements Driver {
  readonly limits = { maxTransfer };
  private readonly cache: ChunkCache;
  private readonly readAhead: ReadAhead;
  private readonly recorder = new PrefetchRecorder(webChunkBytes);
  /** What a list names is being fetched. */
  private prefetching: Promise<void> = Promise.resolve();

  constructor(
    { platform }: OpenContext,
    private readonly client: HttpClient,
    readahead: number,
  ) {
    const { chunkStore } = platform;
    const file = client.stateName;
    const store = chunkStore && file !== undefined ? { chunks: chunkStore, file } : undefined;
    this.cache = new ChunkCache(client, { store, clock: platform.clock });
    this.readAhead = new ReadAhead(readahead);
  }

  async getLength(): Promise<number> {
    return this.client.length;
  }

  async read(offset: number, buffer: Uint8Array): Promise<void> {
    const bytes = Math.max(0, Math.min(buffer.length, this.client.length - offset));
    buffer.fill(0, bytes);
    if (bytes === 0) return;
    this.recorder.read(offset, bytes);
    const done = this.cache.read(offset, buffer.subarray(0, bytes));
    const ahead = this.readAhead.next(offset, bytes);
    if (ahead) void this.cache.prefetch(ahead.offset, ahead.bytes);
    await done;
  }

  /** Begins to fetch what a list names, one range after the other. */
  prefetch(ranges: readonly PrefetchRange[]): void {
    this.prefetching = this.fetchInTurn(ranges);
  }

  private async fetchInTurn(ranges: readonly PrefetchRange[]): Promise<void> {
    const first = ranges[0]?.offset ?? 0;
    let memory = maxKeptChunks * webChunkBytes;
    for (const { offset, bytes } of ranges) {
      memory -= bytes;
      // More than memory can keep would only push out what came first, unless that is kept elsewhere.
      if (this.cache.isClosed || (memory < 0 && !(await this.cache.isStored(first)))) return;
      await this.cache.prefetch(offset, bytes);
    }
  }

  prefetchList(): PrefetchList {
    return this.recorder.list();
  }

  async map(_offset: number, bytes: number): Promise<Extent> {
    return { type: 'own', bytes, zero: false };
  }

  async getAllocatedBytes(): Promise<undefined> {
    return undefined;
  }

  async contentVersion(): Promise<string | undefined> {
    const { etag, modified } = this.client.validator;
    if (etag !== undefined) return `ETag ${etag}`;
    return modified === undefined ? undefined : `changed at ${modified}`;
  }

  async close(): Promise<void> {
    await Promise.all([this.client.close(), this.cache.close()]);
    await this.prefetching;
  }
}
