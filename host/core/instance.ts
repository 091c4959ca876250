/**
 * One instance of a module of the core with a memory of its own.
 *
 * Where file reads land in it, the memory has its final size from the start, so that views of it stay valid. One that grows
 * changes `memory`, `view` and `record` during the step that needs more: take them anew after each. A trap (a hostile image found a bug, or an
 * address went wrong) poisons the instance: this call and all later ones fail with EIO, and nothing else is touched.
 */
import { assert } from '../base/assert.ts';
import { BlockError } from '../base/errors.ts';
import type { CoreModule } from './module.ts';

const pageBytes = 65_536;
/** One less than there may be, so that the end of memory is an address. */
const maxPages = 65_535;
/** What static data takes; buffers of the parts come on top. */
const staticBytes = pageBytes;

/** The result record (assembly/abi.ts). What its fields mean, each step says. */
export type ResultRecord = Float64Array &
  Record<0 | 1 | 2 | 3 | 4 | 5 | 6 | 7 | 8 | 9 | 10 | 11 | 12 | 13 | 14 | 15, number>;
const recordFields = 16;

export class CoreInstance<Exports extends object> {
  /** Steps, called directly: a call costs a few nanoseconds. */
  readonly exports: Exports;
  memory: Uint8Array;
  view: DataView;
  /** What the last step left (assembly/abi.ts). */
  record: ResultRecord;
  private poisoned = false;

  /**
   * `bytes`: what all parts initialised in this instance will need; `mostBytes`: what they may need later, when the memory
   * grows. Errors: ENOMEM.
   */
  constructor(module: CoreModule, bytes: number, mostBytes: number = bytes) {
    const memory = makeMemory(pagesFor(bytes), pagesFor(mostBytes));
    const memory_grown = () => {
      [this.memory, this.view, this.record] = viewsOf(memory, address);
    };
    const { exports } = new WebAssembly.Instance(module.compiled(), { env: { memory, memory_grown } });
    this.exports = exports as unknown as Exports;
    const address = (exports as unknown as { result_record(): number }).result_record();
    [this.memory, this.view, this.record] = viewsOf(memory, address);
  }

  /** For hot steps that are called without `guard`: the first thing to do. */
  check(): void {
    if (this.poisoned) throw new BlockError('EIO');
  }

  /** Runs `step`; a trap in it becomes EIO, now and from now on. */
  guard<T>(step: () => T): T {
    this.check();
    try {
      return step();
    } catch (error) {
      throw this.poison(error);
    }
  }

  /** For hot steps that are called without `guard`: what to throw instead of the `error` that was caught. */
  poison(error: unknown): unknown {
    if (!(error instanceof WebAssembly.RuntimeError)) return error;
    this.poisoned = true;
    return new BlockError('EIO', undefined, { cause: error });
  }

  get isPoisoned(): boolean {
    return this.poisoned;
  }

  /** A buffer in the arena that host and steps share. */
  allocate(bytes: number, align = 16): { address: number; bytes: Uint8Array } {
    const { arena_allocate } = this.exports as unknown as {
      arena_allocate(bytes: number, align: number): number;
    };
    const address = this.guard(() => arena_allocate(bytes, align)) >>> 0;
    assert(address + bytes <= this.memory.length, 'not memory of the arena');
    return { address, bytes: this.memory.subarray(address, address + bytes) };
  }
}

function viewsOf({ buffer }: WebAssembly.Memory, record: number): [Uint8Array, DataView, ResultRecord] {
  const fields = new Float64Array(buffer, record, recordFields) as ResultRecord;
  return [new Uint8Array(buffer), new DataView(buffer), fields];
}

function pagesFor(bytes: number): number {
  return Math.ceil((bytes + staticBytes) / pageBytes);
}

function makeMemory(initial: number, maximum: number): WebAssembly.Memory {
  if (maximum > maxPages) throw new BlockError('ENOMEM');
  try {
    return new WebAssembly.Memory({ initial, maximum });
  } catch (error) {
    if (error instanceof RangeError) throw new BlockError('ENOMEM', undefined, { cause: error });
    throw error;
  }
}
