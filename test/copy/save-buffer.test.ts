import { describe, expect, it } from 'vitest';
import { BlockError } from '../../host/base/errors.ts';
import type { Edge } from '../../host/block/edge.ts';
import { BufferPool } from '../../host/copy/buffer-pool.ts';
import { CopyMap } from '../../host/copy/copy-map.ts';
import { HeldPieces } from '../../host/copy/held-pieces.ts';
import { HotRegions } from '../../host/copy/hot-regions.ts';
import { PieceWriter } from '../../host/copy/piece-writer.ts';
import { SaveBuffer } from '../../host/copy/save-buffer.ts';
import { type CopySource, DirectSaver } from '../../host/copy/saver.ts';
import { Spiller } from '../../host/copy/spiller.ts';
import { createSimulation } from '../../host/platform/sim/index.ts';
import { kib } from '../support/units.ts';

const cluster = 64 * kib;
const unit = 4 * kib;
const diskBytes = 16 * cluster;

interface WaitingWrite {
  offset: number;
  data: Uint8Array;
  finish(error?: BlockError): void;
}

/** A target that takes writes when told to. */
class SlowTarget {
  readonly waiting: WaitingWrite[] = [];
  readonly arrived: number[] = [];

  readonly edge = {
    node: { name: 'target' },
    write: (offset: number, data: Uint8Array) =>
      new Promise<void>((resolve, reject) => {
        this.waiting.push({
          offset,
          data: data.slice(),
          finish: (error) => {
            if (error) return reject(error);
            this.arrived.push(offset);
            resolve();
          },
        });
      }),
  } as unknown as Edge;
}

interface Setup {
  limitBytes: number;
  spill?: Spiller;
  givesUp?: boolean;
}

/** The source reads as 9 everywhere; what is saved is 1. */
function setUp({ limitBytes, spill, givesUp = false }: Setup) {
  const target = new SlowTarget();
  const job = { isStopped: false, gaveUp: 0, alarms: 0 };
  const pool = new BufferPool();
  const copyMap = new CopyMap(diskBytes, cluster);
  copyMap.setAll();
  const held = new HeldPieces(cluster);
  const source = { read: async (_: number, into: Uint8Array) => void into.fill(9) } as unknown as Edge;
  const filter: CopySource = {
    copyMap,
    held,
    hotRegions: new HotRegions(1 << 20),
    source,
    target: target.edge,
    saver: new DirectSaver(target.edge),
    isDisabled: false,
    disable() {},
  };
  const writer = new PieceWriter({
    target: target.edge,
    pool,
    compress: false,
    onWritten: (piece) => held.delete(piece),
  });
  const buffer = new SaveBuffer({
    filter,
    pool,
    writer,
    limitBytes,
    spill,
    onSkipped: () => {},
    onChange: () => {},
    async onStuck(error) {
      if (job.isStopped) throw error;
    },
    onAlarm: () => void job.alarms++,
    giveUp: givesUp
      ? () => {
          job.gaveUp++;
          buffer.close();
        }
      : undefined,
  });
  /** Saves a whole cluster. */
  const save = async (index: number): Promise<void> => {
    const room = await buffer.reserve(cluster, 'data');
    room.buffer?.fill(1);
    const claim = copyMap.claim(index * cluster, cluster)!; // nobody else has it
    await buffer.save(index * cluster, cluster, room);
    copyMap.end(claim, true);
  };
  const savePart = async (offset: number): Promise<void> => {
    const room = await buffer.reserve(unit, 'data');
    room.buffer?.fill(1);
    buffer.savePart(offset, unit, room);
  };
  return { target, writer, buffer, held, copyMap, job, save, savePart };
}

/** Whether a promise has settled by now, and how. */
async function outcome(promise: Promise<unknown>): Promise<string> {
  const settled = promise.then(
    () => 'done',
    (error: Error) => error.message,
  );
  for (let turn = 0; turn < 50; turn++) await Promise.resolve();
  return Promise.race([settled, Promise.resolve('waiting')]);
}

