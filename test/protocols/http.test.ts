/** Files on a web server in memory: what is asked of it, what is kept, and what happens when it misbehaves. */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { FaultReason } from '../../host/base/errors.ts';
import type { Driver } from '../../host/block/driver.ts';
import type { ChunkStore } from '../../host/platform/platform.ts';
import { createSimulation } from '../../host/platform/sim/index.ts';
import { maxKeptChunks, maxTransfers } from '../../host/protocols/http/chunk-cache.ts';
import { webChunkBytes } from '../../host/protocols/http/chunk-size.ts';
import { maxOpenAttempts } from '../../host/protocols/http/client.ts';
import { type HttpOptions, http, https, prefetchListOf } from '../../host/protocols/http/driver.ts';
import { firstRunChunks, maxRunChunks } from '../../host/protocols/http/line.ts';
import { ReadAhead } from '../../host/protocols/read-ahead.ts';
import { openDriver } from '../support/open-driver.ts';
import { VirtualPlatform } from '../support/virtual-platform.ts';
import { WebFile } from '../support/web-file.ts';

const url = 'http://server/disk.img';

function contentOf(bytes: number): Uint8Array {
  const content = new Uint8Array(bytes);
  for (let i = 0; i < bytes; i += 4) content.fill((i * 2_654_435_761) >>> 24, i, i + 4);
  return content;
}

interface World {
  web: WebFile;
  platform: VirtualPlatform;
  open(options?: Partial<HttpOptions>): Promise<Driver>;
}

function world(bytes = 10 * webChunkBytes): World {
  const web = new WebFile(contentOf(bytes));
  const platform = new VirtualPlatform();
  platform.fetch = web.fetch;
  const open = async (options: Partial<HttpOptions> = {}): Promise<Driver> =>
    (await openDriver(http, platform, { url, ...options }, { readOnly: true })).driver;
  return { web, platform, open };
}

async function read(driver: Driver, offset: number, bytes: number): Promise<Uint8Array> {
  const buffer = new Uint8Array(bytes).fill(0xee);
  await driver.read!(offset, buffer);
  return buffer;
}

/** Settles `request` while time goes on. */
async function inTime<T>(platform: VirtualPlatform, request: Promise<T>): Promise<T> {
  request.catch(() => {});
  await platform.advance(200e9);
  return request;
}

const lost = (): never => {
  throw new TypeError('connection reset');
};

