import { fc, test as property } from '@fast-check/vitest';
import { describe, expect, test } from 'vitest';
import { V86Disk } from '../../host/emulator/v86/disk.ts';
import { MemoryDisk } from './memory-disk.ts';

const sector = 512;
const filled = (value: number, sectors = 1): Uint8Array => new Uint8Array(sectors * sector).fill(value);

/** Lets everything that is ready run. */
const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

describe('a disk for v86', () => {
  test('says that it is loaded at once', () => {
    const disk = new V86Disk(new MemoryDisk(4 * sector));
    let loaded: object | undefined;
    disk.onload = (event) => {
      loaded = event;
    };
    disk.load();
    expect(loaded).toEqual({});
    expect(disk.byteLength).toBe(4 * sector);
  });

  test('answers a read before the call returns when the data is at hand', () => {
    const memory = new MemoryDisk(4 * sector);
    memory.bytes.fill(5, sector, 2 * sector);
    let got: Uint8Array | undefined;
    new V86Disk(memory).get(sector, sector, (data) => {
      got = data;
    });
    expect(got).toEqual(filled(5));
  });

  test('reads a write that has not been answered', async () => {
    const memory = new MemoryDisk(4 * sector);
    const disk = new V86Disk(memory);
    memory.hold();
    disk.set(0, filled(1));
    let got: Uint8Array | undefined;
    disk.get(0, sector, (data) => {
      got = data;
    });
    memory.answer(1);
    await turn();
    expect(got).toEqual(filled(1));
    expect(disk.isIdle).toBe(false);
    memory.answer(0);
    await disk.whenIdle();
  });

  test('does without anybody to answer', async () => {
    const disk = new V86Disk(new MemoryDisk(4 * sector));
    disk.set(0, filled(1), undefined);
    disk.get(0, sector, undefined);
    await disk.whenIdle();
    expect(disk.isIdle).toBe(true);
  });

  test('gives no answer to a read that was aborted', async () => {
    const memory = new MemoryDisk(4 * sector);
    const disk = new V86Disk(memory);
    memory.hold();
    const abort = new AbortController();
    let answers = 0;
    disk.get(0, sector, () => answers++, { signal: abort.signal });
    abort.abort();
    await disk.whenIdle();
    memory.answer(0);
    await turn();
    expect(answers).toBe(0);
  });

  test('reads zeros past the end and writes nothing there', async () => {
    const memory = new MemoryDisk(2 * sector);
    memory.bytes.fill(9);
    const disk = new V86Disk(memory);
    const got: Uint8Array[] = [];
    disk.get(sector, 2 * sector, (data) => got.push(data));
    disk.get(8 * sector, sector, (data) => got.push(data));
    expect(got).toEqual([new Uint8Array([...filled(9), ...filled(0)]), filled(0)]);
    let answers = 0;
    disk.set(8 * sector, filled(1), () => answers++);
    disk.set(sector, filled(3, 2), () => answers++);
    await disk.whenIdle();
    expect(answers).toBe(2);
    expect(memory.bytes).toEqual(new Uint8Array([...filled(9), ...filled(3)]));
  });

  test('keeps its first sector for whoever asks at once, until it is written', async () => {
    const memory = new MemoryDisk(4 * sector);
    memory.bytes.fill(7, 0, sector);
    const disk = new V86Disk(memory);
    expect(disk.get_from_cache(0, sector)).toBeUndefined();
    disk.get_and_cache(0, sector, undefined);
    expect(disk.get_from_cache(0, sector)).toEqual(filled(7));
    expect(disk.get_from_cache(0, 2 * sector)).toBeUndefined();
    disk.set(sector, filled(1));
    expect(disk.get_from_cache(0, sector)).toEqual(filled(7));
    disk.set(0, filled(8));
    expect(disk.get_from_cache(0, sector)).toBeUndefined();
    await disk.whenIdle();
  });

  test('has a state that refers to its content', () => {
    const memory = new MemoryDisk(4 * sector);
    memory.setReference({ snapshot: 'before', generation: 3 });
    const disk = new V86Disk(memory);
    expect(disk.get_state()).toEqual([4 * sector, 'before', 3]);
    expect(disk.takeRestored()).toBeUndefined();
    disk.set_state([2 * sector, 'other', 1]);
    const expected = { byteLength: 2 * sector, reference: { snapshot: 'other', generation: 1 } };
    expect(disk.takeRestored()).toEqual(expected);
    expect(disk.takeRestored()).toBeUndefined();
  });

  test.each([
    [2 ** 41, 'v86 counts sectors in 32 bits: a disk of 2199023255552 bytes is too large'],
    [700, 'v86 needs a disk whose size is a multiple of 512 bytes, not 700 bytes'],
  ])('refuses a size of %i bytes', (byteLength, message) => {
    const disk = Object.defineProperty(new MemoryDisk(0), 'byteLength', { value: byteLength });
    expect(() => new V86Disk(disk)).toThrow(message);
  });

  test('takes the largest that v86 can count, and a CD only of whole sectors', () => {
    const sized = (value: number): MemoryDisk =>
      Object.defineProperty(new MemoryDisk(0), 'byteLength', { value });
    expect(new V86Disk(sized(2 ** 41 - 512)).byteLength).toBe(2 ** 41 - 512);
    expect(() => new V86Disk(sized(512), 'cdrom')).toThrow(
      'v86 needs a cdrom whose size is a multiple of 2048',
    );
  });
});

const diskSectors = 8;
const step = fc.oneof(
  fc.record({
    op: fc.constantFrom('get' as const, 'set' as const),
    start: fc.nat(diskSectors),
    sectors: fc.integer({ min: 1, max: 4 }),
    value: fc.integer({ min: 1, max: 255 }),
  }),
  fc.record({ op: fc.constant('answer' as const), index: fc.nat(20) }),
);

property.prop([fc.array(step, { maxLength: 60 })])(
  'answers every request, in whatever order, with what was written before it',
  async (steps) => {
    const memory = new MemoryDisk(diskSectors * sector);
    memory.hold();
    const disk = new V86Disk(memory);
    // Longer than the disk: what v86 does past the end counts for nothing.
    const model = new Uint8Array((diskSectors + 4) * sector);
    let asked = 0;
    let answered = 0;
    for (const one of steps) {
      if (one.op === 'answer') {
        memory.answer(one.index);
        await turn();
        continue;
      }
      const start = one.start * sector;
      const bytes = one.sectors * sector;
      asked++;
      if (one.op === 'get') {
        const expected = model.slice(start, start + bytes);
        disk.get(start, bytes, (data) => {
          expect(data).toEqual(expected);
          answered++;
        });
        continue;
      }
      const buffer = filled(one.value, one.sectors);
      disk.set(start, buffer, () => answered++);
      buffer.fill(0xee);
      model.fill(one.value, start, start + bytes).fill(0, diskSectors * sector);
    }
    while (memory.heldCount > 0) memory.answer(0);
    await disk.whenIdle();
    expect(answered).toBe(asked);
    expect(memory.bytes).toEqual(model.subarray(0, diskSectors * sector));
  },
);
