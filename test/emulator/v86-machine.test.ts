import { spawnSync } from 'node:child_process';
import { afterEach, describe, expect, test } from 'vitest';
import { type V86Drives, v86Drives } from '../../host/emulator/v86/drives.ts';
import type { V86Emulator } from '../../host/emulator/v86/emulator.ts';
import { V86Machine } from '../../host/emulator/v86/machine.ts';
import { nodePlatform } from '../../host/platform/node/index.ts';
import { type ArrayDisk, arrayProtocol } from '../support/array-driver.ts';
import { TestMachine, type TestMachineOptions } from '../support/machine.ts';
import { run } from '../support/qemu.ts';
import { readImage } from '../support/read-image.ts';
import { scratchDirectory } from '../support/scratch.ts';
import { haveQemu } from '../support/tools.ts';
import { installedV86 } from '../support/v86.ts';
import { VirtualPlatform } from '../support/virtual-platform.ts';
import { sectorMill } from './sector-mill.ts';

const scratch = scratchDirectory();
const diskBytes = 1 << 20;

/** The mill on a machine, and how many rounds it has told of. */
class Mill {
  rounds = 0;
  private wakers: (() => void)[] = [];

  private constructor(
    readonly vm: TestMachine,
    readonly drives: V86Drives,
    readonly v86: V86Machine,
  ) {
    const { emulator } = v86;
    emulator.add_listener('serial0-output-byte', () => {
      this.rounds++;
      for (const wake of this.wakers.splice(0)) wake();
    });
  }

  static async start(options: TestMachineOptions): Promise<Mill> {
    const vm = await TestMachine.start(options);
    const drives = v86Drives(vm.machine);
    const { V86, options: common } = installedV86!;
    const v86 = await V86Machine.start(vm.machine, V86, drives, {
      ...common,
      multiboot: { buffer: sectorMill() },
    });
    return new Mill(vm, drives, v86);
  }

  get emulator(): V86Emulator {
    return this.v86.emulator;
  }

  async moreRounds(count: number): Promise<void> {
    const goal = this.rounds + count;
    while (this.rounds < goal) await new Promise<void>((resolve) => this.wakers.push(resolve));
  }

  async close(): Promise<void> {
    await this.v86.close();
    await this.vm.close();
  }
}

let mill: Mill | undefined;
afterEach(async () => {
  await mill?.close();
  mill = undefined;
});

async function onQcow2(name: string): Promise<{ mill: Mill; path: string }> {
  const path = scratch(`${name}.qcow2`);
  run('qemu-img', 'create', '-q', '-f', 'qcow2', path, String(diskBytes));
  mill = await Mill.start({ drives: [`if=ide,index=0,format=qcow2,id=d,file=${path}`] });
  return { mill, path };
}

async function onArray(
  policies: string,
  options: TestMachineOptions = {},
): Promise<{ mill: Mill; disk: ArrayDisk }> {
  const disks: ArrayDisk[] = [];
  mill = await Mill.start({
    moreDrivers: [arrayProtocol(disks)],
    nodes: [{ driver: 'array', 'node-name': 'n', size: diskBytes }],
    devices: [`ide-hd,drive=n,id=d,bus=ide.0${policies}`],
    ...options,
  });
  return { mill, disk: disks[0]! };
}

const counterAt = (content: Uint8Array, sector: number): number =>
  new DataView(content.buffer, content.byteOffset).getUint32(sector * 512, true);

const status = (vm: TestMachine): Promise<unknown> => vm.run('query-status');

