/** The tree of objects: which object a path means, and that others than users can add to it. */
import { beforeEach, describe, expect, test } from 'vitest';
import { BlockBackend } from '../../host/block/backend.ts';
import { BlockGraph } from '../../host/block/graph.ts';
import { Perm } from '../../host/block/permissions.ts';
import { QomContainer, type QomObject, QomTree } from '../../host/objects/qom.ts';
import { UserObjects } from '../../host/objects/user-objects.ts';
import type { CommandContext } from '../../host/qmp/command.ts';
import { backendOfDevice } from '../../host/qmp/device-backend.ts';
import { VirtualPlatform } from '../support/virtual-platform.ts';

const disk: QomObject = { typeName: 'disk', properties: [], isDevice: true };
let speed = 0;
const controller: QomObject = {
  typeName: 'controller',
  isDevice: true,
  properties: [
    { name: 'speed', type: 'int', get: () => speed, set: (value) => void (speed = value as number) },
    { name: 'drive', type: 'link<disk>', target: () => disk },
    { name: 'secret', type: 'string', set: () => {} },
  ],
};

let tree: QomTree;

function mountMachine(): void {
  const peripheral = new QomContainer();
  peripheral.children.set('ctl', controller);
  peripheral.children.set('d0', disk);
  const machine = new QomContainer();
  machine.children.set('peripheral', peripheral);
  tree.mount({ name: 'machine', object: machine });
}

beforeEach(() => {
  tree = new QomTree();
  mountMachine();
});

describe('a path', () => {
  test.each(['/machine/peripheral/ctl', 'ctl', 'peripheral/ctl', 'machine//peripheral/ctl/'])(
    'such as %s finds an object from the root or by its end',
    (path) => {
      expect(tree.resolve(path)).toBe(controller);
    },
  );

  test('goes through links', () => {
    expect(tree.resolve('/machine/peripheral/ctl/drive')).toBe(disk);
    expect(tree.resolve('ctl/drive')).toBe(disk);
    expect(tree.pathOf(disk)).toBe('/machine/peripheral/d0');
  });

  test('that leads nowhere names a device that there is not', () => {
    for (const path of ['/ctl', 'peripheral/zz', '/machine/zz/ctl', 'ctl/speed']) {
      expect(() => tree.resolve(path)).toThrow(
        expect.objectContaining({ class: 'DeviceNotFound', message: `Device '${path}' not found` }),
      );
    }
  });

  test('with several ends is ambiguous', () => {
    const others = new QomContainer();
    others.children.set('ctl', { typeName: 'other', properties: [] });
    tree.mount({ name: 'others', object: others });
    expect(() => tree.resolve('ctl')).toThrow("Path 'ctl' is ambiguous");
    expect(tree.resolve('others/ctl').typeName).toBe('other');
  });
});

describe('the properties of an object', () => {
  test('are its type, its children and its own', () => {
    expect(tree.propertiesOf(tree.resolve('peripheral')).map(({ name, type }) => `${name}: ${type}`)).toEqual(
      ['type: string', 'ctl: child<controller>', 'd0: child<disk>'],
    );
    expect(tree.get(tree.resolve('/machine'), 'peripheral')).toBe('/machine/peripheral');
  });

  test('are read and written as they allow', async () => {
    await tree.set(controller, 'speed', 7);
    expect(tree.get(controller, 'speed')).toBe(7);
    expect(() => tree.get(controller, 'secret')).toThrow("Property 'controller.secret' is not readable");
    await expect(tree.set(controller, 'drive', 1)).rejects.toThrow(
      "Property 'controller.drive' is not writable",
    );
    await expect(tree.set(controller, 'zz', 1)).rejects.toThrow("Property 'controller.zz' not found");
  });
});

describe('the backend of a device', () => {
  test('is the one that the device at that path holds', () => {
    const graph = new BlockGraph({ platform: new VirtualPlatform(), drivers: [] });
    const objects = new UserObjects({ graph });
    tree = objects.tree;
    mountMachine();
    const backend = BlockBackend.create(graph, { name: '', perm: Perm.none, shared: Perm.all });
    const path = '/machine/peripheral/d0';
    backend.device = { name: 'd0', path, isRemovable: false, isLocked: false, hasIoStatus: false };
    const context = { graph, objects } as CommandContext;
    expect(backendOfDevice(context, 'd0')).toBe(backend);
    expect(backendOfDevice(context, path)).toBe(backend);
    expect(() => backendOfDevice(context, 'ctl')).toThrow('Device does not have a block device backend');
    expect(() => backendOfDevice(context, '/machine')).toThrow('/machine is not a device');
  });
});