describe('opening', () => {
  test('asks once, and knows the length', async () => {
    const { web, open } = world(100_001);
    const driver = await open();
    expect(await driver.getLength()).toBe(100_001);
    expect(web.requests).toEqual(['GET bytes=0-0']);
    await driver.close();
  });

  test('manages without the headers that servers hide from other origins', async () => {
    const { web, open } = world();
    web.spoil = (answer) => {
      for (const name of ['accept-ranges', 'content-range', 'etag']) delete answer.headers[name];
      return answer;
    };
    const driver = await open();
    expect(await driver.getLength()).toBe(web.content.length);
    expect(await read(driver, 70_000, 5000)).toEqual(web.content.subarray(70_000, 75_000));
    await driver.close();
  });

  test('believes no length that does not hold', async () => {
    for (const told of [5, 20 * webChunkBytes]) {
      const { web, open } = world();
      web.spoil = (answer, { headers }) => {
        for (const name of ['accept-ranges', 'content-range']) delete answer.headers[name];
        if (headers['range'] === undefined) answer.headers['content-length'] = String(told);
        return answer;
      };
      await expect(open()).rejects.toThrow("CURL: Error opening file: Server didn't report file size.");
    }
  });

  test('opens an empty file', async () => {
    for (const hidden of ['', 'accept-ranges']) {
      const { web, open } = world(0);
      web.spoil = (answer) => {
        delete answer.headers[hidden];
        return answer;
      };
      const driver = await open();
      expect(await driver.getLength()).toBe(0);
      expect(await read(driver, 0, 512)).toEqual(new Uint8Array(512));
      await driver.close();
    }
  });

  test('says what the server lacks', async () => {
    const cases: [WebFile['spoil'], string][] = [
      [(answer) => ({ ...answer, status: 404 }), 'The requested URL returned error: 404'],
      [(answer) => ({ ...answer, status: 403 }), 'The requested URL returned error: 403'],
      [
        (answer) => ({ ...answer, status: 200, headers: { 'content-length': '99' } }),
        "Server does not support 'range' (byte ranges).",
      ],
      [(answer) => ({ ...answer, headers: { 'accept-ranges': 'bytes' } }), "Server didn't report file size."],
    ];
    for (const [spoil, message] of cases) {
      const { web, open } = world();
      web.spoil = spoil;
      await expect(open()).rejects.toMatchObject({ message: `CURL: Error opening file: ${message}` });
    }
  });

  test('is refused where the host has no HTTP', async () => {
    const opened = openDriver(http, new VirtualPlatform(), { url }, { readOnly: true });
    await expect(opened).rejects.toThrow('This host cannot make HTTP requests');
  });

  test('is for reading only', async () => {
    const { web, platform } = world();
    await expect(openDriver(http, platform, { url })).rejects.toMatchObject({
      errno: 'EACCES',
      message: 'curl driver does not support writes',
    });
    expect(web.requests).toEqual([]);
    const opened = await openDriver(http, platform, { url }, { autoReadOnly: true });
    expect(opened.fellBack).toBe(true);
    await opened.driver.close();
  });

  test('refuses options that it does not honour, by name', async () => {
    const cases: [Partial<HttpOptions>, string][] = [
      [{ readahead: 1000 }, 'HTTP_READAHEAD_SIZE 1000 is not a multiple of 512'],
      [{ readahead: -512 }, "Value '-512' is out of range for parameter 'readahead'"],
      [{ timeout: -1 }, 'timeout parameter is too large or negative'],
      [{ timeout: 100_000 }, 'timeout parameter is too large or negative'],
      [{ 'x-retry': -1 }, 'x-retry parameter is too large or negative'],
      [{ username: 'u' }, "Option 'username' is not supported: there are no secrets for passwords"],
      [
        { 'proxy-username': 'u' },
        "Option 'proxy-username' is not supported: there are no secrets for passwords",
      ],
      [{ 'password-secret': 's' }, "No secret with id 's'"],
      [{ 'proxy-password-secret': 's' }, "No secret with id 's'"],
      [{ 'cookie-secret': 's' }, "No secret with id 's'"],
      [
        { url: 'ftp://x/' },
        "http curl driver cannot handle the URL 'ftp://x/' (does not start with 'http://')",
      ],
      [{ url: 'http://:x' }, "URL 'http://:x' is malformed"],
      [{ 'x-prefetch': 'data:,x' }, "Option 'x-prefetch' cannot be 'data:,x'"],
    ];
    for (const [options, message] of cases) {
      await expect(world().open(options)).rejects.toMatchObject({ message });
    }
    const secure = (options: Partial<HttpOptions>): Promise<unknown> =>
      openDriver(https, new VirtualPlatform(), options, { readOnly: true });
    await expect(secure({})).rejects.toThrow("curl block driver requires an 'url' option");
    await expect(secure({ url: 'https://x/', sslverify: false })).rejects.toThrow(
      "Option 'sslverify' can only be on",
    );
  });

  test('sends cookies and the password of the URL, where the host can', async () => {
    const { web, platform } = world();
    const sent: unknown[] = [];
    platform.fetch = Object.assign(
      (at: string, request: Parameters<typeof web.fetch>[1]) => {
        sent.push([at, request.headers['cookie'], request.headers['authorization']]);
        return web.fetch(at, request);
      },
      { setsCookies: true as const },
    );
    const options = { url: 'http://me:pa%20ss@server/x', cookie: 'a=b' };
    const { driver } = await openDriver(http, platform, options, { readOnly: true });
    await driver.close();
    expect(sent).toEqual([['http://server/x', 'a=b', `Basic ${btoa('me:pa ss')}`]]);
    platform.fetch = (at, request) => web.fetch(at, request);
    await expect(openDriver(http, platform, options, { readOnly: true })).rejects.toThrow(
      "Option 'cookie' cannot be used here: the host sends its own cookies only",
    );
  });
});

