import { expect, test } from 'vitest';
import { DriverRegistry } from '../../host/block/driver-registry.ts';
import { leavesFileToImage, optionsOfFilename } from '../../host/block/named-options.ts';
import { drivers } from '../../host/drivers.ts';

const registry = new DriverRegistry(drivers);
const named = (filename: string, options: object = {}): object =>
  optionsOfFilename(registry, filename, options as Record<string, unknown>);

test('a name belongs to the protocol below the format, whose options join it', () => {
  expect(named('a.img', { driver: 'raw', 'node-name': 'r', file: { locking: 'off' } })).toEqual({
    driver: 'raw',
    'node-name': 'r',
    file: { driver: 'file', filename: 'a.img', locking: 'off' },
  });
  expect(named('a.img')).toEqual({ file: { driver: 'file', filename: 'a.img' } });
  expect(named('a.img', { driver: 'file', locking: 'off' })).toEqual({
    driver: 'file',
    filename: 'a.img',
    locking: 'off',
  });
});

test('formats on top of each other hand the name down', () => {
  expect(named('a.qcow2', { driver: 'raw', file: { driver: 'qcow2' } })).toEqual({
    driver: 'raw',
    file: { driver: 'qcow2', file: { driver: 'file', filename: 'a.qcow2' } },
  });
});

test('a second name, or a node, is refused', () => {
  const twice = "Can't specify 'file' and 'filename' options at the same time";
  expect(() => named('a', { driver: 'file', filename: 'b' })).toThrow(twice);
  expect(() => named('a', { driver: 'raw', file: { filename: 'b' } })).toThrow(twice);
  expect(() => named('a', { driver: 'raw', file: 'node' })).toThrow(
    'Cannot reference an existing block device',
  );
});

test('options count more than what a json: name says', () => {
  const name = 'json:{"driver":"raw","file.driver":"file","file.filename":"a","read-only":false}';
  expect(named(name, { file: { 'node-name': 'f' }, offset: 512 })).toEqual({
    driver: 'raw',
    file: { driver: 'file', filename: 'a', 'node-name': 'f' },
    'read-only': false,
    offset: 512,
  });
});

test('an image that names a file does not make it writable, at any depth', () => {
  const name =
    'json:{"driver":"qcow2","read-only":false,"file":{"driver":"file","filename":"a","auto-read-only":true},"file.read-only":false}';
  expect(optionsOfFilename(registry, name, { 'read-only': false }, { namedByImage: true })).toEqual({
    driver: 'qcow2',
    file: { driver: 'file', filename: 'a' },
    'read-only': false,
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
