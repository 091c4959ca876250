/** Machines that are kept in their disks, where QEMU cannot be asked: what is in an image is not to be trusted. */
import { afterEach, beforeEach, expect, test } from 'vitest';
import type { BlockBackend } from '../../host/block/backend.ts';
import { createImage } from '../../host/block/create.ts';
import { Perm } from '../../host/block/permissions.ts';
import type { SnapshotStorage } from '../../host/block/snapshot-storage.ts';
import { snapshotNode } from '../../host/block/snapshots.ts';
import { drivers } from '../../host/drivers.ts';
import { createGraph } from '../../host/graph.ts';
import { SavedMachines } from '../../host/machine/saved-machines.ts';
import { nodePlatform } from '../../host/platform/node/index.ts';
import { TestMachine } from '../support/machine.ts';
import { scratchDirectory } from '../support/scratch.ts';

const scratch = scratchDirectory();
let vm: TestMachine;
let images = 0;
let reasons: string[];

beforeEach(async () => {
  const filename = scratch(`${images++}.qcow2`);
  const graph = createGraph({ platform: nodePlatform, drivers });
  await createImage(graph, { filename, format: 'qcow2', size: 1 << 20, quiet: true });
  vm = await TestMachine.start({ type: 'none', drives: [`if=none,id=a,file=${filename}`] });
  await disk().setPermissions(Perm.consistentRead | Perm.write, Perm.all);
  reasons = [];
});
afterEach(() => vm.close());

const machines = (): SavedMachines => new SavedMachines(vm.machine, (line) => reasons.push(line));
const disk = (): BlockBackend => vm.machine.graph.backends.find('a')!; // it was given one
const storage = (): SnapshotStorage => snapshotNode(disk().node)!.driver.snapshots!; // qcow2 has them

/** Fills the disk with `value`; its first byte tells which it was. */
async function write(value: number): Promise<void> {
  await disk().write(0, new Uint8Array(512).fill(value));
}

async function firstByte(): Promise<number> {
  const bytes = new Uint8Array(512);
  await disk().read(0, bytes);
  return bytes[0]!; // of 512
}

/** A snapshot with this for its state. */
async function keep(name: string, state: string, vmStateBytes = state.length): Promise<void> {
  await storage().saveVmState(0, new TextEncoder().encode(state));
  const { seconds } = nodePlatform.clock.wallClock();
  const times = { dateSeconds: seconds, dateNanoseconds: 0, vmClockNs: 0n };
  await storage().create({ name, ...times, vmStateBytes, icount: undefined });
}

const signed = (json: string): string => `blockyard machine state 1\n${json}`;

test.each([
  ['of another program', 'QEVM\0\0\0\x03', /^Not a machine state of blockyard$/],
  ['that is no JSON', signed('{"machine": '), /^JSON parse error/],
  ['that lacks something', signed('{"machine": "none"}'), /^Parameter 'devices' is missing$/],
  ['with something else in it', signed('{"machine": 1, "devices": []}'), /^Invalid parameter type/],
  ['of another machine', signed('{"machine": "pc", "devices": []}'), /^Machine type received is 'pc'/],
])('a state %s changes nothing', async (_, state, reason) => {
  await write(1);
  await keep('x', state);
  await write(2);
  await expect(machines().load('x')).rejects.toThrow('Error -22 while loading VM state');
  expect(reasons).toEqual([expect.stringMatching(reason)]);
  expect(await firstByte()).toBe(2);
});

test('a state without an end is not read', async () => {
  await keep('x', signed('{}'), 2 ** 40);
  await expect(machines().load('x')).rejects.toThrow('Error -22 while loading VM state');
  expect(reasons[0]).toContain('at most');
});

test('a tray that there is no more is passed over', async () => {
  const tray = { path: '/machine/x', section: 'x', tray: { open: true, locked: false } };
  await keep('x', signed(JSON.stringify({ machine: 'none', devices: [tray] })));
  await machines().load('x');
});

test('the time of the machine goes back with it', async () => {
  await vm.run('cont');
  await machines().save('x');
  const saved = storage().list()[0]!.vmClockNs; // just made
  vm.machine.runState.virtualClockNs = 3_600e9;
  expect(vm.machine.runState.virtualClockNs).toBeGreaterThanOrEqual(3_600e9);
  await machines().load('x');
  const now = vm.machine.runState.virtualClockNs;
  expect(now).toBeGreaterThanOrEqual(Number(saved));
  expect(now).toBeLessThan(3_600e9);
});