describe('reading', () => {
  test('gives the bytes of the file, however reads overlap, and zeros beyond its end', async () => {
    const length = 21 * webChunkBytes + 12_345;
    const offset = fc.oneof(fc.nat(length - 1), fc.integer({ min: length - 1000, max: length + 1000 }));
    const request = fc.record({
      offset,
      bytes: fc.oneof(fc.integer({ min: 1, max: 5000 }), fc.integer({ min: 1, max: 6 * webChunkBytes })),
      /** Follows the one before in place of `offset`. */
      isNext: fc.boolean(),
    });
    const rounds = fc.array(fc.array(request, { minLength: 1, maxLength: 6 }), { maxLength: 6 });
    const content = contentOf(length);
    await fc.assert(
      fc.asyncProperty(
        rounds,
        fc.nat(),
        fc.constantFrom(0, 4096, 262_144),
        async (given, seed, readahead) => {
          const web = new WebFile(content);
          const simulation = createSimulation(seed, { fetch: web.fetch });
          await simulation.run(async () => {
            const options = { url, readahead };
            const { driver } = await openDriver(http, simulation.platform, options, { readOnly: true });
            for (const round of given) {
              let end = 0;
              const requests = round.map(async ({ offset, bytes, isNext }) => {
                const start = isNext ? end : offset;
                end = start + bytes;
                const expected = new Uint8Array(bytes);
                expected.set(content.subarray(start, start + bytes));
                expect(Buffer.compare(await read(driver, start, bytes), expected)).toBe(0);
              });
              await Promise.all(requests);
            }
            await driver.close();
          });
          expect(web.mostAtOnce).toBeLessThanOrEqual(maxTransfers);
          expect(simulation.pendingTimers).toBe(0);
        },
      ),
      { numRuns: 60 },
    );
  });

  test('fetches a chunk once for all who want it, and keeps it', async () => {
    const { web, open } = world();
    const driver = await open();
    await Promise.all([read(driver, 0, 512), read(driver, 1000, 512), read(driver, 40_000, 512)]);
    await read(driver, 5000, 512);
    expect(web.requests).toEqual(['GET bytes=0-0', `GET bytes=0-${webChunkBytes - 1}`]);
    await driver.close();
  });

  test('fetches neighbouring chunks together, and never more than so many at once', async () => {
    const { web, open } = world(100 * webChunkBytes);
    const driver = await open({ readahead: 0 });
    await read(driver, 0, 50 * webChunkBytes);
    expect(web.requests.length).toBeLessThanOrEqual(1 + Math.ceil(50 / firstRunChunks));
    expect(web.mostAtOnce).toBeLessThanOrEqual(maxTransfers);
    await driver.close();
  });

  test('reads ahead for those who read on, not for those who jump', async () => {
    const { web, platform, open } = world(64 * webChunkBytes);
    const driver = await open();
    for (const chunk of [9, 3, 30, 21]) await read(driver, chunk * webChunkBytes, 512);
    await platform.settle();
    expect(web.requests.length).toBe(1 + 4);
    await read(driver, 40 * webChunkBytes, 512);
    await read(driver, 40 * webChunkBytes + 512, 512);
    await platform.settle();
    expect(web.requests.slice(6)).toEqual([`GET bytes=${41 * webChunkBytes}-${45 * webChunkBytes - 1}`]);
    await driver.close();
  });

  test('reads further ahead for those who never stop, within a bound', () => {
    const readAhead = new ReadAhead(1000);
    const ends: number[] = [];
    for (let offset = 0; offset < 100_000; offset += 100) {
      const ahead = readAhead.next(offset, 100, 16_000);
      if (ahead) ends.push(ahead.offset + ahead.bytes - offset - 100);
    }
    expect(ends.slice(0, 6)).toEqual([1000, 2000, 4000, 8000, 16_000, 16_000]);
    expect(new Set(ends.slice(6))).toEqual(new Set([16_000]));
  });

  test('fetches more at once where transfers are quick', async () => {
    const { web, open } = world(500 * webChunkBytes);
    const driver = await open({ readahead: 0 });
    for (const expected of [firstRunChunks, maxRunChunks, maxRunChunks]) {
      const before = web.requests.length;
      await read(driver, before * 40 * webChunkBytes, 40 * webChunkBytes);
      const [, first, last] = /(\d+)-(\d+)$/.exec(web.requests[before]!)!; // the read has made one
      expect((Number(last) + 1 - Number(first)) / webChunkBytes).toBe(expected);
    }
    await driver.close();
  });

  test('lets those who wait go before what is only read ahead', async () => {
    const { web, platform, open } = world(200 * webChunkBytes);
    const driver = await open({ readahead: 100 * webChunkBytes });
    await read(driver, 0, 512);
    let open_ = (): void => {};
    const gate = new Promise<void>((resolve) => {
      open_ = resolve;
    });
    web.spoil = async (answer) => {
      await gate;
      return answer;
    };
    const next = read(driver, 512, 512);
    await platform.settle();
    const before = web.requests.length;
    const far = read(driver, 150 * webChunkBytes, 512);
    open_();
    await Promise.all([next, far]);
    expect(web.requests.indexOf(`GET bytes=${150 * webChunkBytes}-${151 * webChunkBytes - 1}`)).toBe(before);
    await driver.close();
  });

  test('keeps no more in memory than its bound', async () => {
    const count = maxKeptChunks + 8;
    const { web, open } = world(count * webChunkBytes);
    const driver = await open({ readahead: 0 });
    for (let chunk = 0; chunk < count; chunk += 8)
      await read(driver, chunk * webChunkBytes, 8 * webChunkBytes);
    const before = web.requests.length;
    await read(driver, (count - 1) * webChunkBytes, 512);
    expect(web.requests.length).toBe(before);
    await read(driver, 0, 512);
    expect(web.requests.length).toBe(before + 1);
    await driver.close();
  });
});

