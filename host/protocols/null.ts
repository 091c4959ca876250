/**
 * The `null-co` and `null-aio` protocols: a disk that forgets (specification: graph, section 3). Writes are dropped.
 * Reads give zeros with `read-zeroes` and leave the buffer as it was without, so nothing may depend on them; for
 * measuring everything but the disk. The two differ in name only.
 */

import { BlockError, invalid } from '../base/errors.ts';
import { settled } from '../base/settled.ts';
import type { Driver, DriverDefinition, Extent, ZeroFlags } from '../block/driver.ts';
import type { Clock } from '../platform/platform.ts';
import { bool, byteCount, int, optional, struct, type TypeOf } from '../qapi/types.ts';

const defaultLength = 1 << 30;
/** The longest disk that QEMU has. Requests end at 2^53, as they do everywhere. */
const maxLength = 2 ** 63 - 2 ** 30;

const options = struct('BlockdevOptionsNull', {
  /** Bytes. */
  size: optional(byteCount),
  /** How long every request takes. */
  'latency-ns': optional(int),
  'read-zeroes': optional(bool),
});

export type NullOptions = TypeOf<typeof options>;

export const nullCo = nullProtocol('null-co');
export const nullAio = nullProtocol('null-aio');

function nullProtocol(name: string): DriverDefinition<NullOptions> {
  const onlyFilename = `${name}://`;
  return {
    name,
    kind: 'protocol',
    options,
    strongOptions: ['size', 'read-zeroes'],
    filenamePrefix: name,
    parseFilename(filename) {
      if (filename !== onlyFilename)
        throw invalid(`The only allowed filename for this driver is '${onlyFilename}'`);
      return {};
    },
    exactFilename: (given) =>
      given.size === undefined && given['read-zeroes'] === undefined ? onlyFilename : undefined,
    async open({ platform }, given) {
      const length = given.size ?? defaultLength;
      const latencyNs = given['latency-ns'] ?? 0;
      if (!(latencyNs >= 0)) throw invalid('latency-ns is invalid');
      return new NullDriver(platform.clock, length, latencyNs, given['read-zeroes'] === true);
    },
  };
}

class NullDriver implements Driver {
  constructor(
    private readonly clock: Clock,
    private length: number,
    private readonly latencyNs: number,
    private readonly readZeroes: boolean,
  ) {}

  private delay(): Promise<void> {
    if (this.latencyNs === 0) return settled;
    return new Promise((resolve) => void this.clock.setTimer(this.latencyNs, resolve));
  }

  async getLength(): Promise<number> {
    if (this.length > maxLength) throw new BlockError('EFBIG');
    return this.length;
  }

  read(_offset: number, buffer: Uint8Array): Promise<void> {
    if (this.readZeroes) buffer.fill(0);
    return this.delay();
  }

  write(): Promise<void> {
    return this.delay();
  }

  /** It has no other way than to write them. */
  async writeZeroes(_offset: number, _bytes: number, flags: ZeroFlags): Promise<void> {
    if (flags.noFallback) throw new BlockError('ENOTSUP');
    await this.delay();
  }

  flush(): Promise<void> {
    return this.delay();
  }

  async map(_offset: number, bytes: number): Promise<Extent> {
    return { type: 'own', bytes, zero: this.readZeroes, hole: true };
  }

  async getAllocatedBytes(): Promise<number> {
    return 0;
  }

  async reopen(): Promise<object> {
    return {};
  }

  async close(): Promise<void> {}
}
