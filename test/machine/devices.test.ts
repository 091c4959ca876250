import fc from 'fast-check';
import { afterEach, describe, expect, test } from 'vitest';
import { bytes, number64, readProperty } from '../../host/machine/property.ts';
import { plug, TestMachine, type TestMachineOptions } from '../support/machine.ts';

let running: TestMachine | undefined;
afterEach(async () => {
  await running?.close();
  running = undefined;
});

async function start(options: TestMachineOptions): Promise<TestMachine> {
  running = await TestMachine.start(options);
  return running;
}

const disk = (name: string): object => ({ driver: 'null-co', 'node-name': name });

describe('devices', () => {
  test('need the bus they go on', async () => {
    const { machine } = await start({ type: 'none' });
    await expect(plug(machine, 'virtio-blk-pci,drive=x')).rejects.toThrow(
      "No 'PCI' bus found for device 'virtio-blk-pci'",
    );
    await expect(plug(machine, 'scsi-cd')).rejects.toThrow("No 'SCSI' bus found for device 'scsi-cd'");
  });

  test('that fail to start leave neither device nor bus nor disk behind', async () => {
    const vm = await start({ nodes: [disk('n')] });
    const { machine } = vm;
    await expect(plug(machine, 'virtio-blk-pci,drive=n,id=v,queue-size=3')).rejects.toThrow(
      'invalid queue-size property (3), must be a power of 2 (max 1024)',
    );
    expect(machine.findDevice('v')).toBeUndefined();
    expect(await vm.run('query-block')).toEqual([]);
    await vm.run('blockdev-del', { 'node-name': 'n' });
  });

  test('find free places on a SCSI bus, each its own', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.record({ id: fc.option(fc.nat(3)), lun: fc.option(fc.nat(3)) }), { maxLength: 12 }),
        async (wanted) => {
          const vm = await TestMachine.start({ devices: ['virtio-scsi-pci'] });
          const places = new Set<string>();
          for (const { id, lun } of wanted) {
            const place = `${id === null ? '' : `,scsi-id=${id}`}${lun === null ? '' : `,lun=${lun}`}`;
            const taken = id !== null && lun !== null && places.has(`${id}:${lun}`);
            const plugged = plug(vm.machine, `scsi-cd${place}`);
            if (taken) {
              await expect(plugged).rejects.toThrow('lun already used by');
              continue;
            }
            await plugged;
            const device = vm.machine.devices.at(-1)!;
            const get = (property: string): Promise<unknown> =>
              vm.run('qom-get', { path: device.path, property });
            const at = [await get('scsi-id'), await get('lun')];
            if (id !== null) expect(at[0]).toBe(id);
            if (lun !== null) expect(at[1]).toBe(lun);
            expect(places).not.toContain(at.join(':'));
            places.add(at.join(':'));
          }
          await vm.close();
        },
      ),
      { numRuns: 30 },
    );
  });

  test('that wait for the guest go when the machine runs, or is reset', async () => {
    const vm = await start({
      nodes: [disk('a'), disk('b')],
      devices: ['virtio-blk-pci,drive=a,id=x', 'virtio-blk-pci,drive=b,id=y'],
    });
    await vm.run('device_del', { id: 'x' });
    expect(await vm.takeEvents()).toEqual([]);
    await expect(vm.run('device_del', { id: 'x' })).rejects.toThrow(
      'Device x is already in the process of unplug',
    );
    await vm.run('system_reset');
    expect(await vm.takeEvents()).toEqual([
      'RESET {"guest":false,"reason":"host-qmp-system-reset"}',
      'DEVICE_DELETED {"path":"/machine/peripheral/x/virtio-backend"}',
      'DEVICE_DELETED {"device":"x","path":"/machine/peripheral/x"}',
    ]);
    await vm.run('cont');
    await vm.run('device_del', { id: 'y' });
    await vm.takeEvents();
    expect(await vm.run('query-block')).toEqual([]);
  });

  test('take the devices on their bus along', async () => {
    const vm = await start({
      nodes: [disk('a')],
      devices: ['virtio-scsi-pci,id=s', 'scsi-hd,drive=a,id=h', 'scsi-cd,id=c'],
    });
    await vm.run('cont');
    await vm.takeEvents();
    await vm.run('device_del', { id: 's' });
    const gone = await vm.takeEvents();
    expect(gone.map((event) => /"path":"([^"]*)"/.exec(event)?.[1])).toEqual([
      '/machine/peripheral/h',
      '/machine/peripheral/c',
      '/machine/peripheral/s/virtio-backend',
      '/machine/peripheral/s',
    ]);
    await expect(vm.run('device_add', { driver: 'scsi-cd' })).rejects.toThrow("No 'SCSI' bus found");
  });

  test('delete the drive that was made for them when they are unplugged', async () => {
    const vm = await start({
      drives: ['if=none,id=d,driver=null-co'],
      devices: ['virtio-blk-pci,drive=d,id=v'],
    });
    await vm.run('cont');
    await vm.run('device_del', { id: 'v' });
    expect(await vm.run('query-block')).toEqual([]);
    expect(await vm.run('query-named-block-nodes')).toEqual([]);
  });

  test('share a disk only if both say so', async () => {
    const { machine } = await start({ nodes: [disk('n')], devices: ['virtio-blk-pci,drive=n,share-rw=on'] });
    await expect(plug(machine, 'virtio-blk-pci,drive=n')).rejects.toThrow(
      "Permission conflict on node 'n': permissions 'write' are both required by block device " +
        "'/machine/peripheral-anon/device[0]/virtio-backend' (uses node 'n' as 'root' child) and unshared by block " +
        "device '/machine/peripheral-anon/device[1]/virtio-backend' (uses node 'n' as 'root' child).",
    );
    await plug(machine, 'virtio-blk-pci,drive=n,share-rw=on');
  });

  test('show their properties, and change only the live ones', async () => {
    const vm = await start({
      nodes: [disk('n')],
      devices: ['virtio-blk-pci,drive=n,id=v,serial=abc,bootindex=1'],
    });
    const get = (property: string): Promise<unknown> => vm.run('qom-get', { path: 'v', property });
    expect([await get('serial'), await get('drive'), await get('num-queues')]).toEqual(['abc', 'n', 1]);
    await vm.run('qom-set', { path: 'v', property: 'bootindex', value: 4 });
    expect(await get('bootindex')).toBe(4);
    await expect(vm.run('qom-set', { path: 'v', property: 'serial', value: 'x' })).rejects.toThrow(
      "Attempt to set property 'serial' on anonymous device (type 'virtio-blk-device') after it was realized",
    );
    expect(await vm.run('qom-list', { path: '/machine/peripheral' })).toContainEqual({
      name: 'v',
      type: 'child<virtio-blk-pci>',
    });
  });

  test('keep numbers of 64 bits as they were given', () => {
    const [wwn, size] = [number64('wwn'), bytes('max_io_size')];
    expect(readProperty(wwn, '0x5000c500a1b2c3d5', true)).toBe(0x5000c500a1b2c3d5n);
    expect(readProperty(wwn, '-1', true)).toBe(2n ** 64n - 1n);
    expect(readProperty(wwn, 2n ** 63n + 1n, false)).toBe(2n ** 63n + 1n);
    expect(readProperty(wwn, '7', true)).toBe(7);
    expect(readProperty(size, '9223372036854775809', true)).toBe(2n ** 63n + 1n);
    expect(readProperty(size, '8P', true)).toBe(2n ** 53n);
    expect(readProperty(size, '4k', true)).toBe(4096);
  });

  test('that are not served are refused by name', async () => {
    const { machine } = await start({ nodes: [disk('n')] });
    await expect(plug(machine, 'nvme,drive=n')).rejects.toThrow("device model 'nvme' is not supported");
  });
});

describe('the drives that a machine has by default', () => {
  test.each([
    ['pc', ['ide1-cd0', 'floppy0', 'sd0']],
    ['q35', ['ide2-cd0', 'sd0']],
    ['none', []],
  ])('on %s', async (type, names) => {
    const vm = await start({ type, hasDefaults: true });
    const infos = (await vm.run('query-block')) as { device: string }[];
    expect(infos.map(({ device }) => device)).toEqual(names);
  });
});
