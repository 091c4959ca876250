import { describe, expect, test } from 'vitest';
import { parseKeyval } from '../../host/qapi/keyval.ts';
import { checkKeyval, parseOption } from '../../host/qapi/keyval-values.ts';
import { OptionValues, parseQemuOpts } from '../../host/qapi/qemu-opts.ts';
import { parseSize } from '../../host/qapi/sizes.ts';
import { checkStrict } from '../../host/qapi/strict.ts';
import { array, bool, int32, optional, size, str, struct, uint64 } from '../../host/qapi/types.ts';

const disk = struct('Disk', {
  name: str,
  size: optional(size),
  flags: optional(array(struct('Flag', { on: optional(bool), level: optional(int32) }))),
  mask: optional(uint64),
});

describe('keyval', () => {
  test('builds objects and lists from names', () => {
    expect(parseKeyval('raw,file.filename=a,,b=c,x.1=q,x.0=p,n=1,n=2', 'driver')).toEqual({
      values: { driver: 'raw', file: { filename: 'a,b=c' }, x: ['p', 'q'], n: '2' },
      help: false,
    });
  });

  test('tells that help is wanted', () => {
    expect(parseKeyval('raw,help', 'driver').help).toBe(true);
    expect(parseKeyval('help=me').help).toBe(false);
  });

  test('turns text into what the type says', () => {
    const { values } = parseKeyval(
      'a,size=1.5k,flags.0.on=yes,flags.0.level=-0x10,flags.1.level=010',
      'name',
    );
    expect(checkKeyval(disk, values)).toEqual({
      name: 'a',
      size: 1536,
      flags: [{ on: true, level: -16 }, { level: 8 }],
    });
  });

  test.each([
    ['name=a,size=x', "Parameter 'size' expects a size"],
    ['name=a,flags.0.level=1M', "Parameter 'flags[0].level' expects integer"],
    ['name=a,flags.0.level=2147483648', "Parameter 'level' expects int32_t"],
    ['name=a,flags.0.on=maybe', "Parameter 'flags[0].on' expects 'on' or 'off'"],
    ['size=1', "Parameter 'name' is missing"],
  ])('refuses %s', (text, message) => {
    expect(() => parseOption(disk, text)).toThrow(message);
  });

  test('gives way to JSON, which is checked strictly', () => {
    expect(parseOption(disk, '{"name":"a","size":1024}')).toEqual({ name: 'a', size: 1024 });
    expect(() => parseOption(disk, '{"name":"a","size":"1k"}')).toThrow("Parameter 'size' expects uint64");
  });
});

describe('strict checking', () => {
  test('names list elements by number, and lets negative numbers wrap where C does', () => {
    expect(() => checkStrict(disk, { name: 'a', flags: [{}, { on: 1 }] })).toThrow(
      "Invalid parameter type for 'flags[1].on', expected: boolean",
    );
    expect(checkStrict(disk, { name: 'a', mask: -1 }).mask).toBe(2 ** 64);
  });
});

describe('QemuOpts', () => {
  test('reads an implied first value, commas, switches and the id', () => {
    const warnings: string[] = [];
    const options = parseQemuOpts('socket,id=c,path=a,,b,server,nowait', {
      impliedKey: 'backend',
      warn: (message, hint) => warnings.push(message, hint),
    });
    expect(options).toEqual({
      id: 'c',
      pairs: [
        { name: 'backend', value: 'socket' },
        { name: 'path', value: 'a,b' },
        { name: 'server', value: 'on' },
        { name: 'wait', value: 'off' },
      ],
    });
    expect(warnings).toEqual([
      "short-form boolean option 'server' deprecated",
      'Please use server=on instead',
      "short-form boolean option 'nowait' deprecated",
      'Please use wait=off instead',
    ]);
  });

  test('checks values by the type of the option, and the last one wins', () => {
    const known = [
      { name: 'a', type: 'size' },
      { name: 'b', type: 'bool' },
      { name: 'c', type: 'number' },
    ] as const;
    const values = (text: string) => new OptionValues(parseQemuOpts(text).pairs, known);
    expect(values('a=1M,a=2M').number('a')).toBe(2 << 20);
    expect(() => values('a=x')).toThrow("Parameter 'a' expects a non-negative number below 2^64");
    expect(() => values('b=x')).toThrow("Parameter 'b' expects 'on' or 'off'");
    expect(() => values('c=1k')).toThrow("Parameter 'c' expects a number");
    expect(() => values('d=1')).toThrow("Invalid parameter 'd'");
  });
});

test.each([
  ['0', 0],
  ['64k', 65536],
  ['1.5G', 1610612736],
  ['0x200', 512],
  ['3b', 3],
  ['16E', undefined],
  ['1.5', undefined],
  ['-1', undefined],
  ['1kk', undefined],
  ['0x1k', undefined],
  ['', undefined],
])('the size %s', (text, bytes) => {
  expect(parseSize(text)).toBe(bytes);
});
