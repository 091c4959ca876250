import { describe, expect, it } from 'vitest';
import { BlockError } from '../../host/base/errors.ts';
import type { Edge } from '../../host/block/edge.ts';
import { BufferPool } from '../../host/copy/buffer-pool.ts';
import { PieceWriter } from '../../host/copy/piece-writer.ts';
import { SaveBuffer } from '../../host/copy/save-buffer.ts';
import type { Piece } from '../../host/copy/saver.ts';

const cluster = 64 << 10;

/** A target that takes writes when told to. */
class SlowTarget {
  readonly waiting: { offset: number; finish(error?: BlockError): void }[] = [];
  readonly arrived: number[] = [];

  readonly edge = {
    node: { name: 'target' },
    write: (offset: number) =>
      new Promise<void>((resolve, reject) => {
        this.waiting.push({
          offset,
          finish: (error) => {
            if (error) return reject(error);
            this.arrived.push(offset);
            resolve();
          },
        });
      }),
  } as unknown as Edge;
}

function setUp(limitClusters: number) {
  const target = new SlowTarget();
  const job = { isStopped: false };
  const pool = new BufferPool();
  const onWritten = (piece: Piece): void => buffer.written(piece);
  const writer = new PieceWriter({ target: target.edge, pool, compress: false, onWritten });
  const buffer: SaveBuffer = new SaveBuffer({
    pool,
    writer,
    onSkipped: () => {},
    onChange: () => {},
    isStopped: () => job.isStopped,
    limitBytes: limitClusters * cluster,
  });
  const save = async (offset: number): Promise<void> => {
    const data = await buffer.reserve(cluster);
    data.fill(1);
    await buffer.save({ offset, bytes: cluster, buffer: data });
  };
  return { target, writer, buffer, job, save };
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

describe('the save buffer', () => {
  it('lets guests go on while there is room, whatever the target does', async () => {
    const { target, save } = setUp(3);
    for (const offset of [0, 1, 2]) expect(await outcome(save(offset))).toBe('done');
    expect(target.arrived).toEqual([]);
  });

  it('makes a guest wait when it is full, until a write has arrived', async () => {
    const { target, save } = setUp(2);
    await save(0);
    await save(1);
    const third = save(2);
    expect(await outcome(third)).toBe('waiting');
    target.waiting[0]!.finish();
    expect(await outcome(third)).toBe('done');
  });

  it('fails a guest that waits for room when the target has failed and the job stopped, and keeps the data', async () => {
    const { target, writer, buffer, job, save } = setUp(1);
    await save(0);
    const second = save(1);
    await outcome(second);
    target.waiting[0]!.finish(new BlockError('ENOSPC'));
    expect(await outcome(second)).toBe('waiting');
    job.isStopped = true;
    buffer.recheck();
    expect(await outcome(second)).toBe('No space left on device');
    expect(writer.unwritten.map((piece) => piece.offset)).toEqual([0]);
    const retried = writer.retry();
    target.waiting[1]!.finish();
    await retried;
    expect(await outcome(save(2))).toBe('done');
  });

  it('writes nothing while it is held, but for a guest that waits for room', async () => {
    const { target, buffer, save } = setUp(1);
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
    expect(target.waiting.map(({ offset }) => offset)).toEqual([0, 1]);
  });

  it('lets everybody go when it is closed', async () => {
    const { target, buffer, save } = setUp(1);
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
});
