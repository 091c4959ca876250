/** Images on web servers as they are, in virtual time: each thing that servers do alone, and random combinations. */
import { describe, expect, test } from 'vitest';
import { createSimulation } from '../../host/platform/sim/index.ts';
import { webChunkBytes } from '../../host/protocols/http/chunk-size.ts';
import { type HttpOptions, http } from '../../host/protocols/http/driver.ts';
import { type OpenedDriver, openDriver } from '../support/open-driver.ts';
import { Seeded } from '../support/seeded.ts';
import { testSeeds } from '../support/seeds.ts';
import {
  BehavingFile,
  refusalOf,
  switches,
  type Trouble,
  type WebBehaviour,
  wellBehaved,
} from '../support/web-behaviour.ts';
import { type LineOptions, WebLine } from '../support/web-line.ts';

const url = 'http://server/disk.img';
const count = Number(process.env['SERVERS'] ?? 300);
const first = Number(process.env['SERVERS_SEED'] ?? 1);

function contentOf(bytes: number): Uint8Array {
  return Uint8Array.from({ length: bytes }, (_, i) => (i * 31) ^ (i >>> 9));
}

interface Server {
  content: Uint8Array;
  behaviour: Partial<WebBehaviour>;
  line?: LineOptions;
  options?: Partial<HttpOptions>;
  seed?: number;
}

/** Opens the file and lets `use` read it; gives the refusal if it cannot be opened, and what was seen on the line. */
async function withServer(
  { content, behaviour, line: options, options: given, seed = 1 }: Server,
  use: (opened: OpenedDriver, file: BehavingFile) => Promise<void>,
): Promise<{ refusal: string | undefined; line: WebLine }> {
  const file = new BehavingFile(content, { ...wellBehaved, ...behaviour });
  const line = new WebLine(file, options);
  const simulation = createSimulation(seed, { fetch: line.fetch, latency: 'instant' });
  line.use(simulation.platform.clock);
  const refusal = await simulation.run(async () => {
    let opened: OpenedDriver;
    try {
      opened = await openDriver(http, simulation.platform, { url, ...given }, { readOnly: true });
    } catch (error) {
      return (error as Error).message;
    }
    await use(opened, file);
    await opened.driver.close();
    return undefined;
  });
  expect(simulation.pendingTimers).toBe(0);
  return { refusal, line };
}

async function expectContent(
  { driver }: OpenedDriver,
  content: Uint8Array,
  offset: number,
  bytes: number,
): Promise<void> {
  const buffer = new Uint8Array(bytes).fill(0xee);
  await driver.read!(offset, buffer); // protocols have it
  const expected = new Uint8Array(bytes);
  expected.set(content.subarray(offset, offset + bytes));
  expect(Buffer.compare(buffer, expected)).toBe(0);
}

/** Each trouble ends, and none begins before the last one has ended. */
function expectPairs({ troubles }: OpenedDriver): void {
  expect(troubles.length % 2).toBe(0);
  expect(troubles.map((trouble) => trouble !== undefined)).toEqual(
    troubles.map((_, index) => index % 2 === 0),
  );
}

describe('a server that', () => {
  test.each(Object.entries(switches))('%s', async (_name, { troubles = [], ...behaviour }) => {
    const content = contentOf(3 * webChunkBytes + 1234);
    const { refusal, line } = await withServer({ content, behaviour }, async (opened, file) => {
      expect(await opened.driver.getLength()).toBe(content.length);
      file.behaviour.troubles = [...troubles];
      await expectContent(opened, content, 5, content.length - 5);
      expect(file.behaviour.troubles).toEqual([]);
      expect(opened.troubles.length > 0).toBe(troubles.some(({ kind }) => kind !== 'short'));
      expectPairs(opened);
    });
    const expected = refusalOf({ ...wellBehaved, ...behaviour }, false);
    expect(refusal).toBe(expected && `CURL: Error opening file: ${expected}`);
    expect(line.unaskedBytes).toBe(0);
  });
});

/** What may happen to requests in a row before they are given up. */
function troublesOf(random: Seeded, most: number, isOpening: boolean, behaviour: WebBehaviour): Trouble[] {
  const kinds: Trouble[] = [
    { kind: 'status', status: 503 },
    { kind: 'status', status: 429, retryAfter: '2' },
    { kind: 'status', status: 503, retryAfter: 'Mon, 01 Jan 2024 00:00:20 GMT' },
    { kind: 'status', status: 500 },
    { kind: 'reset' },
    { kind: 'cut' },
    { kind: 'silent' },
    { kind: 'stall' },
    { kind: 'short' },
  ];
  // Who cannot tell that the file is the same takes it for another one.
  if (!isOpening && behaviour.etag !== 'none' && !behaviour.hides) kinds.push({ kind: 'whole' });
  return Array.from({ length: random.below(most + 1) }, () => random.pick(kinds));
}

function behaviourOf(random: Seeded): WebBehaviour {
  const behaviour: WebBehaviour = {
    head: random.pick([
      'well',
      'refused',
      'failing',
      'reset',
      'silent',
      'empty',
      'lengthless',
      'wrong',
      'packed',
    ]),
    etag: random.pick(['strong', 'weak', 'alternating', 'none']),
    modified: random.oneIn(2),
    hides: random.oneIn(2),
    tellsLength: !random.oneIn(4),
    acceptRanges: random.oneIn(2),
    ranges: random.pick(['served', 'served', 'served', 'served', 'ignored', 'packed', 'multipart']),
    mostBytes: random.pick([5000, 20_000, webChunkBytes, 1e9]),
    troubles: [],
  };
  behaviour.troubles = troublesOf(random, 2, true, behaviour);
  return behaviour;
}

describe('servers of all kinds give the bytes of the file, or say why not', () => {
  testSeeds({ first, count, batch: 100 }, async (seed) => {
    const random = new Seeded(seed);
    const content = contentOf(random.pick([0, 1, 70_000, 3 * webChunkBytes, 700_001]));
    const behaviour = behaviourOf(random);
    const line = {
      bytesPerSecond: random.pick([2e4, 1e6, 1e9]),
      latencySeconds: random.pick([0.001, 0.1, 2]),
      shares: random.oneIn(2),
    };
    const options = { readahead: random.pick([0, 65_536, 262_144]) };
    const { refusal } = await withServer(
      { content, behaviour, line, options, seed },
      async (opened, file) => {
        expect(await opened.driver.getLength()).toBe(content.length);
        for (let round = 0; round < 3; round++) {
          file.behaviour.troubles = troublesOf(random, 4, false, behaviour);
          let end = 0;
          const reads = Array.from({ length: 1 + random.below(4) }, () => {
            const offset = random.oneIn(2) ? end : random.below(content.length + 1);
            const bytes = 1 + random.below(random.oneIn(3) ? 300_000 : 5000);
            end = offset + bytes;
            return expectContent(opened, content, offset, bytes);
          });
          await Promise.all(reads);
        }
        // Each trouble ends, and none begins before the last one has ended.
        expect(opened.troubles.map((trouble) => trouble !== undefined)).toEqual(
          opened.troubles.map((_, index) => index % 2 === 0),
        );
      },
    );
    const expected = refusalOf(behaviour, content.length === 0);
    expect(refusal).toBe(expected && `CURL: Error opening file: ${expected}`);
  });
});
