/** v86 beside the block layer, with that in this thread: what a page has of it, without a page. */

import { readFileSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { pathToFileURL } from 'node:url';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { openBlockyard } from '../../host/library/node.ts';
import type { RemoteEmulator } from '../../host/library/remote-emulator.ts';
import type { Blockyard } from '../../host/library/yard.ts';
import { sectorMill } from '../emulator/sector-mill.ts';
import { scratchDirectory } from '../support/scratch.ts';
import { installedV86 } from '../support/v86.ts';

const scratch = scratchDirectory();
const diskBytes = 1 << 20;
const module = installedV86 && pathToFileURL(createRequire(import.meta.url).resolve('v86')).href;

let yard: Blockyard;
beforeEach(async () => {
  yard = await openBlockyard();
});
afterEach(() => yard.close());

/** The mill on the disk `hda`: how many rounds it has told of. */
class Mill {
  rounds = 0;
  private wakers: (() => void)[] = [];

  constructor(readonly emulator: RemoteEmulator) {
    emulator.add_listener('serial0-output-byte', () => {
      this.rounds++;
      for (const wake of this.wakers.splice(0)) wake();
    });
  }

  async moreRounds(count: number): Promise<void> {
    const goal = this.rounds + count;
    while (this.rounds < goal) await new Promise<void>((resolve) => this.wakers.push(resolve));
  }
}

async function startMill(more: object = {}): Promise<Mill> {
  const { options } = installedV86!; // these tests are skipped without
  const multiboot = { buffer: sectorMill() };
  return new Mill(
    await yard.startInWorker(module!, { ...options, multiboot, hda: { node: 'hda', ...more } }),
  );
}

async function makeDisk(name: string): Promise<string> {
  const path = scratch(`${name}.qcow2`);
  await yard.createImage(path, { size: diskBytes });
  await addDisk(path);
  return path;
}

const addDisk = (filename: string): Promise<void> =>
  yard.add({ driver: 'qcow2', 'node-name': 'hda', file: { driver: 'file', filename } });

const counterOf = async (name: string): Promise<number> => {
  const target = scratch(name);
  await (await yard.backup({ disks: { hda: { target, format: 'raw' } } })).done;
  return readFileSync(target).readUInt32LE(0);
};

describe.skipIf(!installedV86)('v86 beside the block layer', () => {
  test('runs and stands with the machine, on a disk that keeps what is written', async () => {
    await makeDisk('runs');
    const mill = await startMill();
    await mill.moreRounds(50);
    await yard.qmp('stop');
    const counted = await counterOf('runs.raw');
    expect(counted).toBeGreaterThanOrEqual(50);
    expect(await counterOf('stands.raw')).toBe(counted);
    await yard.qmp('cont');
    await mill.moreRounds(50);
    await yard.qmp('system_reset');
    await mill.moreRounds(50);
    await mill.emulator.destroy();
    await yard.remove('hda');
  });

  test('is kept in its disk, and goes back', async () => {
    const path = await makeDisk('kept');
    const mill = await startMill();
    await mill.moreRounds(20);
    await yard.saveMachine('one');
    await yard.qmp('stop');
    await yard.loadMachine('one');
    const saved = await counterOf('saved.raw');
    await yard.qmp('cont');
    await mill.moreRounds(20);
    await yard.qmp('stop');
    expect(await counterOf('later.raw')).toBeGreaterThan(saved);
    await yard.close();

    yard = await openBlockyard();
    await addDisk(path);
    await yard.qmp('stop');
    const again = await startMill();
    await yard.loadMachine('one');
    expect(await counterOf('again.raw')).toBe(saved);
    await yard.qmp('cont');
    await again.moreRounds(20);
  });

  test('stops the machine when a request fails, and tries again when it goes on', async () => {
    const path = scratch('fails.img');
    writeFileSync(path, new Uint8Array(diskBytes));
    await yard.add({
      driver: 'blkdebug',
      'node-name': 'hda',
      image: { driver: 'file', filename: path },
      'inject-error': [{ event: 'none', iotype: 'write', errno: 5, sector: 20, once: true }],
    });
    const stopped = new Promise((resolve) => yard.on('STOP', resolve));
    const mill = await startMill();
    await stopped;
    expect(await yard.qmp('query-status')).toMatchObject({ status: 'io-error' });
    const { rounds } = mill;
    await yard.qmp('cont');
    await mill.moreRounds(10);
    await yard.qmp('stop');
    const counted = readFileSync(path).readUInt32LE(0);
    expect(counted).toBeGreaterThanOrEqual(rounds + 10);
  });

  test('ends with a machine that stands because its disk has failed', async () => {
    const path = scratch('ends.img');
    writeFileSync(path, new Uint8Array(diskBytes));
    await yard.add({
      driver: 'blkdebug',
      'node-name': 'hda',
      image: { driver: 'file', filename: path },
      'inject-error': [{ event: 'none', iotype: 'write', errno: 5 }],
    });
    const stopped = new Promise((resolve) => yard.on('STOP', resolve));
    const { emulator } = await startMill();
    await stopped;
    await emulator.destroy();
    await yard.remove('hda');
  });

  test('calls functions of v86, but for those that are the machine’s', async () => {
    await makeDisk('calls');
    const { emulator } = await startMill();
    expect(await emulator.run('is_running')).toBe(true);
    await expect(emulator.run('stop')).rejects.toThrow("'stop' is for the machine to do: use the monitor");
    await expect(emulator.run('fly')).rejects.toThrow("v86 has no function 'fly'");
  });

  test('leaves nothing of an emulator that cannot be made', async () => {
    await makeDisk('none');
    const options = { ...installedV86!.options, hda: { node: 'hda' } };
    await expect(yard.startInWorker('data:text/javascript,', options)).rejects.toThrow(
      "data:text/javascript, is not v86: it exports no class 'V86'",
    );
    await expect(yard.startInWorker('data:text/javascript,throw 1', options)).rejects.toThrow(
      'Could not load v86 from',
    );
    await expect(yard.startInWorker(module!, { ...options, bios: '/absent.bin' })).rejects.toThrow(
      "v86 cannot start without its 'bios'",
    );
    await expect(yard.startInWorker(module!, { ...options, wasm_fn: () => {} })).rejects.toThrow(
      "v86 in a worker has no option 'wasm_fn'",
    );
    await expect(yard.startInWorker(module!, { ...options, net_device: () => {} })).rejects.toThrow(
      "v86 in a worker cannot have 'net_device'",
    );
    await yard.remove('hda');
  });
});