describe.skipIf(!installedV86)('v86 as the processor of a machine', () => {
  test.skipIf(!haveQemu)('runs and stands with the machine, and leaves a sound image', async () => {
    const { mill, path } = await onQcow2('runs');
    const { vm, emulator } = mill;
    expect(emulator.is_running()).toBe(false);
    expect(await status(vm)).toMatchObject({ status: 'prelaunch' });
    await vm.run('cont');
    await mill.moreRounds(200);
    expect(await status(vm)).toMatchObject({ status: 'running', running: true });

    await vm.run('stop');
    expect(emulator.is_running()).toBe(false);
    const { rounds } = mill;
    // All that was answered is in the file: somebody else finds it there, while we have it open.
    const copy = scratch('runs-copy.qcow2');
    spawnSync('cp', [path, copy]);
    const content = await readImage(nodePlatform, copy, diskBytes);
    const counted = counterAt(content, 0);
    expect(counted).toBeGreaterThanOrEqual(rounds);
    expect(counted).toBeLessThanOrEqual(rounds + 1);
    expect(counterAt(content, 1 + (rounds % 64))).toBe(rounds);
    expect(run('qemu-img', 'check', copy)).toContain('No errors were found');
    await vm.run('query-block');
    expect(mill.rounds).toBe(rounds);

    await vm.run('cont');
    await mill.moreRounds(10);
    expect(emulator.is_running()).toBe(true);
  });

  test('is started again by a cont that comes before a stop is over', async () => {
    const { mill } = await onArray('');
    const { vm, v86, emulator } = mill;
    await vm.run('cont');
    await mill.moreRounds(1);
    const stopping = v86.machine.stop();
    await v86.machine.cont();
    await stopping;
    await vm.run('cont');
    await mill.moreRounds(1);
    expect(emulator.is_running()).toBe(true);
  });

  test('begins anew when the machine is reset', async () => {
    const { mill } = await onArray('');
    await mill.vm.run('cont');
    await mill.moreRounds(1);
    await mill.vm.run('system_reset');
    await mill.moreRounds(5);
    expect(await status(mill.vm)).toMatchObject({ running: true });
  });

  test('stops when the machine is shut down', async () => {
    const { mill } = await onArray('');
    await mill.vm.run('cont');
    await mill.moreRounds(1);
    await mill.vm.server.stop();
    await mill.v86.close();
    expect(mill.emulator.is_running()).toBe(false);
  });

  test('stands after an error that stops the machine, and loses nothing when it goes on', async () => {
    const { mill, disk } = await onArray(',werror=stop');
    const { vm, emulator } = mill;
    await vm.run('cont');
    await mill.moreRounds(3);
    await vm.takeEvents();
    disk.failNext = { op: 'write', errno: 'EIO' };
    while (emulator.is_running()) await new Promise((resolve) => setImmediate(resolve));
    expect(await vm.takeEvents()).toEqual([
      expect.stringMatching(/BLOCK_IO_ERROR .*"action":"stop".*"operation":"write"/),
      'STOP',
    ]);
    expect(await status(vm)).toMatchObject({ status: 'io-error', running: false });
    await expect(mill.v86.saveState()).rejects.toThrow('The guest waits for a request that has failed');
    await vm.run('cont');
    await mill.moreRounds(70);
    await vm.run('stop');
    const counted = counterAt(disk.bytes, 0);
    // Every one of the 64 sectors holds the last count that belongs there: no write is missing.
    for (let back = 1; back < 64; back++) {
      expect(counterAt(disk.bytes, 1 + ((counted - back) % 64))).toBe(counted - back);
    }
  });

  test('goes on after an error that it cannot be told of', async () => {
    const { mill, disk } = await onArray(',rerror=report,werror=ignore');
    const { vm } = mill;
    await vm.run('cont');
    await mill.moreRounds(100);
    await vm.takeEvents();
    disk.failNext = { op: 'read', errno: 'EIO' };
    while (disk.failNext) await mill.moreRounds(1);
    await vm.run('stop');
    expect((await vm.takeEvents())[0]).toMatch(/BLOCK_IO_ERROR .*"action":"report".*"operation":"read"/);
    // The guest has read zeros, and counts from there.
    expect(counterAt(disk.bytes, 0)).toBeLessThan(mill.rounds - 90);
  });

  test('saves and restores its state together with disks that the caller brings back', async () => {
    const { mill, disk } = await onArray('');
    const { vm, v86, drives } = mill;
    await vm.run('cont');
    await mill.moreRounds(5);
    await expect(v86.saveState()).rejects.toThrow('The machine runs: stop it first');
    await vm.run('stop');
    const before = disk.bytes.slice();
    drives.hda!.disk.setReference({ snapshot: 'five', generation: 0 });
    const state = await v86.saveState();
    expect(state.byteLength).toBeGreaterThan(0);
    await vm.run('cont');
    await mill.moreRounds(500);
    await vm.run('stop');
    await expect(v86.restoreState(state)).rejects.toThrow(
      /^The state belongs to snapshot 'five' of hda, which now is snapshot 'five' with \d+ writes after it$/,
    );

    disk.bytes = before.slice();
    drives.hda!.disk.setReference({ snapshot: 'five', generation: 0 });
    await v86.restoreState(state);
    const counted = counterAt(before, 0);
    mill.rounds = counted;
    await vm.run('cont');
    await mill.moreRounds(1);
    await vm.run('stop');
    expect(Math.abs(counterAt(disk.bytes, 0) - mill.rounds)).toBeLessThanOrEqual(1);
  });

  test('says that a machine without a first disk cannot be reset', async () => {
    mill = await Mill.start({});
    await expect(mill.vm.machine.reset()).rejects.toThrow(
      'v86 cannot reset a machine that has no first disk',
    );
  });

  test('begins from a first state, but not with other disks', async () => {
    const { mill: saver } = await onArray('');
    await saver.vm.run('cont');
    await saver.moreRounds(3);
    await saver.vm.run('stop');
    saver.drives.hda!.disk.setReference({ snapshot: 'three', generation: 0 });
    const options = { ...installedV86!.options, initial_state: { buffer: await saver.v86.saveState() } };
    await saver.close();

    const { mill: next, disk } = await onArray('');
    const { V86 } = installedV86!;
    const other = V86Machine.start(next.vm.machine, V86, v86Drives(next.vm.machine), options);
    await expect(other).rejects.toThrow("belongs to snapshot 'three' of hda, which now is no snapshot");
    const drives = v86Drives(next.vm.machine);
    drives.hda!.disk.setReference({ snapshot: 'three', generation: 0 });
    await next.v86.close();
    const guest = await V86Machine.start(next.vm.machine, V86, drives, options);
    await next.vm.run('cont');
    // The first dot may be of a round that the saved guest had almost finished.
    let dots = 0;
    await new Promise<void>((resolve) =>
      guest.emulator.add_listener('serial0-output-byte', () => void (++dots === 3 && resolve())),
    );
    await next.vm.run('stop');
    expect(counterAt(disk.bytes, 0)).toBeGreaterThan(0);
    await guest.close();
  });

  test('answers what a limit holds up when the machine is to stand', async () => {
    const platform = new VirtualPlatform();
    const { mill, disk } = await onArray('', { platform });
    const limit = { id: 'd', bps: 0, bps_rd: 0, bps_wr: 0, iops: 1, iops_rd: 0, iops_wr: 0 };
    await mill.vm.run('block_set_io_throttle', limit);
    await mill.vm.run('cont');
    // Time stands, so there are no more than the first few requests.
    while (mill.drives.hda!.isIdle) await new Promise((resolve) => setImmediate(resolve));
    await mill.vm.run('stop');
    expect(mill.drives.hda!.isIdle).toBe(true);
    expect(disk.log.length).toBeGreaterThan(0);
  });

  test('has disks only where v86 has them', async () => {
    const vm = await TestMachine.start({
      nodes: [{ driver: 'null-co', 'node-name': 'n', size: diskBytes, 'read-zeroes': true }],
      devices: ['ide-hd,drive=n,id=d,bus=ide.1'],
    });
    expect(() => v86Drives(vm.machine)).toThrow("v86 has no place for ide-hd as unit 0 of bus 'ide.1'");
    await vm.close();
  });
});
