/**
 * `iothread` and `main-loop`: event loops that devices and nodes can be given to.
 *
 * All work runs in one thread here, whichever loop it is given to; QEMU promises no more either. The tuning of a loop is kept and
 * shown. A loop may be deleted while something uses it.
 */
import { invalid } from '../base/errors.ts';
import { checkStrict } from '../qapi/strict.ts';
import { int, type StructType, struct } from '../qapi/types.ts';
import { optionalInts } from '../throttle/limit-names.ts';
import type { ObjectType, UserObject } from './object-type.ts';
import type { QomProperty } from './qom.ts';

/** What holds when nobody says. */
const commonDefaults = { 'thread-pool-min': 0, 'aio-max-batch': 0, 'thread-pool-max': 64 };
const iothreadDefaults = { ...commonDefaults, 'poll-max-ns': 32_768, 'poll-grow': 0, 'poll-shrink': 0 };

type Tuning = Readonly<Record<string, number>>;

export class EventLoop implements UserObject {
  readonly properties: readonly QomProperty[];

  constructor(
    readonly typeName: string,
    private values: Tuning,
  ) {
    check(values);
    this.properties = Object.keys(values).map((name) => ({
      name,
      type: 'int',
      get: () => this.values[name],
      set: (value) => {
        const given = checkStrict(struct('EventLoopValue', { [name]: int }), { [name]: value }) as Tuning;
        const changed = { ...this.values, ...given };
        check(changed);
        this.values = changed;
      },
    }));
  }

  /** Nanoseconds and counts, by QEMU's names. */
  get tuning(): Tuning {
    return this.values;
  }
}

function check(values: Tuning): void {
  for (const [name, value] of Object.entries(values)) {
    if (value < 0) throw invalid(`${name} value must be in range [0, ${2n ** 63n - 1n}]`);
  }
  const { 'thread-pool-min': min = 0, 'thread-pool-max': max = 0 } = values;
  if (max < 1 || min > max) throw invalid('bad thread-pool-min/thread-pool-max values');
}

function eventLoopType(name: string, defaults: Tuning): ObjectType<Tuning> {
  return {
    name,
    options: struct(`${name}-properties`, optionalInts(Object.keys(defaults))) as StructType<Tuning>,
    create: (_context, _id, options) => new EventLoop(name, { ...defaults, ...options }),
  };
}

export const iothread = eventLoopType('iothread', iothreadDefaults);
export const mainLoop = eventLoopType('main-loop', commonDefaults);
