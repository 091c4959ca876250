/** Ranges and conditions that clients of `blockyard web` ask with, beside a model of RFC 9110. */
import { renameSync, statSync, truncateSync, utimesSync, writeFileSync } from 'node:fs';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { sharesOverTests } from '../support/leaks.ts';
import { answerByModel } from '../support/range-model.ts';
import { scratchDirectory } from '../support/scratch.ts';
import { WebClient } from '../support/web-client.ts';
import { WebServer } from '../support/web-program.ts';

// Connections are kept from one test to the next.
sharesOverTests();

const scratch = scratchDirectory();
const content = Uint8Array.from({ length: 321 }, (_, i) => i % 251);
const image = '/images/disk.img';
let server: WebServer;
let client: WebClient;

beforeAll(async () => {
  writeFileSync(scratch('disk.img'), content);
  writeFileSync(scratch('empty.img'), '');
  writeFileSync(scratch('changing.img'), content);
  server = await WebServer.start(...['disk.img', 'empty.img', 'changing.img'].map(scratch));
  client = new WebClient(server.base);
});

afterAll(async () => {
  client?.close();
  expect(await server?.stop()).toBe(0);
});

const position = fc.oneof(
  fc.nat(content.length + 3).map(String),
  fc.constantFrom('', '00', '0320', '9007199254740993', '9007199254740992', '9223372036854775806'),
  fc.bigInt({ min: 0n, max: 10n ** 40n }).map(String),
);
const wellFormed = fc.tuple(position, position).map(([first, last]) => `${first}-${last}`);
const word = fc.constantFrom(
  '-',
  '--',
  '=',
  ',',
  ' ',
  '\t',
  'x',
  '1',
  '-1',
  '1x-2',
  '+1-2',
  '1.5-2',
  'bytes=',
  '0x1-2',
);
const spec = fc.oneof({ weight: 5, arbitrary: wellFormed }, { weight: 1, arbitrary: word });
const unit = fc.oneof(
  { weight: 8, arbitrary: fc.constant('bytes=') },
  { weight: 1, arbitrary: fc.constantFrom('Bytes=', 'BYTES=', 'bytes =', 'bytes', 'items=', 'bytes==', '') },
);
const separator = fc.constantFrom(',', ', ', ' ,', '\t,\t', ',,', ' ', ';');
const header = fc
  .tuple(unit, spec, fc.array(fc.tuple(separator, spec), { maxLength: 3 }))
  .map(([start, first, more]) => `${start}${first}${more.map((pair) => pair.join('')).join('')}`.trim());

describe('a range of an image', () => {
  test('is answered as RFC 9110 says, whatever it is', async () => {
    await fc.assert(
      fc.asyncProperty(header, async (range) => {
        const expected = answerByModel(range, content);
        const { status, headers, body } = await client.ask(image, { range });
        expect(status).toBe(expected.status);
        if (expected.status === 416) {
          expect(headers['content-range']).toBe(`bytes */${content.length}`);
          return;
        }
        const bytes = expected.status === 206 ? expected.bytes : content;
        expect(Buffer.compare(body, bytes)).toBe(0);
        expect(headers['content-length']).toBe(String(bytes.length));
        expect(headers['content-range']).toBe(
          expected.status === 206
            ? `bytes ${expected.first}-${expected.first + bytes.length - 1}/${content.length}`
            : undefined,
        );
      }),
      { numRuns: 600 },
    );
  });

  test.each([
    ['bytes=5-2', 200, '', 321],
    ['bytes=0-9223372036854775806', 206, 'bytes 0-320/321', 321],
    ['bytes=0-0', 206, 'bytes 0-0/321', 1],
    ['bytes=-5', 206, 'bytes 316-320/321', 5],
    ['bytes=-1000', 206, 'bytes 0-320/321', 321],
    ['bytes=-0', 416, 'bytes */321', undefined],
    ['bytes=321-', 416, 'bytes */321', undefined],
    ['bytes=0-1, 4-5', 200, '', 321],
    ['bytes=4-5, 400-', 206, 'bytes 4-5/321', 2],
    ['bytes=x', 200, '', 321],
  ] as const)('%s gives %i %s', async (range, status, contentRange, bytes) => {
    const answer = await client.ask(image, { range });
    expect([answer.status, answer.headers['content-range'] ?? '']).toEqual([status, contentRange]);
    if (bytes !== undefined) expect(answer.body.length).toBe(bytes);
  });

  test('is ignored when it takes thousands of digits to say', async () => {
    expect((await client.ask(image, { range: `bytes=${'0'.repeat(8000)}-0` })).status).toBe(200);
  });

  test('of an empty image is refused, unless it is its last bytes', async () => {
    const ask = async (range: string) => (await client.ask('/images/empty.img', { range })).status;
    expect(await ask('bytes=0-')).toBe(416);
    expect(await ask('bytes=0-0')).toBe(416);
    expect(await ask('bytes=-1')).toBe(200);
  });

  test('means nothing to HEAD', async () => {
    const { status, headers, body } = await client.ask(image, { range: 'bytes=0-0' }, 'HEAD');
    expect([status, headers['content-length'], headers['accept-ranges']]).toEqual([200, '321', 'bytes']);
    expect(body.length).toBe(0);
  });
});

