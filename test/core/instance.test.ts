import { describe, expect, test } from 'vitest';
import { BlockError } from '../../host/base/errors.ts';
import { type BitmapExports, HierarchicalBitmap } from '../../host/core/bitmap.ts';
import { CoreInstance } from '../../host/core/instance.ts';
import { coreModule } from '../../host/core/module.ts';

interface Steps extends BitmapExports {
  scan_is_zero(address: number, bytes: number): number;
}

/** Far outside of any memory here. */
const wild = 0xf000_0000 | 0;

describe('an instance of the core', () => {
  test('answers EIO from a trap on, and no other instance does', () => {
    const broken = new CoreInstance<Steps>(coreModule, 1 << 16);
    const whole = new CoreInstance<Steps>(coreModule, 1 << 16);
    let caught: unknown;
    try {
      broken.guard(() => broken.exports.scan_is_zero(wild, 4096));
    } catch (error) {
      caught = error;
    }
    expect(caught).toBeInstanceOf(BlockError);
    expect((caught as BlockError).errno).toBe('EIO');
    expect(broken.isPoisoned).toBe(true);
    expect(() => broken.guard(() => 1)).toThrow('Input/output error');
    expect(() => broken.check()).toThrow('Input/output error');

    expect(whole.isPoisoned).toBe(false);
    expect(whole.guard(() => whole.exports.scan_is_zero(0, 0))).toBe(1);
  });

  test('keeps what a wrapper over it is asked from going on after a trap', () => {
    const core = new CoreInstance<Steps>(coreModule, 1 << 16);
    const bitmap = HierarchicalBitmap.at(core, wild, 1 << 20, 512);
    expect(() => bitmap.set(0, 512)).toThrow('Input/output error');
    expect(core.isPoisoned).toBe(true);
    for (const use of [
      () => bitmap.count,
      () => bitmap.get(0),
      () => bitmap.nextDirty(0, 512),
      () => bitmap.nextDirtyArea(0, 512, 512),
      () => bitmap.clear(),
      () => bitmap.serialize(),
    ]) {
      expect(use).toThrow('Input/output error');
    }
  });

  test('lets errors that are no traps through as they are', () => {
    const core = new CoreInstance<Steps>(coreModule, 1 << 16);
    const bug = new TypeError('a bug');
    expect(() =>
      core.guard(() => {
        throw bug;
      }),
    ).toThrow(bug);
    expect(core.isPoisoned).toBe(false);
  });

  test('says ENOMEM when there cannot be so much memory', () => {
    expect(() => new CoreInstance<Steps>(coreModule, 2 ** 33)).toThrow('Cannot allocate memory');
    expect(() => HierarchicalBitmap.create(2 ** 35 * 512, 512)).toThrow('Cannot allocate memory');
    const bitmap = HierarchicalBitmap.create(1 << 20, 512);
    expect(() => bitmap.resize(2 ** 35 * 512)).toThrow('Cannot allocate memory');
    expect(bitmap.size).toBe(1 << 20);
  });

  test('gives out buffers that do not overlap and traps when there is no more', () => {
    const core = new CoreInstance<Steps>(coreModule, 1 << 16);
    const a = core.allocate(1000);
    const b = core.allocate(1000, 64);
    expect(b.address).toBeGreaterThanOrEqual(a.address + 1000);
    expect(b.address % 64).toBe(0);
    expect(a.bytes.every((byte) => byte === 0)).toBe(true);
    expect(() => core.allocate(2 ** 32 - 1)).toThrow('Input/output error');
  });
});
