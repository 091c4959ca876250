import { describe, expect, test } from 'vitest';
import { type DriveOptions, parseDrive } from '../../host/machine/drive-options.ts';

const warnings: string[] = [];

function parse(text: string, kind: 'ide' | 'none' = 'ide'): DriveOptions {
  warnings.length = 0;
  return parseDrive(text, { interface: kind, idePerBus: 2 }, (message) => void warnings.push(message));
}

describe('-drive', () => {
  test('knows what is its own, and leaves the rest to the node', () => {
    expect(
      parse(
        'if=virtio,id=a,file=x.img,format=raw,cache=none,werror=stop,file.locking=off,node-name=n,discard=on',
      ),
    ).toMatchObject({
      interface: 'virtio',
      id: 'a',
      file: 'x.img',
      format: 'raw',
      werror: 'stop',
      cache: { writeback: true, direct: true, noFlush: false },
      node: { 'file.locking': 'off', 'node-name': 'n', discard: 'unmap' },
    });
  });

  test.each([
    ['none', true, true, false],
    ['off', true, true, false],
    ['directsync', false, true, false],
    ['writeback', true, false, false],
    ['unsafe', true, false, true],
    ['writethrough', false, false, false],
  ])('understands cache=%s', (mode, writeback, direct, noFlush) => {
    expect(parse(`cache=${mode}`).cache).toEqual({ writeback, direct, noFlush });
  });

  test('lets a single cache setting win over the mode', () => {
    expect(parse('cache=none,cache.direct=off').cache).toEqual({
      writeback: true,
      direct: false,
      noFlush: false,
    });
  });

  test('is read-only for a CD unless it says otherwise', () => {
    expect(parse('media=cdrom').readOnly).toBe(true);
    expect(parse('media=cdrom,readonly=off').readOnly).toBe(false);
    expect(parse('').readOnly).toBe(false);
  });

  test('gives up copy-on-read where nothing can be written', () => {
    expect(parse('read-only=on,copy-on-read=on').copyOnRead).toBe(false);
    expect(warnings).toEqual(['disabling copy-on-read on read-only drive']);
  });

  test('takes limits by their short and long names', () => {
    const { throttling, throttleGroup } = parse('iops=10,throttling.bps-read=100,bps_rd_max=200,group=g');
    expect(throttling.buckets['iops-total'].avg).toBe(10);
    expect(throttling.buckets['bps-read']).toMatchObject({ avg: 100, max: 200 });
    expect(throttleGroup).toBe('g');
  });

  test('collects intervals for statistics', () => {
    expect(parse('stats-intervals.0=60,stats-intervals.1=3600').statisticsIntervals).toEqual([60, 3600]);
  });

  test.each([
    ['if=foo', "unsupported bus type 'foo'"],
    ['cache=zz', 'invalid cache option'],
    ['aio=zz', 'invalid aio option'],
    ['media=foo', "'foo' invalid media"],
    ['driver=raw,format=raw', "Cannot specify both 'driver' and 'format'"],
    ['index=1,bus=1', 'index cannot be used with bus and unit'],
    ['unit=3', 'unit 3 too big (max is 1)'],
    ['werror=foo', "'foo' invalid write error action"],
    ['rerror=enospc', "'enospc' invalid read error action"],
    ['if=floppy,werror=stop', 'werror is not supported by this bus type'],
    ['discard=zz', 'Invalid discard option'],
    ['read-only=on,readonly=on', "'read-only' and its alias 'readonly' can't be used at the same time"],
    ['iops=zz', "Parameter 'throttling.iops-total' expects a number"],
  ])('refuses %s', (text, message) => {
    expect(() => parse(text)).toThrow(message);
  });
});
