/**
 * Where every blob of a kind is: 48 bytes for each, and about eight for finding it. A million takes less than 64 MiB.
 *
 * Entries are only added. They stand in segments, so that growing copies none; a table of places, twice as large as there are
 * entries, finds one by its id, which is as good as random.
 */
import { idBytes } from './ids.ts';

/** What is told of a blob. */
export interface BlobPlace {
  /** By the number of `addPack`. */
  readonly pack: number;
  readonly offset: number;
  readonly length: number;
  /** Undefined: not compressed. */
  readonly plainLength: number | undefined;
}

const segmentEntries = 4096;
const fields = 4;
/** In place of a plain length. */
const notCompressed = 0xffffffff;

interface Segment {
  readonly ids: Uint8Array;
  readonly places: Uint32Array;
}

export class BlobIndex {
  private readonly segments: Segment[] = [];
  private entries = 0;
  /** Entry numbers plus one; 0 is free. A power of two long. */
  private slots = new Uint32Array(2 * segmentEntries);

  get size(): number {
    return this.entries;
  }

  has(id: Uint8Array): boolean {
    return this.slots[this.slotOf(id)] !== 0;
  }

  find(id: Uint8Array): BlobPlace | undefined {
    const found = this.slots[this.slotOf(id)]!; // a slot
    return found === 0 ? undefined : this.placeAt(found - 1);
  }

  /** Of all that there are. */
  *places(): Generator<BlobPlace> {
    for (let entry = 0; entry < this.entries; entry++) yield this.placeAt(entry);
  }

  /** The first place stays when there are several: each is as good. */
  add(id: Uint8Array, { pack, offset, length, plainLength }: BlobPlace): void {
    if (2 * (this.entries + 1) > this.slots.length) this.grow();
    const slot = this.slotOf(id);
    if (this.slots[slot] !== 0) return;
    const entry = this.entries++;
    const at = entry % segmentEntries;
    if (at === 0)
      this.segments.push({
        ids: new Uint8Array(segmentEntries * idBytes),
        places: new Uint32Array(segmentEntries * fields),
      });
    const { ids, places } = this.segmentOf(entry);
    ids.set(id, at * idBytes);
    places.set([pack, offset, length, plainLength ?? notCompressed], at * fields);
    this.slots[slot] = entry + 1;
  }

  private placeAt(entry: number): BlobPlace {
    const at = (entry % segmentEntries) * fields;
    const [pack, offset, length, plainLength] = this.segmentOf(entry).places.subarray(
      at,
      at + fields,
    ) as unknown as [number, number, number, number];
    return { pack, offset, length, plainLength: plainLength === notCompressed ? undefined : plainLength };
  }

  private segmentOf(entry: number): Segment {
    return this.segments[Math.floor(entry / segmentEntries)]!; // of an entry that there is, or that is being added
  }

  /** Where an id is, or the free slot where it would be. */
  private slotOf(id: Uint8Array): number {
    const mask = this.slots.length - 1;
    const view = new DataView(id.buffer, id.byteOffset, idBytes);
    for (let slot = view.getUint32(0, true) & mask; ; slot = (slot + 1) & mask) {
      const found = this.slots[slot]!; // masked
      if (found === 0 || this.isAt(found - 1, id)) return slot;
    }
  }

  private isAt(entry: number, id: Uint8Array): boolean {
    const { ids } = this.segmentOf(entry);
    const start = (entry % segmentEntries) * idBytes;
    for (let i = 0; i < idBytes; i++) if (ids[start + i] !== id[i]) return false;
    return true;
  }

  private grow(): void {
    this.slots = new Uint32Array(2 * this.slots.length);
    for (let entry = 0; entry < this.entries; entry++) {
      const start = (entry % segmentEntries) * idBytes;
      this.slots[this.slotOf(this.segmentOf(entry).ids.subarray(start, start + idBytes))] = entry + 1;
    }
  }
}
