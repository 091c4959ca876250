/** Images on web servers over lines of every kind, in virtual time: how much of the line readers get, and who waits for whom. */
import { describe, expect, test } from 'vitest';
import type { Driver } from '../../host/block/driver.ts';
import { createSimulation, type Simulation } from '../../host/platform/sim/index.ts';
import { webChunkBytes } from '../../host/protocols/http/chunk-size.ts';
import { type HttpOptions, http } from '../../host/protocols/http/driver.ts';
import { minRunChunks } from '../../host/protocols/http/line.ts';
import { openDriver } from '../support/open-driver.ts';
import { Seeded } from '../support/seeded.ts';
import { BehavingFile } from '../support/web-behaviour.ts';
import { type LineOptions, WebLine } from '../support/web-line.ts';

const url = 'http://server/disk.img';

/** What comes in one piece, however little of it is missing. */
const slackBytes = 65_536;

interface World {
  simulation: Simulation;
  file: BehavingFile;
  line: WebLine;
  driver: Driver;
}

async function over<T>(
  options: LineOptions,
  bytes: number,
  body: (world: World) => Promise<T>,
  given: Partial<HttpOptions> = {},
): Promise<T> {
  const file = new BehavingFile(new Uint8Array(bytes).fill(7));
  const line = new WebLine(file, options);
  const simulation = createSimulation(1, { fetch: line.fetch, latency: 'instant' });
  line.use(simulation.platform.clock);
  return simulation.run(async () => {
    const { driver } = await openDriver(http, simulation.platform, { url, ...given }, { readOnly: true });
    try {
      return await body({ simulation, file, line, driver });
    } finally {
      await driver.close();
    }
  });
}

/** Bytes per second and seconds of latency: from the worst that people have to the best. */
const lines: [bytesPerSecond: number, latencySeconds: number][] = [
  [1e4, 2],
  [5e4, 1],
  [2e5, 0.3],
  [1e6, 0.1],
  [1e7, 0.03],
  [5e7, 0.05],
  [1e8, 0.02],
  [1e9, 0.001],
];
const kinds = lines.flatMap((line) => [true, false].map((shares) => [...line, shares] as const));

/** How many bytes `GET bytes=0-9` asks for. */
function bytesOf(request: string): number {
  const [, first, last] = /=(\d+)-(\d+)$/.exec(request) ?? [];
  return Number(last) + 1 - Number(first);
}

describe('a reader that goes on in order', () => {
  test.each(kinds)(
    'gets nine tenths of %d bytes/s with %d s of latency (shared: %s)',
    async (rate, latency, shares) => {
      const options = { bytesPerSecond: rate, latencySeconds: latency, shares };
      // So long that the beginning, when nothing is known of the line, does not decide.
      const bytes = Math.ceil(Math.max(1 << 20, rate * latency * 60) / webChunkBytes) * webChunkBytes;
      for (const readBytes of [webChunkBytes, 1 << 20]) {
        await over(options, bytes, async ({ simulation, driver }) => {
          const start = simulation.nowNs;
          const buffer = new Uint8Array(readBytes);
          for (let at = 0; at < bytes; at += readBytes)
            await driver.read!(at, buffer.subarray(0, bytes - at));
          const seconds = (simulation.nowNs - start) / 1e9;
          expect(bytes / rate / seconds).toBeGreaterThan(0.9);
        });
      }
    },
  );
});

describe('a read that somebody waits for', () => {
  test.each(kinds)(
    'waits for one prefetch at most, at %d bytes/s with %d s of latency (shared: %s)',
    async (rate, latency, shares) => {
      const options = { bytesPerSecond: rate, latencySeconds: latency, shares };
      const near = Math.ceil(Math.max(1 << 20, rate * latency * 30) / webChunkBytes) * webChunkBytes;
      await over(options, near * 3, async ({ simulation, driver, file }) => {
        let isDone = false;
        const buffer = new Uint8Array(webChunkBytes);
        const readOn = async (from: number, end: number): Promise<void> => {
          for (let at = from; at < end; at += buffer.length) await driver.read!(at, buffer);
        };
        // What the line can do is found out first.
        const known = Math.ceil(near / 3 / webChunkBytes) * webChunkBytes;
        await readOn(0, known);
        const going = readOn(known, near).then(() => {
          isDone = true;
        });
        const pause = new Seeded(3);
        let chunk = (2 * near) / webChunkBytes;
        while (!isDone) {
          // As often as leaves the line time for the other reader.
          const idleSeconds = (latency + (8 * webChunkBytes) / rate) * (1 + pause.below(100) / 50);
          await new Promise<void>((resolve) => {
            simulation.platform.clock.setTimer(idleSeconds * 1e9, resolve);
          });
          const start = simulation.nowNs;
          await driver.read!(chunk * webChunkBytes, new Uint8Array(4096));
          chunk += 3;
          const seconds = (simulation.nowNs - start) / 1e9;
          const longest = Math.max(...file.requests.map(bytesOf));
          expect(seconds).toBeLessThan(1.01 * (latency + (longest + webChunkBytes + slackBytes) / rate));
        }
        await going;
      });
    },
  );
});

test('transfers become shorter when the line does less, and longer when it does more', async () => {
  const quick = { bytesPerSecond: 1e7, latencySeconds: 0.03, shares: true };
  const slow = { bytesPerSecond: 2e4, latencySeconds: 0.5, shares: true };
  await over(quick, 96 << 20, async ({ line, file, driver }) => {
    let at = 0;
    const lengthAfter = async (options: LineOptions, bytes: number): Promise<number> => {
      line.options = options;
      for (const end = at + bytes; at < end; at += webChunkBytes)
        await driver.read!(at, new Uint8Array(webChunkBytes));
      return bytesOf(file.requests.at(-1)!) / webChunkBytes; // there were many
    };
    expect(await lengthAfter(quick, 24 << 20)).toBeGreaterThan(8);
    expect(await lengthAfter(slow, 16 << 20)).toBe(minRunChunks);
    expect(await lengthAfter(quick, 24 << 20)).toBeGreaterThan(8);
  });
});
