import { expect, test } from 'vitest';
import { DriverRegistry } from '../../host/block/driver-registry.ts';
import { leavesFileToImage, optionsOfFilename } from '../../host/block/named-options.ts';
import { drivers } from '../../host/drivers.ts';
import { nodePlatform } from '../../host/platform/node/index.ts';

const registry = new DriverRegistry(drivers);
const known = { drivers: registry, files: nodePlatform.files };
const named = (filename: string, options: object = {}): Promise<object> =>
  optionsOfFilename(known, filename, options as Record<string, unknown>);

test('a name belongs to the protocol below the format, whose options join it', async () => {
  expect(await named('a.img', { driver: 'raw', 'node-name': 'r', file: { locking: 'off' } })).toEqual({
    driver: 'raw',
    'node-name': 'r',
    file: { driver: 'file', filename: 'a.img', locking: 'off' },
  });
  expect(await named('a.img')).toEqual({ file: { driver: 'file', filename: 'a.img' } });
  expect(await named('a.img', { driver: 'file', locking: 'off' })).toEqual({
    driver: 'file',
    filename: 'a.img',
    locking: 'off',
  });
});

test('formats on top of each other hand the name down', async () => {
  expect(await named('a.qcow2', { driver: 'raw', file: { driver: 'qcow2' } })).toEqual({
    driver: 'raw',
    file: { driver: 'qcow2', file: { driver: 'file', filename: 'a.qcow2' } },
  });
});

test('a second name, or a node, is refused', async () => {
  const twice = "Can't specify 'file' and 'filename' options at the same time";
  await expect(named('a', { driver: 'file', filename: 'b' })).rejects.toThrow(twice);
  await expect(named('a', { driver: 'raw', file: { filename: 'b' } })).rejects.toThrow(twice);
  await expect(named('a', { driver: 'raw', file: 'node' })).rejects.toThrow(
    'Cannot reference an existing block device',
  );
});

test('options count more than what a json: name says', async () => {
  const name = 'json:{"driver":"raw","file.driver":"file","file.filename":"a","read-only":false}';
  expect(await named(name, { file: { 'node-name': 'f' }, offset: 512 })).toEqual({
    driver: 'raw',
    file: { driver: 'file', filename: 'a', 'node-name': 'f' },
    'read-only': false,
    offset: 512,
  });
});

test('an image that names a file does not make it writable, at any depth', async () => {
  const name =
    'json:{"driver":"qcow2","read-only":false,"file":{"driver":"file","filename":"a","auto-read-only":true},"file.read-only":false}';
  expect(await optionsOfFilename(known, name, { 'read-only': false }, { namedByImage: true })).toEqual({
    driver: 'qcow2',
    file: { driver: 'file', filename: 'a' },
    'read-only': false,
  });
});

test('nor are nodes in a list writable', async () => {
  const child = { driver: 'file', filename: 'a', 'read-only': false };
  const name = `json:${JSON.stringify({ driver: 'quorum', 'vote-threshold': 1, children: [child, [child]] })}`;
  const kept = { driver: 'file', filename: 'a' };
  expect(await optionsOfFilename(known, name, {}, { namedByImage: true })).toEqual({
    driver: 'quorum',
    'vote-threshold': 1,
    children: [kept, [kept]],
  });
});

test('the image says which file it is until the options do', () => {
  const left = (option: object): boolean => leavesFileToImage(registry, option as Record<string, unknown>);
  expect(left({ 'node-name': 'm' })).toBe(true);
  expect(left({ driver: 'file', filename: 'a' })).toBe(true);
  expect(left({ driver: 'raw', file: { locking: 'off' } })).toBe(true);
  expect(left({ driver: 'raw', file: { driver: 'file', filename: 'a' } })).toBe(false);
  expect(left({ driver: 'raw', 'file.filename': 'a' })).toBe(false);
  expect(left({ driver: 'http', url: 'http://a/b' })).toBe(false);
  expect(left({ driver: 'memory', size: 512 })).toBe(false);
});
