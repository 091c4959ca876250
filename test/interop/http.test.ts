/**
 * Images on a real web server: over Node's own HTTP, with a server that misbehaves, beside the real tools.
 */
import { readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { createImage } from '../../host/block/create.ts';
import type { Driver } from '../../host/block/driver.ts';
import { drivers } from '../../host/drivers.ts';
import { createGraph } from '../../host/graph.ts';
import { nodePlatform } from '../../host/platform/node/index.ts';
import { maxOpenAttempts } from '../../host/protocols/http/client.ts';
import { http } from '../../host/protocols/http/driver.ts';
import { attachAlone, readWrite } from '../support/attach.ts';
import { TwoFolders } from '../support/cli.ts';
import { sharesOverTests } from '../support/leaks.ts';
import { openDriver } from '../support/open-driver.ts';
import { run } from '../support/qemu.ts';
import { scratchDirectory } from '../support/scratch.ts';
import { SwitchedServer } from '../support/switched-server.ts';
import { haveQemu } from '../support/tools.ts';
import { BehavingFile, refusalOf, switches, wellBehaved } from '../support/web-behaviour.ts';
import { type WebFault, WebServer } from '../support/web-server.ts';

// Connections to the server stay open from one test to the next.
sharesOverTests();

const scratch = scratchDirectory();
const server = new WebServer();
const rawBytes = 3_000_321;
const raw = Uint8Array.from({ length: rawBytes }, (_, i) => (i * 31) ^ (i >>> 9));

beforeAll(async () => {
  await server.start();
  server.put('disk.raw', raw);
});
afterAll(() => server.stop());

async function open(
  fault?: WebFault,
  options: { timeout?: number; 'x-retry'?: number } = {},
): Promise<Driver> {
  const given = { url: server.url('disk.raw', fault), ...options };
  return (await openDriver(http, nodePlatform, given, { readOnly: true })).driver;
}

async function read(driver: Driver, offset: number, bytes: number): Promise<Uint8Array> {
  const buffer = new Uint8Array(bytes);
  await driver.read!(offset, buffer);
  return buffer;
}

describe('over a real connection', () => {
  test('reads what the server has', async () => {
    const ranges = fc.array(fc.tuple(fc.nat(rawBytes - 1), fc.integer({ min: 1, max: 300_000 })), {
      minLength: 1,
      maxLength: 8,
    });
    await fc.assert(
      fc.asyncProperty(ranges, async (asked) => {
        const driver = await open();
        const reads = asked.map(async ([offset, most]) => {
          const bytes = Math.min(most, rawBytes - offset);
          const expected = raw.subarray(offset, offset + bytes);
          expect(Buffer.compare(await read(driver, offset, bytes), expected)).toBe(0);
        });
        await Promise.all(reads);
        await driver.close();
      }),
      { numRuns: 25 },
    );
  });

  test.each(['drop-once', 'short-once', 'status-500-once', 'no-head'] as const)(
    'bears with %s',
    async (fault) => {
      const driver = await open(fault);
      expect(await driver.getLength()).toBe(rawBytes);
      expect(Buffer.compare(await read(driver, 5, 100_000), raw.subarray(5, 100_005))).toBe(0);
      await driver.close();
    },
  );

  test('fails in the end when every connection is lost', async () => {
    const driver = await open('drop', { 'x-retry': 1 });
    await expect(read(driver, 0, 512)).rejects.toMatchObject({ errno: 'EIO' });
    await driver.close();
  });

  test('gives up on a server that does not answer', async () => {
    const driver = await open('silent', { timeout: 1, 'x-retry': 0 });
    await expect(read(driver, 0, 512)).rejects.toThrow('Operation timed out after 1000 milliseconds');
    await driver.close();
  });

  test('ends requests that are under way when it is closed', async () => {
    const driver = await open('silent', { timeout: 0 });
    const refused = expect(read(driver, 0, 512)).rejects.toMatchObject({ errno: 'ECANCELED' });
    await driver.close();
    await refused;
  });

  test('follows redirects, a bounded number of them, and tells no other server who asks', async () => {
    const seen: (string | undefined)[] = [];
    let last: string | undefined;
    const redirecting = createServer(({ headers: { authorization } }, response) => {
      seen.push(authorization);
      response.writeHead(302, { location: last ?? '/again' }).end();
    });
    await new Promise<void>((resolve) => redirecting.listen(0, '127.0.0.1', resolve));
    const { port } = redirecting.address() as AddressInfo;
    const url = `http://me:secret@127.0.0.1:${port}/disk.raw`;
    const opened = (): Promise<{ driver: Driver }> =>
      openDriver(http, nodePlatform, { url }, { readOnly: true });
    server.authorizations.length = 0;
    last = server.url('disk.raw');
    const { driver } = await opened();
    expect(Buffer.compare(await read(driver, 5, 1000), raw.subarray(5, 1005))).toBe(0);
    await driver.close();
    expect([...new Set(seen)]).toEqual([`Basic ${btoa('me:secret')}`]);
    expect([...new Set(server.authorizations)]).toEqual([undefined]);
    last = undefined;
    seen.length = 0;
    await expect(opened()).rejects.toThrow('redirect count exceeded');
    expect(seen.length).toBe(maxOpenAttempts * 21);
    redirecting.closeAllConnections();
    await new Promise((resolve) => redirecting.close(resolve));
  });

  test('notices that the file has changed', async () => {
    server.put('changing.raw', raw);
    const given = { url: server.url('changing.raw') };
    const { driver } = await openDriver(http, nodePlatform, given, { readOnly: true });
    await read(driver, 0, 512);
    server.put('changing.raw', raw, '"2"');
    await expect(read(driver, 1 << 20, 512)).rejects.toThrow(
      `${given.url}: The file on the server has changed: its ETag was "1" and is "2"`,
    );
    await driver.close();
  });
});

describe('a server that', () => {
  const images = new SwitchedServer();
  beforeAll(() => images.start());
  afterAll(() => images.stop());

  test.each(Object.entries(switches))('%s', async (_name, { troubles = [], ...switched }) => {
    const content = raw.subarray(0, 200_001);
    const file = new BehavingFile(content, { ...wellBehaved, ...switched, hides: false });
    images.file = file;
    const url = `${images.origin}/disk.raw`;
    const opened = openDriver(http, nodePlatform, { url, timeout: 1 }, { readOnly: true });
    const expected = refusalOf(file.behaviour, false);
    if (expected !== undefined) {
      await expect(opened).rejects.toThrow(`CURL: Error opening file: ${expected}`);
      return;
    }
    const { driver } = await opened;
    file.behaviour.troubles = [...troubles];
    expect(Buffer.compare(await read(driver, 0, content.length), content)).toBe(0);
    expect(file.behaviour.troubles).toEqual([]);
    await driver.close();
  });
});

describe.skipIf(!haveQemu)('with real images', () => {
  test('backs a local overlay, which QEMU then reads', async () => {
    const base = scratch('base.qcow2');
    run('qemu-img', 'create', '-q', '-f', 'qcow2', base, '4M');
    run('qemu-io', '-c', 'write -q -P 5 0 1M', '-c', 'write -q -P 6 3M 64k', base);
    server.put('base.qcow2', readFileSync(base));
    const graph = createGraph({ platform: nodePlatform, drivers });
    const overlay = scratch('overlay.qcow2');
    const backingFile = server.url('base.qcow2');
    await createImage(graph, {
      filename: overlay,
      format: 'qcow2',
      quiet: true,
      backingFile,
      backingFormat: 'qcow2',
    });
    const node = await graph.openFile(overlay, { format: 'qcow2' });
    const disk = await attachAlone(node, readWrite);
    expect(disk.length).toBe(4 << 20);
    const expected = new Uint8Array(4 << 20).fill(5, 0, 1 << 20).fill(6, 3 << 20, (3 << 20) + 65_536);
    await disk.write(70_000, new Uint8Array(1000).fill(9));
    expected.fill(9, 70_000, 71_000);
    const all = new Uint8Array(4 << 20);
    await disk.read(0, all);
    expect(Buffer.compare(all, expected)).toBe(0);
    await disk.close();
    expect(graph.nodes()).toEqual([]);
    // Not by a blocking call: the server is in this process.
    const real = new TwoFolders();
    const outcome = await real.realTool(
      'qemu-io',
      ...['-r', '-c', 'read -q -P 9 70000 1000', '-c', 'read -q -P 5 0 70000', '-c', 'read -q -P 6 3M 64k'],
      overlay,
    );
    real.remove();
    expect(outcome).toEqual({ status: 0, stdout: '', stderr: '' });
  });

  describe('says what QEMU says', () => {
    let folders: TwoFolders;

    beforeAll(() => {
      folders = new TwoFolders();
      const image = scratch('image.qcow2');
      run('qemu-img', 'create', '-q', '-f', 'qcow2', image, '4M');
      run('qemu-io', '-c', 'write -q -P 5 1M 1M', image);
      server.put('image.qcow2', readFileSync(image));
      server.put('image.raw', raw.subarray(0, 1_000_000));
      const name = server.url('image.qcow2');
      folders.prepare(
        'qemu-img',
        'create',
        '-q',
        '-f',
        'qcow2',
        '-u',
        '-b',
        name,
        '-F',
        'qcow2',
        'top.qcow2',
        '4M',
      );
    });
    afterAll(() => folders.remove());

    /** `URL(name)` and `URL(fault/name)` stand for addresses. */
    const lines: [tool: 'qemu-img' | 'qemu-io', line: string][] = [
      ['qemu-img', 'info URL(image.qcow2)'],
      ['qemu-img', 'info --output=json URL(image.qcow2)'],
      ['qemu-img', 'info --output=json URL(image.raw)'],
      ['qemu-img', 'info --output=json -f raw URL(image.qcow2)'],
      ['qemu-img', 'info --output=json json:{"driver":"http","url":"URL(image.qcow2)"}'],
      ['qemu-img', 'info --output=json json:{"driver":"http","url":"URL(image.qcow2)","cookie":"a=b"}'],
      [
        'qemu-img',
        'info json:{"driver":"qcow2","file":{"driver":"http","url":"URL(image.qcow2)","cookie":"x"}}',
      ],
      ['qemu-img', 'info --image-opts driver=http,url=URL(image.qcow2),readahead=128k,timeout=8'],
      ['qemu-img', 'info --backing-chain --output=json top.qcow2'],
      ['qemu-img', 'map --output=json URL(image.qcow2)'],
      ['qemu-img', 'map URL(image.raw)'],
      ['qemu-img', 'check URL(image.qcow2)'],
      ['qemu-img', 'compare URL(image.qcow2) top.qcow2'],
      ['qemu-img', 'convert -O raw URL(image.qcow2) copy.raw'],
      ['qemu-img', 'resize -f raw URL(image.raw) 2M'],
      ['qemu-img', 'create -f qcow2 URL(new.qcow2) 1M'],
      ['qemu-img', 'info URL(nothing)'],
      ['qemu-img', 'info URL(status-500/image.raw)'],
      ['qemu-img', 'info URL(no-ranges/image.raw)'],
      ['qemu-img', 'info http:image.raw'],
      ['qemu-io', '-r -f raw -c info URL(image.raw)'],
      ['qemu-io', '-r -f raw -c length -c map URL(image.raw)'],
      ['qemu-io', '-f raw -c length URL(image.raw)'],
      ['qemu-io', '-r -f qcow2 -c read_-P_5_1M_1M -c read_-P_1_0_512 -c write_0_512 URL(image.qcow2)'],
    ];

    test.each(lines)('%s %s', async (tool, line) => {
      const args = line.split(' ').map((word) =>
        word.replace(/_/g, ' ').replace(/URL\(([^)]*)\)/g, (_, name: string) => {
          const [file, fault] = name.split('/').reverse() as [string, WebFault | undefined];
          return server.url(file, fault);
        }),
      );
      const { ours, theirs } = await folders.both(tool, args);
      // curl's module says so whenever a node that it could not open goes away.
      theirs.stderr = theirs.stderr.replace(/^.*GLib: .*\n/gm, '').trimStart();
      expect(ours).toEqual(theirs);
    });
  });
});
