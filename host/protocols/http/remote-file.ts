/**
 * An open file on a web server, as a driver: a cache of chunks in memory, reading ahead for those who read on and on, what a
 * prefetch list names, and a store that outlives the program where the platform has one.
 */
import { asBlockError } from '../../base/errors.ts';
import type { Driver, Extent } from '../../block/driver.ts';
import type { OpenContext } from '../../block/open-context.ts';
import type { RequestOptions } from '../../http/requests.ts';
import { requireReadOnly } from '../only-read.ts';
import { ReadAhead } from '../read-ahead.ts';
import { ChunkCache, maxKeptChunks } from './chunk-cache.ts';
import { webChunkBytes } from './chunk-size.ts';
import { HttpClient } from './client.ts';
import type { HttpOptions, Scheme } from './options.ts';
import {
  maxListBytes,
  type PrefetchList,
  type PrefetchRange,
  PrefetchRecorder,
  parsePrefetchList,
} from './prefetch-list.ts';
import { type Settings, settingsOf } from './settings.ts';

/** Longest read that is answered in one piece: what is on its way to one reader is not in the cache's bound. */
const maxTransfer = 8 << 20;

/** Errors: what is wrong with the options; why the file cannot be read. */
export async function openRemoteFile(
  scheme: Scheme,
  context: OpenContext,
  given: HttpOptions,
): Promise<Driver> {
  const { platform, flags } = context;
  requireReadOnly(context, 'curl driver does not support writes');
  const settings = settingsOf(scheme, given, platform);
  let driver: RemoteFile;
  try {
    driver = await RemoteFile.open(context, settings);
  } catch (error) {
    throw asBlockError(error).within('CURL: Error opening file');
  }
  try {
    if (settings.prefetchUrl !== undefined && !flags.noIo)
      driver.prefetch(await loadList(context, settings.prefetchUrl, settings.requests));
    return driver;
  } catch (error) {
    await driver.close();
    throw asBlockError(error).within(`Could not load prefetch list '${settings.prefetchUrl}'`);
  }
}

async function loadList(
  { platform }: OpenContext,
  url: string,
  options: RequestOptions,
): Promise<PrefetchRange[]> {
  const client = new HttpClient(platform, url, options);
  try {
    return parsePrefetchList(new TextDecoder().decode(await client.readWhole(maxListBytes)));
  } finally {
    await client.close();
  }
}

/** Where a file is, and how it is asked for. */
type Place = Pick<Settings, 'url' | 'readahead' | 'requests'>;

export class RemoteFile implements Driver {
  readonly limits = { maxTransfer };
  private readonly cache: ChunkCache;
  private readonly readAhead: ReadAhead;
  private readonly recorder = new PrefetchRecorder(webChunkBytes);
  /** What a list names is being fetched. */
  private prefetching: Promise<void> = Promise.resolve();

  private constructor(
    { platform }: OpenContext,
    private readonly client: HttpClient,
    readahead: number,
  ) {
    const { chunkStore } = platform;
    const file = client.stateName;
    const store = chunkStore && file !== undefined ? { chunks: chunkStore, file } : undefined;
    this.cache = new ChunkCache(client, store);
    this.readAhead = new ReadAhead(readahead);
  }

  /** Errors: why it cannot be read. */
  static async open(context: OpenContext, { url, readahead, requests }: Place): Promise<RemoteFile> {
    const client = new HttpClient(context.platform, url, requests, (trouble) =>
      context.reportTrouble(trouble),
    );
    try {
      await client.open();
    } catch (error) {
      await client.close();
      throw error;
    }
    return new RemoteFile(context, client, readahead);
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
    const ahead = this.readAhead.next(offset, bytes, this.cache.usefulAhead);
    if (ahead) void this.cache.prefetch(ahead.offset, ahead.bytes);
    await done;
  }

  /** Begins to fetch what a list names, in its order. */
  prefetch(ranges: readonly PrefetchRange[]): void {
    this.prefetching = this.fetchInOrder(ranges);
  }

  private async fetchInOrder(ranges: readonly PrefetchRange[]): Promise<void> {
    const first = ranges[0]?.offset ?? 0;
    const asked: Promise<void>[] = [];
    let memory = maxKeptChunks * webChunkBytes;
    for (const { offset, bytes } of ranges) {
      memory -= bytes;
      if (memory < 0) {
        await Promise.all(asked);
        // More than memory can keep would only push out what came first, unless that is kept elsewhere.
        if (!(await this.cache.isStored(first))) return;
      }
      if (this.cache.isClosed) break;
      asked.push(this.cache.prefetch(offset, bytes));
    }
    await Promise.all(asked);
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
