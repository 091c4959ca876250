import { writeFileSync } from 'node:fs';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { TestMachine } from '../support/machine.ts';
import { scratchDirectory } from '../support/scratch.ts';

const scratch = scratchDirectory();
const null0 = { driver: 'null-co', 'node-name': 'n0' };
let vm: TestMachine;

beforeEach(async () => {
  writeFileSync(scratch('cd.iso'), new Uint8Array(4096));
  vm = await TestMachine.start({
    drives: [
      `if=none,id=cd,media=cdrom,file=${scratch('cd.iso')},format=raw`,
      'if=floppy,driver=null-co',
      'if=none,id=hd,driver=null-co',
    ],
    devices: ['virtio-scsi-pci', 'scsi-cd,drive=cd,id=c', 'scsi-hd,drive=hd,id=h'],
    nodes: [null0],
  });
});
afterEach(() => vm.close());

const moved = (open: boolean): string => `DEVICE_TRAY_MOVED {"device":"cd","id":"c","tray-open":${open}}`;

async function mediumOf(device: string): Promise<unknown> {
  const infos = (await vm.run('query-block')) as { device: string; inserted?: { file: string } }[];
  return infos.find((info) => info.device === device)?.inserted?.file;
}

describe('the tray', () => {
  test('tells only when it really moves', async () => {
    await vm.run('blockdev-open-tray', { id: 'c' });
    await vm.run('blockdev-open-tray', { id: 'c' });
    await vm.run('blockdev-close-tray', { device: 'cd' });
    await vm.run('blockdev-close-tray', { id: 'c' });
    expect(await vm.takeEvents()).toEqual([moved(true), moved(false)]);
  });

  test('of a locked drive opens only by force', async () => {
    vm.device('c').front.setLocked(true);
    await expect(vm.run('blockdev-open-tray', { id: 'c' })).rejects.toThrow(
      "Device 'c' is locked and force was not specified, wait for tray to open and try again",
    );
    await vm.run('blockdev-open-tray', { id: 'c', force: true });
    expect(await vm.takeEvents()).toEqual([moved(true)]);
  });

  test('is none of a hard disk', async () => {
    for (const command of ['blockdev-open-tray', 'blockdev-close-tray', 'eject']) {
      await expect(vm.run(command, { device: 'hd' })).rejects.toThrow("Device 'hd' is not removable");
    }
  });

  test('is asked for by exactly one name', async () => {
    for (const args of [{}, { device: 'cd', id: 'c' }]) {
      await expect(vm.run('eject', args)).rejects.toThrow("Need exactly one of 'device' and 'id'");
    }
  });
});

describe('a medium', () => {
  test('comes out of an open tray, and another goes in', async () => {
    await expect(vm.run('blockdev-remove-medium', { id: 'c' })).rejects.toThrow(
      "Tray of device 'c' is not open",
    );
    await vm.run('eject', { device: 'cd' });
    expect(await mediumOf('cd')).toBeUndefined();
    await vm.run('blockdev-insert-medium', { id: 'c', 'node-name': 'n0' });
    expect(await mediumOf('cd')).toBe('null-co://');
    await expect(vm.run('blockdev-insert-medium', { id: 'c', 'node-name': 'n0' })).rejects.toThrow(
      "Node 'n0' is already in use",
    );
    await vm.run('blockdev-close-tray', { id: 'c' });
    await expect(vm.run('blockdev-del', { 'node-name': 'n0' })).rejects.toThrow('n0');
    await vm.run('eject', { device: 'cd' });
    await vm.run('blockdev-del', { 'node-name': 'n0' });
  });

  test('stays when the next one cannot be opened', async () => {
    const file = scratch('cd.iso');
    await expect(
      vm.run('blockdev-change-medium', { device: 'cd', filename: scratch('missing') }),
    ).rejects.toThrow('No such file or directory');
    expect(await mediumOf('cd')).toBe(file);
    expect(await vm.takeEvents()).toEqual([]);
  });

  test('is open as the one before unless somebody says how', async () => {
    const change = (more: object): Promise<unknown> =>
      vm.run('blockdev-change-medium', { device: 'cd', filename: scratch('cd.iso'), format: 'raw', ...more });
    const isReadOnly = async (): Promise<unknown> =>
      ((await vm.run('query-block')) as { inserted?: { ro: boolean } }[])[0]?.inserted?.ro;
    await change({});
    expect(await isReadOnly()).toBe(true);
    await change({ 'read-only-mode': 'read-write' });
    expect(await isReadOnly()).toBe(false);
    await vm.run('eject', { device: 'cd' });
    await change({ 'read-only-mode': 'retain' });
    expect(await isReadOnly()).toBe(false);
    expect(await vm.takeEvents()).toEqual([true, false, true, false, true, false].map((open) => moved(open)));
  });

  test('of a floppy drive changes without a tray', async () => {
    await vm.run('eject', { device: 'floppy0' });
    expect(await mediumOf('floppy0')).toBeUndefined();
    await vm.run('blockdev-change-medium', { device: 'floppy0', filename: 'null-co://', format: 'null-co' });
    expect(await mediumOf('floppy0')).toBe('null-co://');
    expect(await vm.takeEvents()).toEqual([]);
  });
});