describe('a server that misbehaves', () => {
  test('gets a lost connection again, many times', async () => {
    const { web, platform, open } = world();
    const driver = await open();
    const spoils: WebFile['spoil'][] = [
      lost,
      (answer) => ({ ...answer, status: 503 }),
      (answer) => ({ ...answer, body: answer.body.subarray(0, answer.body.length / 2) }),
    ];
    for (const [index, spoilt] of spoils.entries()) {
      let failures = 2 * maxOpenAttempts;
      web.spoil = (answer, request) => (failures-- > 0 ? spoilt(answer, request) : answer);
      const offset = 2 * index * webChunkBytes;
      const expected = web.content.subarray(offset, offset + 100);
      expect(await inTime(platform, read(driver, offset, 100))).toEqual(expected);
      expect(failures).toBe(-1);
    }
    await driver.close();
  });

  test('fails the read in the end, and the next one works when the server does', async () => {
    const { web, platform, open } = world();
    const driver = await open();
    const cases: [WebFile['spoil'], string, FaultReason][] = [
      [lost, 'connection reset', 'unreachable'],
      [(answer) => ({ ...answer, status: 500 }), 'The requested URL returned error: 500', 'server-error'],
      [
        (answer) => ({ ...answer, body: answer.body.subarray(0, 0) }),
        `Got 0 of ${webChunkBytes} bytes`,
        'unreachable',
      ],
      [
        (answer) => ({ ...answer, status: 200, headers: {} }),
        "Server does not support 'range' any more",
        'content-changed',
      ],
      [
        (answer) => ({ ...answer, headers: { 'content-range': `bytes 1-2/${web.content.length}` } }),
        'Got another range',
        'content-changed',
      ],
    ];
    for (const [spoil, message, reason] of cases) {
      web.spoil = spoil;
      await expect(inTime(platform, read(driver, 0, 512))).rejects.toMatchObject({
        errno: 'EIO',
        reason,
        message: `${url}: ${message}`,
      });
    }
    web.spoil = (answer) => answer;
    expect(await read(driver, 0, 512)).toEqual(web.content.subarray(0, 512));
    await driver.close();
  });

  test('does not wait for an answer for longer than the timeout', async () => {
    const { web, platform, open } = world();
    const driver = await open({ timeout: 7, 'x-retry': 0 });
    web.spoil = () => new Promise(() => {});
    let failure: unknown;
    const request = read(driver, 0, 512).catch((error: unknown) => {
      failure = error;
    });
    await platform.advance(6.9e9);
    expect(failure).toBeUndefined();
    await platform.advance(0.2e9);
    await request;
    expect(failure).toMatchObject({ message: `${url}: Operation timed out after 7000 milliseconds` });
    await driver.close();
    expect(platform.pendingTimers).toBe(0);
  });

  test('is tried again for as long as x-retry says, and not while the computer sleeps', async () => {
    const { web, platform, open } = world();
    const { nowNs } = platform.clock;
    const driver = await open({ 'x-retry': 30 });
    web.spoil = lost;
    let asleepNs = 0;
    platform.clock.nowNs = () => nowNs() + asleepNs;
    let failure: unknown;
    const request = read(driver, 0, 512).catch((error: unknown) => {
      failure = error;
    });
    await platform.advance(10e9);
    asleepNs = 3600e9;
    await platform.advance(19e9);
    expect(failure).toBeUndefined();
    await platform.advance(12e9);
    await request;
    expect(failure).toMatchObject({ message: `${url}: connection reset` });
    // Attempts lie further and further apart.
    expect(web.requests.length).toBeLessThan(20);
    await driver.close();
  });

  test('is asked again when it says so, and given up when that is too late', async () => {
    const { web, platform, open } = world();
    const driver = await open({ 'x-retry': 30 });
    const busy = (retryAfter: string): WebFile['spoil'] => {
      let isFirst = true;
      return (answer) => {
        if (!isFirst) return answer;
        isFirst = false;
        return { ...answer, status: 503, headers: { 'retry-after': retryAfter } };
      };
    };
    web.spoil = busy('20');
    const before = web.requests.length;
    const request = read(driver, 0, 512);
    await platform.advance(1e9);
    const other = read(driver, 5 * webChunkBytes, 512);
    await platform.advance(18.5e9);
    expect(web.requests.length).toBe(before + 1);
    await platform.advance(1e9);
    await Promise.all([request, other]);
    web.spoil = busy('31');
    await expect(read(driver, 8 * webChunkBytes, 512)).rejects.toThrow('returned error: 503');
    await driver.close();
  });

  test('is reported while it lasts, but not where nothing is tried again', async () => {
    const { web, platform } = world();
    for (const retry of [30, 0]) {
      const given = { url, readahead: 0, 'x-retry': retry };
      const { driver, troubles } = await openDriver(http, platform, given, { readOnly: true });
      web.spoil = (answer) => ({ ...answer, status: 502 });
      const request = read(driver, 0, 512);
      const refused = expect(request).rejects.toThrow('502');
      await platform.advance(5e9);
      const trouble = { reason: 'server-error', message: 'The requested URL returned error: 502' };
      expect(troubles).toEqual(retry > 0 ? [trouble] : []);
      await platform.advance(30e9);
      await refused;
      web.spoil = (answer) => answer;
      await read(driver, 0, 512);
      expect(troubles).toEqual(retry > 0 ? [trouble, undefined] : []);
      await driver.close();
    }
  });

  test('never mixes two states of the file', async () => {
    const cases: [(web: WebFile) => void, string][] = [
      [(web) => (web.etag = '"2"'), 'its ETag was "1" and is "2"'],
      [(web) => (web.modified = 'Tue'), 'its Last-Modified was Mon and is Tue'],
      [
        (web) => (web.content = web.content.subarray(0, 9 * webChunkBytes)),
        `its length was ${10 * webChunkBytes} and is ${9 * webChunkBytes}`,
      ],
      [
        (web) => (web.content = web.content.subarray(0, webChunkBytes)),
        `its length is not ${10 * webChunkBytes} any more`,
      ],
    ];
    for (const [change, how] of cases) {
      const { web, platform, open } = world();
      web.modified = 'Mon';
      const driver = await open();
      await read(driver, 0, 512);
      change(web);
      await expect(inTime(platform, read(driver, 5 * webChunkBytes, 512))).rejects.toMatchObject({
        errno: 'EIO',
        message: `${url}: The file on the server has changed: ${how}`,
      });
      await driver.close();
    }
  });

  test('ends what is under way when the node is closed', async () => {
    const { web, platform, open } = world();
    const driver = await open();
    web.spoil = () => new Promise(() => {});
    const request = expect(read(driver, 0, 512)).rejects.toMatchObject({ errno: 'ECANCELED' });
    await platform.settle();
    await driver.close();
    await request;
    expect(platform.pendingTimers).toBe(0);
  });
});

