/**
 * Where a driver keeps bytes that lie encrypted behind an edge: whoever follows its extents and plans reads and writes plain
 * data, and nothing else gets there.
 *
 * Reads are decrypted in the buffer that they came into; a write is encrypted into a buffer of its own, for data belongs to
 * whoever asked. Sectors are numbered from where the edge's byte `start` is.
 */
import { assert } from '../base/assert.ts';
import { roundDown, roundUp, sectorBytes } from '../base/sectors.ts';
import type { SectorCipher } from '../crypto/sector-cipher.ts';
import type { DebugEvent } from './debug-events.ts';
import type { DataPlace, Driver, WriteFlags } from './driver.ts';
import type { Edge } from './edge.ts';

export class EncryptedPlace implements DataPlace {
  readonly plain = undefined;

  /** `start`: a multiple of a sector, and negative where the first sectors of the edge have numbers above 0. */
  constructor(
    private readonly edge: Edge,
    private readonly cipher: SectorCipher,
    private readonly start = 0,
  ) {}

  get debugged(): Driver | undefined {
    return this.edge.debugged;
  }

  debugEvent(event: DebugEvent): Promise<void> | undefined {
    return this.edge.debugEvent(event);
  }

  async read(offset: number, buffer: Uint8Array): Promise<void> {
    if (offset % sectorBytes !== 0 || buffer.length % sectorBytes !== 0)
      return this.readParts(offset, buffer);
    await this.edge.read(offset, buffer);
    this.cipher.decrypt(this.sector(offset), buffer);
  }

  /** The first and the last sector are not wanted as a whole. */
  private async readParts(offset: number, buffer: Uint8Array): Promise<void> {
    const first = roundDown(offset, sectorBytes);
    const whole = new Uint8Array(roundUp(offset + buffer.length, sectorBytes) - first);
    await this.read(first, whole);
    buffer.set(whole.subarray(offset - first, offset - first + buffer.length));
  }

  /** Whole sectors. */
  write(offset: number, buffer: Uint8Array, flags: WriteFlags = {}): Promise<void> {
    assert(
      offset % sectorBytes === 0 && buffer.length % sectorBytes === 0,
      'sectors are encrypted as a whole',
    );
    return this.edge.write(offset, this.cipher.encrypt(this.sector(offset), buffer), flags);
  }

  private sector(offset: number): number {
    return (offset - this.start) / sectorBytes;
  }
}
