/**
 * `blockyard web` under clients of every kind at once, most of them bad: it lives, answers the good ones rightly, and has what it had
 * of descriptors and memory when they have gone.
 *
 * How many requests is up to WEB_REQUESTS (default: 3000). Each is drawn from a seed of its own, its number.
 */
import { once } from 'node:events';
import { truncateSync, writeFileSync } from 'node:fs';
import type { Socket } from 'node:net';
import { expect, test } from 'vitest';
import { imageUrl } from '../../host/web/image-names.ts';
import { answerByModel } from '../support/range-model.ts';
import { scratchDirectory } from '../support/scratch.ts';
import { Seeded } from '../support/seeded.ts';
import { sendRaw, WebClient } from '../support/web-client.ts';
import { WebServer } from '../support/web-program.ts';

const requestCount = Number(process.env['WEB_REQUESTS'] ?? 3000);
const warmUpCount = Math.max(2000, requestCount / 10);
const clientCount = 32;
/** Connections that are left with half a request. */
const halfOpenCount = 64;
/** What it is given to keep things in: what it kept of each request would not fit for long. */
const heapMiB = 16;
/** What its memory may grow by after the warm-up, whatever the number of requests: buffers that wait for garbage collection. */
const memoryMarginBytes = 192 << 20;
const patient = { timeout: 30_000 };

const scratch = scratchDirectory();
const content = Uint8Array.from({ length: 777 }, (_, i) => i % 251);
const names = ['disk.img', 'a+b;c,d=e@f.img', 'x?y#z%2f&.img', '..x', 'ü ☃ 💾.html', 'x.gz', '\'"\\'];
const junk = [
  '%',
  '%ff',
  '..',
  '../..',
  '%2e%2e%2f',
  'nothing',
  '//',
  '?',
  '%00',
  'a'.repeat(3000),
  '~',
  'disk.img/',
];

class Crowd {
  private readonly client: WebClient;
  private readonly halfOpen: Socket[] = [];
  private next = 0;

  constructor(
    private readonly base: string,
    private readonly random: (number: number) => Seeded,
  ) {
    this.client = new WebClient(base);
  }

  /** Makes requests up to a number. */
  async run(upTo: number): Promise<void> {
    const one = async (): Promise<void> => {
      while (this.next < upTo) await this.request(this.random(this.next++));
    };
    await Promise.all(Array.from({ length: clientCount }, one));
  }

  leave(): void {
    this.client.close();
    for (const socket of this.halfOpen) socket.destroy();
  }

  private async request(random: Seeded): Promise<void> {
    const kind = random.below(100);
    if (kind < 55) await this.askForRange(random);
    else if (kind < 65) await this.askForJunk(random);
    else if (kind < 70) await this.askAnother(random);
    else if (kind < 80) await this.breakOff(random);
    else if (kind < 88) await this.leaveHalfOpen(random);
    else if (kind < 94) await this.sendAhead(random);
    else await this.sendGarbage(random);
  }

  private async askForRange(random: Seeded): Promise<void> {
    const range = rangeHeader(random);
    const target = targetOf(random.pick(names));
    if (random.oneIn(5)) {
      const { status, body } = await this.client.ask(target, { range }, 'HEAD');
      expect([status, body.length]).toEqual([200, 0]);
      return;
    }
    const expected = answerByModel(range, content);
    const { status, body } = await this.client.ask(target, { range });
    expect([range, status]).toEqual([range, expected.status]);
    const bytes = expected.status === 206 ? expected.bytes : content;
    if (status !== 416) expect(Buffer.compare(body, bytes), range).toBe(0);
  }

  private async askForJunk(random: Seeded): Promise<void> {
    const folder = random.pick(['/images/', '/v86/', '/browser/', '/firmware/']);
    expect((await this.client.ask(folder + random.pick(junk))).status).toBe(404);
  }

  private async askAnother(random: Seeded): Promise<void> {
    const host = random.pick(['evil.test', '10.1.2.3:80', 'x'.repeat(2000), '[::1]', 'localhost.evil.test']);
    expect((await this.client.ask('/offer.json', { host })).status).toBe(421);
  }

  private async breakOff(random: Seeded): Promise<void> {
    const socket = await this.send(download);
    if (!random.oneIn(3)) await once(socket, 'readable');
    socket.destroy();
  }

  private async leaveHalfOpen(random: Seeded): Promise<void> {
    const socket = await this.send(download.slice(0, random.below(download.length)));
    socket.resume();
    if (random.oneIn(3)) socket.end();
    this.halfOpen.push(socket);
    if (this.halfOpen.length > halfOpenCount) this.halfOpen.shift()!.destroy();
  }

  private async sendAhead(random: Seeded): Promise<void> {
    const socket = await this.send(random.pick([download, small]).repeat(1 + random.below(60)));
    await new Promise((resolve) => socket.once('readable', resolve).once('close', resolve));
    socket.destroy();
  }

  private async sendGarbage(random: Seeded): Promise<void> {
    const text = Array.from({ length: random.below(200) }, () => String.fromCharCode(random.below(256)));
    const socket = await this.send(
      random.pick(['', 'GET / HTTP/1.1\r\n', 'POST / HTTP/1.1\r\n']) + text.join(''),
    );
    socket.destroy();
  }

  private send(bytes: string): Promise<Socket> {
    return sendRaw(this.base, bytes);
  }
}

function targetOf(name: string): string {
  const { pathname, search, hash } = new URL(imageUrl(name, 'http://localhost/'));
  return pathname + search + hash;
}

const requestFor = (target: string): string => `GET ${target} HTTP/1.1\r\nHost: localhost\r\n\r\n`;
const download = requestFor(targetOf('big.img'));
const small = requestFor(targetOf(names[1]!));

function rangeHeader(random: Seeded): string {
  const position = (): string =>
    random.pick([
      String(random.below(content.length + 9)),
      '',
      '0',
      '9223372036854775806',
      `${random.below(9)}x`,
    ]);
  const spec = (): string => `${position()}-${position()}`;
  const specs = Array.from({ length: random.oneIn(3) ? 1 + random.below(4) : 1 }, spec);
  return (
    random.pick(['bytes=', 'bytes=', 'bytes=', 'Bytes=', 'bytes', 'items=']) +
    specs.join(random.pick([',', ', ', ';']))
  );
}

test(
  `${requestCount} requests of every kind leave it as it was`,
  async () => {
    for (const name of names) writeFileSync(scratch(name), content);
    writeFileSync(scratch('big.img'), '');
    truncateSync(scratch('big.img'), 64 << 20);
    const server = await WebServer.startLimited({ heapMiB }, ...[...names, 'big.img'].map(scratch));
    const crowd = new Crowd(server.base, (number) => new Seeded(number));
    try {
      const descriptors = server.descriptors;
      await crowd.run(warmUpCount);
      const residentBytes = server.residentBytes;
      await crowd.run(warmUpCount + requestCount);
      const grown = server.residentBytes - residentBytes;
      crowd.leave();
      await expect.poll(() => server.descriptors, patient).toBeLessThanOrEqual(descriptors);
      const mib = (bytes: number): string => `${(bytes / (1 << 20)).toFixed(1)} MiB`;
      console.log(
        `descriptors ${descriptors}, then ${server.descriptors}; memory ${mib(residentBytes)}, grown by ${mib(grown)}`,
      );
      expect(grown).toBeLessThan(memoryMarginBytes);
      expect(server.hasEnded).toBe(false);
    } finally {
      crowd.leave();
      expect(await server.stop()).toBe(0);
      expect(server.complaints).toBe('');
    }
  },
  60_000 + requestCount * 20,
);