function openSpill(maxBytes: number): Promise<Spiller> {
  return Spiller.open(createSimulation(1, { latency: 'instant' }).platform, { path: '/spill', maxBytes });
}

describe('the save buffer', () => {
  it('lets guests go on while there is room, whatever the target does', async () => {
    const { target, save } = setUp({ limitBytes: 3 * cluster });
    for (const index of [0, 1, 2]) expect(await outcome(save(index))).toBe('done');
    expect(target.arrived).toEqual([]);
  });

  it('makes a guest wait when it is full, until a write has arrived', async () => {
    const { target, save } = setUp({ limitBytes: 2 * cluster });
    await save(0);
    await save(1);
    const third = save(2);
    expect(await outcome(third)).toBe('waiting');
    target.waiting[0]!.finish();
    expect(await outcome(third)).toBe('done');
  });

  it('fails a guest that waits for room when the target has failed and the job stopped, and keeps the data', async () => {
    const { target, writer, buffer, job, held, save } = setUp({ limitBytes: cluster });
    await save(0);
    const second = save(1);
    await outcome(second);
    target.waiting[0]!.finish(new BlockError('ENOSPC'));
    expect(await outcome(second)).toBe('waiting');
    job.isStopped = true;
    buffer.recheck();
    expect(await outcome(second)).toBe('No space left on device');
    expect([...held.all()].map((piece) => piece.offset)).toEqual([0]);
    const retried = writer.retry();
    target.waiting[1]!.finish();
    await retried;
    expect(await outcome(save(2))).toBe('done');
  });

  it('writes nothing while it is held, but for a guest that waits for room', async () => {
    const { target, buffer, save } = setUp({ limitBytes: cluster });
    buffer.hold();
    await save(0);
    expect(target.waiting).toEqual([]);
    await buffer.whenIdle();
    const second = save(1);
    await outcome(second);
    expect(target.waiting.map(({ offset }) => offset)).toEqual([0]);
    target.waiting[0]!.finish();
    expect(await outcome(second)).toBe('done');
    expect(target.waiting.length).toBe(1);
    buffer.unhold();
    expect(target.waiting.map(({ offset }) => offset)).toEqual([0, cluster]);
  });

  it('lets everybody go when it is closed', async () => {
    const { target, buffer, save } = setUp({ limitBytes: cluster });
    await save(0);
    const second = save(1);
    expect(await outcome(second)).toBe('waiting');
    buffer.close();
    expect(await outcome(second)).toBe('done');
    const idle = buffer.whenIdle();
    expect(await outcome(idle)).toBe('waiting');
    target.waiting[0]!.finish();
    expect(await outcome(idle)).toBe('done');
    expect(target.waiting.length).toBe(1);
  });

  it('completes the parts of a cluster from the source before the target gets it', async () => {
    const { target, buffer, held, copyMap, savePart } = setUp({ limitBytes: cluster });
    buffer.hold();
    await savePart(3 * unit);
    await savePart(0);
    expect(copyMap.isDirty(0, 1)).toBe(true);
    buffer.unhold();
    await outcome(buffer.whenIdle());
    expect(copyMap.isDirty(0, 1)).toBe(false);
    expect(target.waiting.length).toBe(1);
    const { offset, data, finish } = target.waiting[0]!;
    expect([offset, data.length]).toEqual([0, cluster]);
    const units = Array.from({ length: cluster / unit }, (_, index) => data[index * unit]);
    expect(units).toEqual(units.map((_, index) => (index === 0 || index === 3 ? 1 : 9)));
    finish();
    await buffer.whenIdle();
    expect([held.all().size, buffer.isEmpty, buffer.fill.bufferedBytes]).toEqual([0, true, 0]);
  });

  it('takes a cluster that is here in all its parts for copied, and never reads it', async () => {
    const { target, buffer, copyMap, savePart } = setUp({ limitBytes: cluster });
    buffer.hold();
    for (let at = 0; at < cluster - unit; at += unit) await savePart(at);
    expect(copyMap.isLeft(0, cluster)).toBe(true);
    await savePart(cluster - unit);
    expect(copyMap.isLeft(0, cluster)).toBe(false);
    buffer.unhold();
    await outcome(buffer.whenIdle());
    expect(target.waiting.map(({ offset, data }) => [offset, data.every((byte) => byte === 1)])).toEqual([
      [0, true],
    ]);
    target.waiting[0]!.finish();
    await buffer.whenIdle();
    expect([buffer.isEmpty, buffer.fill.bufferedBytes]).toEqual([true, 0]);
  });

  it('leaves a part to whoever copies its cluster', async () => {
    const { target, buffer, held, copyMap, savePart } = setUp({ limitBytes: cluster });
    const claim = copyMap.claim(0, cluster)!; // nobody has it
    await savePart(0);
    await outcome(buffer.whenIdle());
    expect(target.waiting).toEqual([]);
    // What fails there is done here.
    copyMap.end(claim, false);
    await outcome(buffer.whenIdle());
    expect(target.waiting.length).toBe(1);
    expect(held.all().size).toBe(1);
  });

  it('spills when half of it is used, and brings that to the target when memory is empty', async () => {
    const spill = await openSpill(diskBytes);
    const { target, buffer, held, save } = setUp({ limitBytes: 2 * cluster, spill });
    buffer.hold();
    for (const index of [0, 1, 2, 3, 4]) expect(await outcome(save(index))).toBe('done');
    await outcome(buffer.whenIdle());
    expect(buffer.fill).toMatchObject({ bufferedBytes: cluster, spilledBytes: 4 * cluster });
    const into = new Uint8Array(unit);
    await held.at(unit)!.copyTo(unit, into);
    expect(into.every((byte) => byte === 1)).toBe(true);
    buffer.unhold();
    for (let index = 0; index < 5; index++) {
      await outcome(buffer.whenIdle());
      expect(target.waiting[index]!.data.every((byte) => byte === 1)).toBe(true);
      target.waiting[index]!.finish();
    }
    await buffer.whenIdle();
    expect(target.arrived.toSorted((a, b) => a - b)).toEqual([0, 1, 2, 3, 4].map((index) => index * cluster));
    expect(buffer.fill).toMatchObject({ bufferedBytes: 0, spilledBytes: 0 });
    await buffer.dispose();
  });

  it('spills many pieces in one write', async () => {
    const writes: number[] = [];
    const simulation = createSimulation(1, {
      latency: 'instant',
      onIo: ({ type, bytes }) => type === 'write' && writes.push(bytes),
    });
    const spill = await Spiller.open(simulation.platform, { path: '/spill', maxBytes: diskBytes });
    const { buffer, savePart } = setUp({ limitBytes: 16 * unit, spill });
    buffer.hold();
    for (let index = 0; index < 32; index++) await savePart(2 * index * unit);
    await outcome(buffer.whenIdle());
    expect(writes.length).toBeLessThanOrEqual(12);
    expect(writes.reduce((sum, bytes) => sum + bytes, 0)).toBe(buffer.fill.spilledBytes);
    await buffer.dispose();
  });

  it('gives up, when told to, only when buffer and spill file are full', async () => {
    const spill = await openSpill(cluster);
    const { buffer, job, save } = setUp({ limitBytes: cluster, spill, givesUp: true });
    buffer.hold();
    for (const index of [0, 1]) expect(await outcome(save(index))).toBe('done');
    expect(job.gaveUp).toBe(0);
    expect(await outcome(save(2))).toBe('done');
    expect(job.gaveUp).toBe(1);
    await buffer.dispose();
  });

  it('tells once that it fills up, and again only after it was less than three fifths full', async () => {
    const { target, buffer, job, save } = setUp({ limitBytes: 10 * cluster });
    for (let index = 0; index < 8; index++) await save(index);
    expect(job.alarms).toBe(1);
    target.waiting[0]!.finish();
    await outcome(buffer.whenIdle());
    await save(8);
    expect(job.alarms).toBe(1);
    for (const write of target.waiting.slice(1, 5)) write.finish();
    await outcome(buffer.whenIdle());
    for (let index = 9; index < 13; index++) await save(index);
    expect(job.alarms).toBe(2);
  });
});
