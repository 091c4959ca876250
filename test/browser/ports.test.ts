/** What goes over ports: disks, calls and the monitor, with the channels of Node in place of a page's and its worker's. */
import { fc, test } from '@fast-check/vitest';
import { afterEach, describe, expect } from 'vitest';
import { BlockError } from '../../host/base/errors.ts';
import type { DiskReference, GuestDisk } from '../../host/emulator/guest-disk.ts';
import { serveDisk } from '../../host/library/disk-server.ts';
import { blockBytes, ReadCache } from '../../host/library/read-cache.ts';
import { RemoteGuestDisk } from '../../host/library/remote-disk.ts';
import { Calls, serveCalls, Transferred } from '../../host/library/rpc.ts';

const opened: MessagePort[] = [];

function channel(): { port1: MessagePort; port2: MessagePort } {
  const { port1, port2 } = new MessageChannel();
  opened.push(port1, port2);
  return { port1, port2 };
}

afterEach(() => {
  for (const port of opened.splice(0)) port.close();
});

/** A disk in memory that answers when told to, and in the order of requests. */
class HeldDisk implements GuestDisk {
  readonly isReadOnly = false;
  byteLength: number;
  readonly content: Uint8Array;
  readonly log: string[] = [];
  /** Requests that wait for `release`. */
  private held: (() => void)[] = [];
  isHolding = false;
  private reference: DiskReference = { snapshot: 's', generation: 3 };

  constructor(bytes: number) {
    this.byteLength = bytes;
    this.content = new Uint8Array(bytes);
  }

  read(offset: number, into: Uint8Array, signal?: AbortSignal): Promise<void> | undefined {
    this.log.push(`read ${offset} ${into.length}`);
    signal?.addEventListener('abort', () => {
      this.log.push(`abort ${offset}`);
      this.release();
    });
    const now = this.content.slice(offset, offset + into.length);
    if (!this.isHolding) {
      into.set(now);
      return undefined;
    }
    return this.hold().then(() => into.set(now));
  }

  async write(offset: number, data: Uint8Array): Promise<void> {
    this.log.push(`write ${offset} ${data.length}`);
    this.content.set(data, offset);
    if (this.isHolding) await this.hold();
  }

  async flush(): Promise<void> {
    this.log.push('flush');
  }

  getReference(): DiskReference {
    return this.reference;
  }

  setReference(reference: DiskReference): void {
    this.reference = reference;
  }

  release(): void {
    for (const resolve of this.held.splice(0)) resolve();
  }

  private hold(): Promise<void> {
    return new Promise((resolve) => this.held.push(resolve));
  }
}

async function remoteDisk(
  bytes = 1 << 20,
  cacheBytes?: number,
): Promise<{ disk: HeldDisk; remote: RemoteGuestDisk; closed: () => boolean }> {
  const disk = new HeldDisk(bytes);
  const { port1, port2 } = channel();
  let closed = false;
  const connecting = RemoteGuestDisk.connect(port1, cacheBytes === undefined ? {} : { cacheBytes });
  serveDisk(port2, disk, async () => {
    closed = true;
  });
  return { disk, remote: await connecting, closed: () => closed };
}