describe('what is kept beyond the node', () => {
  function storeOf(chunks = new Map<string, Uint8Array>()): ChunkStore & { chunks: Map<string, Uint8Array> } {
    return {
      chunks,
      get: async (file, chunk) => chunks.get(`${file} ${chunk}`),
      put: async (file, chunk, bytes) => void chunks.set(`${file} ${chunk}`, bytes.slice()),
    };
  }

  test('is not fetched again, unless the file has changed', async () => {
    const { web, platform, open } = world();
    platform.chunkStore = storeOf();
    for (const fetched of [1, 0]) {
      const driver = await open();
      const before = web.requests.length;
      expect(await read(driver, 0, 4 * webChunkBytes)).toEqual(web.content.subarray(0, 4 * webChunkBytes));
      expect(web.requests.length - before).toBe(fetched);
      await driver.close();
    }
    web.etag = '"2"';
    web.content = web.content.map((byte) => byte ^ 1);
    const driver = await open();
    expect(await read(driver, 0, 512)).toEqual(web.content.subarray(0, 512));
    await driver.close();
  });

  test('is what no validator could tell apart not', async () => {
    const { web, platform, open } = world();
    web.etag = undefined;
    const store = storeOf();
    platform.chunkStore = store;
    const driver = await open();
    await read(driver, 0, 512);
    await driver.close();
    expect(store.chunks.size).toBe(0);
  });

  test('is put away before the node is gone', async () => {
    const { platform, open } = world();
    let done = 0;
    platform.chunkStore = {
      get: async () => undefined,
      put: async () => {
        await platform.clock.yield();
        done++;
      },
    };
    const driver = await open({ readahead: 0 });
    await read(driver, 0, 3 * webChunkBytes);
    await driver.close();
    expect(done).toBe(3);
  });

  test.each([
    ['read ahead', { readahead: 4 * webChunkBytes }],
    ['fetched as a list says', { readahead: 0, 'x-prefetch': 'http://server/list' }],
  ])('is left alone when the node is gone, also by what is %s', async (_how, options) => {
    const list = {
      'blockyard-prefetch': 1,
      ranges: [5, 7].map((chunk) => [chunk * webChunkBytes, webChunkBytes]),
    };
    const { web, platform, open } = world();
    web.spoil = (answer, { method, headers }) =>
      method === 'GET' && headers['range'] === undefined
        ? { ...answer, headers: {}, body: new TextEncoder().encode(JSON.stringify(list)) }
        : answer;
    for (let turns = 0; turns < 12; turns++) {
      let begun = 0;
      let ended = 0;
      const slowly = async (): Promise<undefined> => {
        begun++;
        for (let turn = 0; turn < 3; turn++) await platform.clock.yield();
        ended++;
      };
      platform.chunkStore = { get: slowly, put: slowly };
      const driver = await open(options);
      // Who reads on is read ahead for: at the third chunk nobody waits for more than is here.
      for (const chunk of options.readahead > 0 ? [0, 1, 2] : []) {
        await platform.settle();
        await read(driver, chunk * webChunkBytes, webChunkBytes);
      }
      for (let turn = 0; turn < turns; turn++) await platform.clock.yield();
      await driver.close();
      const atClose = begun;
      expect(ended).toBe(atClose);
      await platform.settle();
      expect(begun).toBe(atClose);
    }
  });

  test('does no harm when it fails or holds something else', async () => {
    const { web, platform, open } = world();
    const stores: ChunkStore[] = [
      { get: () => Promise.reject(new Error('no')), put: () => Promise.reject(new Error('no')) },
      { get: async () => new Uint8Array(3), put: async () => {} },
    ];
    for (const store of stores) {
      platform.chunkStore = store;
      const driver = await open();
      expect(await read(driver, 100, 512)).toEqual(web.content.subarray(100, 612));
      await driver.close();
    }
  });
});

