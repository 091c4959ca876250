import { afterEach, describe, expect, test } from 'vitest';
import { QtestClock } from '../../host/cli/system/qtest-clock.ts';
import { nodePlatform } from '../../host/platform/node/index.ts';
import { type ArrayDisk, arrayProtocol } from '../support/array-driver.ts';
import { TestMachine } from '../support/machine.ts';

const bytes = (value: number): Uint8Array => new Uint8Array(512).fill(value);

let running: TestMachine | undefined;
afterEach(async () => {
  await running?.close();
  running = undefined;
});

/** A running machine with one virtio disk `v` whose image is an array. */
async function withDisk(
  policies: string,
  options: { stopped?: boolean } = {},
): Promise<{ vm: TestMachine; disk: ArrayDisk }> {
  const disks: ArrayDisk[] = [];
  const vm = await TestMachine.start({
    moreDrivers: [arrayProtocol(disks)],
    nodes: [{ driver: 'array', 'node-name': 'n' }],
    devices: [`virtio-blk-pci,drive=n,id=v${policies}`],
  });
  running = vm;
  if (!options.stopped) await vm.run('cont');
  await vm.takeEvents();
  return { vm, disk: disks[0]! };
}

describe('a device', () => {
  test('writes and reads while the machine runs', async () => {
    const { vm, disk } = await withDisk('');
    const { front } = vm.device('v');
    await front.write(512, bytes(7));
    const back = new Uint8Array(512);
    await front.read(512, back);
    expect(back).toEqual(bytes(7));
    expect(disk.bytes[512]).toBe(7);
  });

  test('lets requests wait while the machine is stopped', async () => {
    const { vm, disk } = await withDisk('', { stopped: true });
    const written = vm.device('v').front.write(0, bytes(1));
    await vm.run('query-status');
    expect(disk.log).toEqual([]);
    await vm.run('cont');
    await written;
    expect(disk.bytes[0]).toBe(1);
  });

  test.each(['read', 'write'] as const)('reports a failed %s to the guest by default', async (op) => {
    const { vm, disk } = await withDisk('');
    disk.failNext = { op, errno: 'EIO' };
    await expect(vm.device('v').front[op](0, bytes(1))).rejects.toMatchObject({ errno: 'EIO' });
    expect(await vm.takeEvents()).toEqual([
      `BLOCK_IO_ERROR {"action":"report","device":"","node-name":"n","nospace":false,"operation":"${op}","qom-path":"/machine/peripheral/v/virtio-backend","reason":"Input/output error"}`,
    ]);
    expect(await vm.run('query-status')).toMatchObject({ status: 'running' });
  });

  test('passes over an error that is to be ignored', async () => {
    const { vm, disk } = await withDisk(',werror=ignore,rerror=ignore');
    disk.failNext = { op: 'write', errno: 'EIO' };
    await vm.device('v').front.write(0, bytes(1));
    const [event] = await vm.takeEvents();
    expect(event).toContain('"action":"ignore"');
    // Nothing would ever show an io-status.
    expect(event).not.toContain('nospace');
    expect(disk.bytes[0]).toBe(0);
  });

  test('stops the machine when space runs out, and tries again when it goes on', async () => {
    const { vm, disk } = await withDisk('');
    disk.failNext = { op: 'write', errno: 'ENOSPC' };
    const written = vm.device('v').front.write(0, bytes(9));
    await vm.run('query-version');
    expect(await vm.takeEvents()).toEqual([
      expect.stringMatching(/BLOCK_IO_ERROR.*"action":"stop".*"nospace":true/),
      'STOP',
    ]);
    expect(await vm.run('query-status')).toMatchObject({ status: 'io-error', running: false });
    expect(await vm.run('query-block')).toMatchObject([{ 'io-status': 'nospace' }]);
    await vm.run('cont');
    await written;
    expect(disk.bytes[0]).toBe(9);
    expect(await vm.run('query-block')).toMatchObject([{ 'io-status': 'ok' }]);
  });

  test('stops again when the second attempt fails too', async () => {
    const { vm, disk } = await withDisk(',rerror=stop');
    disk.failNext = { op: 'read', errno: 'EIO' };
    const read = vm.device('v').front.read(0, bytes(0));
    await vm.run('query-version');
    disk.failNext = { op: 'read', errno: 'EIO' };
    await vm.run('cont');
    expect(await vm.run('query-status')).toMatchObject({ status: 'io-error' });
    await vm.run('cont');
    await read;
  });

  test('fails what waits for the machine when the machine ends', async () => {
    const { vm } = await withDisk('', { stopped: true });
    const written = vm.device('v').front.write(0, bytes(1));
    const failed = expect(written).rejects.toMatchObject({ errno: 'ENODEV' });
    await vm.close();
    running = undefined;
    await failed;
  });

  test('counts what it does', async () => {
    const { vm, disk } = await withDisk('');
    const { front } = vm.device('v');
    await front.write(0, bytes(1));
    await front.flush();
    disk.failNext = { op: 'read', errno: 'EIO' };
    await expect(front.read(0, bytes(0))).rejects.toThrow();
    expect(await vm.run('query-blockstats')).toMatchObject([
      {
        qdev: '/machine/peripheral/v/virtio-backend',
        stats: {
          wr_bytes: 512,
          wr_operations: 1,
          flush_operations: 1,
          rd_operations: 0,
          failed_rd_operations: 1,
        },
      },
    ]);
  });
});

describe('stop', () => {
  test('leaves everything that was written durable', async () => {
    const { vm, disk } = await withDisk('');
    await vm.device('v').front.write(0, bytes(1));
    await vm.run('stop');
    expect(disk.log.at(-1)).toMatch(/^flush/);
    expect(await vm.takeEvents()).toEqual(['STOP']);
    await vm.run('stop');
    expect(await vm.takeEvents()).toEqual([]);
  });

  test('waits for requests that are on their way', async () => {
    const { vm, disk } = await withDisk('');
    let open = (): void => {};
    disk.gate = new Promise((resolve) => {
      open = resolve;
    });
    const written = vm.device('v').front.write(0, bytes(1));
    let isStopped = false;
    const stopped = vm.run('stop').then(() => {
      isStopped = true;
    });
    await new Promise((resolve) => setImmediate(resolve));
    expect(isStopped).toBe(false);
    disk.gate = undefined;
    open();
    await stopped;
    await written;
  });
});

describe('limits under a clock that stands still', () => {
  test('let a request go when the clock has been moved far enough, and not before', async () => {
    const clock = new QtestClock(nodePlatform.clock);
    const vm = await TestMachine.start({
      guestClock: clock,
      drives: ['if=none,id=d,driver=null-co,iops=10'],
      devices: ['virtio-blk-pci,drive=d,id=v'],
    });
    running = vm;
    await vm.run('cont');
    const { front } = vm.device('v');
    const done: number[] = [];
    const requests = Array.from({ length: 4 }, (_, i) => front.read(0, bytes(0)).then(() => done.push(i)));
    await vm.run('query-version');
    const atOnce = done.length;
    expect(atOnce).toBeLessThan(4);
    const next = clock.untilNextTimer()!;
    await clock.advanceTo(clock.nowNs() + next - 1);
    await vm.run('query-version');
    expect(done).toHaveLength(atOnce);
    await clock.advanceTo(clock.nowNs() + 1e9);
    await Promise.all(requests);
    expect(done).toEqual([0, 1, 2, 3]);
  });
});