describe('a condition', () => {
  /** Validators of the image, as the server gives them. */
  async function state(): Promise<{ etag: string; modified: string }> {
    const { headers } = await client.ask(image, {}, 'HEAD');
    return { etag: headers.etag!, modified: headers['last-modified']! };
  }

  const outcome = fc.constantFrom('this', 'weak', 'other', 'any', 'list', 'none');
  const moment = fc.constantFrom('before', 'same', 'after', 'not a date', '2020', 'none');

  test('is held to in the order of RFC 9110', async () => {
    const { etag, modified } = await state();
    const tags = {
      this: etag,
      weak: `W/${etag}`,
      other: '"other"',
      any: '*',
      list: `"a,b", ${etag}, W/"c"`,
      none: undefined,
    };
    const at = (ms: number): string => new Date(Date.parse(modified) + ms).toUTCString();
    const dates = {
      before: at(-1000),
      same: modified,
      after: at(1000),
      'not a date': 'yesterday',
      '2020': '2020',
      none: undefined,
    };
    await fc.assert(
      fc.asyncProperty(
        fc.record({ match: outcome, noneMatch: outcome, since: moment, unmodified: moment }),
        fc.constantFrom('GET', 'HEAD'),
        async ({ match, noneMatch, since, unmodified }, method) => {
          const given = {
            'if-match': tags[match],
            'if-none-match': tags[noneMatch],
            'if-modified-since': dates[since],
            'if-unmodified-since': dates[unmodified],
          };
          const headers = Object.fromEntries(
            Object.entries(given).filter(([, value]) => value !== undefined),
          );
          const isFailed =
            match === 'none' ? unmodified === 'before' : !['this', 'any', 'list'].includes(match);
          const isKnown = noneMatch === 'none' ? ['same', 'after'].includes(since) : noneMatch !== 'other';
          const { status } = await client.ask(image, headers as Record<string, string>, method);
          expect(status).toBe(isFailed ? 412 : isKnown ? 304 : 200);
        },
      ),
      { numRuns: 200 },
    );
  });

  test('on a range gives the range of that state, or all of this one', async () => {
    const { etag, modified } = await state();
    const ask = async (condition: string): Promise<number> =>
      (await client.ask(image, { range: 'bytes=1-2', 'if-range': condition })).status;
    for (const same of [etag, modified]) expect([same, await ask(same)]).toEqual([same, 206]);
    const others = [
      `W/${etag}`,
      `"a", ${etag}`,
      '"a"',
      etag.slice(1, -1),
      '*',
      'x',
      new Date(0).toUTCString(),
    ];
    for (const other of others) expect([other, await ask(other)]).toEqual([other, 200]);
  });
});

describe('the ETag of an image', () => {
  const etag = async (): Promise<string> => (await client.ask('/images/changing.img')).headers.etag!;

  test('is another one after each change, and the same until then', async () => {
    const [path, another] = [scratch('changing.img'), scratch('another.img')];
    const moment = new Date(statSync(path).mtimeMs + 1);
    const changes: (() => void)[] = [
      () =>
        writeFileSync(
          path,
          Uint8Array.from(content, (byte) => byte ^ 1),
        ),
      () => utimesSync(path, moment, moment),
      () => {
        // As what copies a file and its times puts another one in its place.
        writeFileSync(another, content);
        utimesSync(another, moment, moment);
        renameSync(another, path);
      },
      () => {
        truncateSync(path, 5);
        utimesSync(path, moment, moment);
      },
    ];
    const seen = new Set([await etag()]);
    expect(seen).toContain(await etag());
    for (const [index, change] of changes.entries()) {
      change();
      seen.add(await etag());
      expect(seen.size).toBe(index + 2);
    }
  });
});