describe('prefetch lists', () => {
  test('tell what was read, and have it fetched when the image is opened', async () => {
    const { web, platform, open } = world(64 * webChunkBytes);
    const first = await open();
    for (const chunk of [7, 8, 30, 7, 2]) await read(first, chunk * webChunkBytes + 10, 512);
    const list = prefetchListOf(first);
    await first.close();
    expect(list).toEqual({
      'blockyard-prefetch': 1,
      ranges: [
        [7 * webChunkBytes, 2 * webChunkBytes],
        [30 * webChunkBytes, webChunkBytes],
        [2 * webChunkBytes, webChunkBytes],
      ],
    });
    const asked: string[] = [];
    platform.fetch = (at, request) => {
      asked.push(`${at} ${request.headers['range'] ?? ''}`);
      if (!at.endsWith('.json')) return web.fetch(at, request);
      return new WebFile(new TextEncoder().encode(JSON.stringify(list))).fetch(at, request);
    };
    const second = await open({ 'x-prefetch': 'disk.prefetch.json' });
    await platform.settle();
    const range = (chunk: number, count: number): string =>
      `${url} bytes=${chunk * webChunkBytes}-${(chunk + count) * webChunkBytes - 1}`;
    expect(asked).toEqual([
      `${url} bytes=0-0`,
      'http://server/disk.prefetch.json ',
      range(7, 2),
      range(30, 1),
      range(2, 1),
    ]);
    await read(second, 30 * webChunkBytes, 512);
    expect(asked.length).toBe(5);
    await second.close();
  });

  test('are followed as far as memory goes, and on when there is a store that keeps what came', async () => {
    const ranges = [0, 1, 3].map((part) => [(part * maxKeptChunks * webChunkBytes) / 2, webChunkBytes]);
    ranges[1]![1] = maxKeptChunks * webChunkBytes;
    const text = new TextEncoder().encode(JSON.stringify({ 'blockyard-prefetch': 1, ranges }));
    const chunks = new Map<number, Uint8Array>();
    const keeping: ChunkStore = {
      get: async (_, chunk) => chunks.get(chunk),
      put: async (_, chunk, bytes) => void chunks.set(chunk, bytes.slice()),
    };
    const losing: ChunkStore = { get: async () => undefined, put: async () => {} };
    for (const [store, fetched] of [
      [undefined, 1],
      [losing, 1],
      [keeping, 2 + maxKeptChunks],
    ] as const) {
      const { web, platform, open } = world(2 * maxKeptChunks * webChunkBytes);
      if (store) platform.chunkStore = store;
      const wanted = new Set<number>();
      platform.fetch = (at, request) => {
        if (at !== url) return new WebFile(text).fetch(at, request);
        const [, from, to] = /^bytes=(\d+)-(\d+)$/.exec(request.headers['range'] ?? '') ?? [];
        for (let i = Number(from); i < Number(to); i += webChunkBytes) wanted.add(i);
        return web.fetch(at, request);
      };
      const driver = await open({ 'x-prefetch': 'list' });
      await platform.settle();
      expect(wanted.size).toBe(fetched);
      await driver.close();
    }
  });

  test('are refused when they are something else', async () => {
    for (const [text, why] of [
      ['<html>', 'Not a prefetch list: not JSON'],
      ['null', 'Not a prefetch list of version 1'],
      ['{"blockyard-prefetch":2,"ranges":[]}', 'Not a prefetch list of version 1'],
      ['{"blockyard-prefetch":1,"ranges":[[1,-1]]}', 'Not a prefetch list: ranges'],
    ] as const) {
      const { web, platform, open } = world();
      platform.fetch = (at, request) =>
        at === url ? web.fetch(at, request) : new WebFile(new TextEncoder().encode(text)).fetch(at, request);
      await expect(open({ 'x-prefetch': 'list' })).rejects.toThrow(
        `Could not load prefetch list 'http://server/list': ${why}`,
      );
    }
  });
});
