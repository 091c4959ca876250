/**
 * Machines in the page that boot from a disk, by firmware: an image of the server, one at an address, and one of this
 * computer. What the disk holds counts in its second sector how often it was started.
 */
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import type { Page } from 'playwright';
import { describe, expect, test } from 'vitest';
import { drivers } from '../../host/drivers.ts';
import { closeExports } from '../../host/exports/block-exports.ts';
import { createGraph } from '../../host/graph.ts';
import { nodePlatform } from '../../host/platform/node/index.ts';
import { haveChromium } from '../support/chromium.ts';
import { freePort } from '../support/free-port.ts';
import { MachinePage } from '../support/machine-page.ts';
import { scratchDirectory } from '../support/scratch.ts';
import { requireAll } from '../support/tools.ts';
import { WebServer } from '../support/web-program.ts';
import { exportOverWebSocket } from '../support/websocket-export.ts';

const scratch = scratchDirectory();
const patient = { timeout: 30_000 };
const haveFirmware = requireAll || existsSync('/usr/share/seabios/bios.bin');

const diskSectors = 4096;

/** Real mode: reads the second sector, counts up its first byte, writes it, says so, and halts. */
function bootSector(): Uint8Array {
  const transfer = (bios: number): number[] => [
    ...[0xb8, 0x01, bios], // mov ax: one sector
    ...[0xbb, 0x00, 0x80], // mov bx, 0x8000
    ...[0xb9, 0x02, 0x00], // mov cx: cylinder 0, sector 2
    ...[0xba, 0x80, 0x00], // mov dx: head 0, first disk
    ...[0xcd, 0x13],
  ];
  const putLetter = [0xb4, 0x0e, 0xbb, 0x07, 0x00, 0xcd, 0x10];
  const start = [
    ...[0x31, 0xc0, 0x8e, 0xd8, 0x8e, 0xc0, 0x8e, 0xd0, 0xbc, 0x00, 0x7c], // segments 0, stack below the code
    ...transfer(0x02),
    ...[0xfe, 0x06, 0x00, 0x80], // inc byte [0x8000]
    ...transfer(0x03),
  ];
  const loop = [0xac, 0x08, 0xc0, 0x74, putLetter.length + 2, ...putLetter]; // lodsb, and out at zero
  const end = [0xa0, 0x00, 0x80, 0x04, 0x30, ...putLetter, 0xf4, 0xeb, 0xfd]; // the digit; hlt for ever
  const textAt = 0x7c00 + start.length + 3 + loop.length + 2 + end.length;
  const code = [
    ...start,
    ...[0xbe, textAt & 0xff, textAt >> 8], // mov si: the text
    ...loop,
    ...[0xeb, 0x100 - loop.length - 2],
    ...end,
    ...new TextEncoder().encode('started: \0'),
  ];
  const sector = new Uint8Array(512);
  sector.set(code);
  sector.set([0x55, 0xaa], 510);
  return sector;
}

describe.skipIf(!haveChromium || !haveFirmware)('a machine in the page that boots from a disk', () => {
  const disk = new Uint8Array(diskSectors * 512);
  disk.set(bootSector());
  for (const name of ['server.img', 'address.img', 'file.img']) writeFileSync(scratch(name), disk);
  const machine = new MachinePage(
    () => WebServer.start(scratch('server.img'), scratch('address.img')),
    'for each test',
  );

  /** Loads the page, fills in what `choose` does, starts, and waits for what the guest says. */
  async function boot(choose: (page: Page) => Promise<unknown>, expected: string): Promise<void> {
    await machine.load();
    await choose(machine.page);
    await machine.start(expected);
  }

  test('starts one of the server, and finds what the guest wrote when it starts again', async () => {
    const choose = async (page: Page) => {
      // Who names images when the server is started is offered the first.
      await expect.poll(() => page.isChecked('input[value=image]'), patient).toBe(true);
      await page.selectOption('select[name=image]', 'server.img');
    };
    await boot(choose, 'started: 1');
    await boot(choose, 'started: 2');
    expect(readFileSync(scratch('server.img'))[512]).toBe(0);
  }, 90_000);

  test('starts one at an address', async () => {
    const url = `${machine.server.base}/images/address.img`;
    await boot((page) => page.fill('input[name=url]', url), 'started: 1');
  }, 60_000);

  test('starts one that a server exports by NBD', async () => {
    writeFileSync(scratch('exported.img'), disk);
    const graph = createGraph({ platform: nodePlatform, drivers });
    const node = await graph.openFile(scratch('exported.img'), { format: 'raw', flags: { readOnly: true } });
    const port = await freePort();
    const origins = [new URL(machine.server.base).origin];
    await exportOverWebSocket(node, { port, origins, writable: false });
    await boot((page) => page.fill('input[name=url]', `ws://127.0.0.1:${port}/disk`), 'started: 1');
    await closeExports(graph);
    await graph.unref(node);
  }, 60_000);

  test('starts one of this computer, where it is', async () => {
    await boot((page) => page.setInputFiles('input[name=file]', scratch('file.img')), 'started: 1');
    expect(readFileSync(scratch('file.img'))[512]).toBe(0);
  }, 60_000);
});