describe('a disk over a port', () => {
  test('has the length and the reference of the disk behind it', async () => {
    const { remote } = await remoteDisk(4096);
    expect(remote.byteLength).toBe(4096);
    expect(remote.isReadOnly).toBe(false);
    expect(remote.getReference()).toEqual({ snapshot: 's', generation: 3 });
  });

  test('reads what is behind it, and then has its surroundings at hand', async () => {
    const { disk, remote } = await remoteDisk();
    disk.content.fill(7, 0, blockBytes);
    const into = new Uint8Array(512);
    await remote.read(1024, into);
    expect(into).toEqual(new Uint8Array(512).fill(7));
    const near = new Uint8Array(4096);
    expect(remote.read(8192, near)).toBeUndefined();
    expect(near[4095]).toBe(7);
    expect(disk.log).toEqual([`read 0 ${blockBytes}`]);
  });

  test('reads to the end of a disk that is no multiple of what is kept', async () => {
    const { disk, remote } = await remoteDisk(blockBytes + 1536);
    disk.content.fill(9, blockBytes);
    const into = new Uint8Array(1024);
    await remote.read(blockBytes + 512, into);
    expect(into).toEqual(new Uint8Array(1024).fill(9));
    expect(remote.read(blockBytes + 512, into)).toBeUndefined();
  });

  test('keeps what was written although the buffer is used again', async () => {
    const { disk, remote } = await remoteDisk();
    const data = new Uint8Array(512).fill(1);
    const writing = remote.write(0, data);
    data.fill(2);
    await writing;
    expect(disk.content[0]).toBe(1);
    expect(remote.getReference().generation).toBe(4);
  });

  test('does not keep what a read brings that a write has overtaken', async () => {
    const { disk, remote } = await remoteDisk();
    disk.isHolding = true;
    const first = new Uint8Array(512);
    const reading = remote.read(0, first);
    const writing = remote.write(512, new Uint8Array(512).fill(5));
    await waitFor(() => disk.log.length === 2);
    disk.release();
    await Promise.all([reading, writing]);
    disk.isHolding = false;
    const second = new Uint8Array(512);
    await remote.read(512, second);
    expect(second[0]).toBe(5);
    expect(disk.log.at(-1)).toBe(`read 0 ${blockBytes}`);
  });

  test('lets go of an aborted read, and tells the worker', async () => {
    const { disk, remote } = await remoteDisk();
    disk.content.fill(3);
    disk.isHolding = true;
    const controller = new AbortController();
    const into = new Uint8Array(512);
    const reading = remote.read(0, into, controller.signal);
    await waitFor(() => disk.log.length === 1);
    controller.abort();
    await reading;
    await waitFor(() => disk.log.includes('abort 0'));
    expect(into).toEqual(new Uint8Array(512));
  });

  test('learns of another length with the next answer', async () => {
    const { disk, remote } = await remoteDisk(4096);
    disk.byteLength = 8192;
    await remote.flush();
    expect(remote.byteLength).toBe(8192);
  });

  test('is closed after what was asked before, and does nothing from then on', async () => {
    const { disk, remote, closed } = await remoteDisk();
    const writing = remote.write(0, new Uint8Array(512).fill(1));
    await remote.close();
    await writing;
    expect(closed()).toBe(true);
    await remote.write(0, new Uint8Array(512).fill(2));
    await remote.flush();
    expect(remote.read(0, new Uint8Array(512))).toBeUndefined();
    expect(disk.content[0]).toBe(1);
  });

  test.prop([
    fc.array(
      fc.record({
        kind: fc.constantFrom('read', 'write', 'forget'),
        sector: fc.nat(255),
        sectors: fc.integer({ min: 1, max: 140 }),
        value: fc.nat(255),
        wait: fc.boolean(),
      }),
      { maxLength: 40 },
    ),
    fc.constantFrom(0, 2 * blockBytes, 16 * blockBytes),
  ])('reads what was written before, whatever is at hand', async (steps, cacheBytes) => {
    const bytes = 300 * 512;
    const { remote } = await remoteDisk(bytes, cacheBytes);
    const model = new Uint8Array(bytes);
    const pending: Promise<unknown>[] = [];
    for (const { kind, sector, sectors, value, wait } of steps) {
      const offset = sector * 512;
      const length = Math.min(sectors * 512, bytes - offset);
      if (kind === 'write') {
        model.fill(value, offset, offset + length);
        pending.push(remote.write(offset, new Uint8Array(length).fill(value)));
      } else if (kind === 'forget') {
        remote.forgetContent();
      } else {
        const into = new Uint8Array(length);
        const expected = model.slice(offset, offset + length);
        pending.push(
          (async () => {
            await remote.read(offset, into);
            expect(Buffer.compare(into, expected)).toBe(0);
          })(),
        );
      }
      if (wait) await Promise.all(pending);
    }
    await Promise.all(pending);
    await remote.close();
  });
});

describe('what the page has at hand', () => {
  test('stays within its bound, and gives up what was used longest ago', () => {
    const cache = new ReadCache(2 * blockBytes);
    const sector = new Uint8Array(512);
    for (let block = 0; block < 2; block++) {
      const offset = block * blockBytes;
      cache.endFetch(cache.beginFetch(offset, blockBytes), new Uint8Array(blockBytes).fill(block + 1));
    }
    expect(cache.read(0, sector)).toBe(true);
    const third = cache.beginFetch(2 * blockBytes, blockBytes);
    cache.endFetch(third, new Uint8Array(blockBytes).fill(3));
    expect(cache.read(0, sector)).toBe(true);
    expect(cache.read(blockBytes, sector)).toBe(false);
    expect(cache.read(2 * blockBytes, sector)).toBe(true);
    expect(sector[0]).toBe(3);
  });
});

describe('calls over a port', () => {
  const functions = {
    double: async ({ value }: { value: number }) => value * 2,
    refuse: async (_: object): Promise<never> => {
      throw new BlockError('ENOSPC', 'no room', { class: 'DeviceNotFound', hint: 'make some' });
    },
    crash: async (_: object): Promise<never> => {
      throw new TypeError('a bug');
    },
    move: async ({ bytes }: { bytes: number }) => {
      const data = new Uint8Array(bytes).fill(1);
      return new Transferred(data, [data.buffer]);
    },
    hang: (_: object) => new Promise<void>(() => {}),
  };

  function calls(): Calls<typeof functions> {
    const { port1, port2 } = channel();
    serveCalls(port2, functions);
    return new Calls<typeof functions>(port1);
  }

  test('answer each call with its own result', async () => {
    const page = calls();
    const results = await Promise.all([1, 2, 3].map((value) => page.call('double', { value })));
    expect(results).toEqual([2, 4, 6]);
    expect(await page.call('move', { bytes: 3 })).toEqual(new Uint8Array(3).fill(1));
  });

  test('fail with the error of the function, class and hint included', async () => {
    const page = calls();
    const error = await page.call('refuse', {}).catch((caught: unknown) => caught);
    expect(error).toBeInstanceOf(BlockError);
    expect(error).toMatchObject({
      errno: 'ENOSPC',
      message: 'no room',
      class: 'DeviceNotFound',
      hint: 'make some',
    });
    await expect(page.call('crash', {})).rejects.toThrow('a bug');
  });

  test('fail when the port is closed, also those that wait', async () => {
    const page = calls();
    const waiting = page.call('hang', {});
    page.close();
    await expect(waiting).rejects.toThrow('The block layer is closed');
    await expect(page.call('double', { value: 1 })).rejects.toThrow('The block layer is closed');
  });
});

/** Lets messages be delivered until `isSo`. */
async function waitFor(isSo: () => boolean): Promise<void> {
  while (!isSo()) await new Promise((resolve) => setImmediate(resolve));
}
