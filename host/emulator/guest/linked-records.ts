/**
 * Linked records: data on two disks from which one can tell whether copies of both show one instant.
 *
 * A writer appends records to disk A and disk B in turn and waits for each: record n of A, then record n of B, which
 * names it, then record n + 1 of A, which names record n of B. So at every instant the disks hold n records each, or A
 * holds one more. Copies of both taken at one instant must show the same; a copy of B that names a record which the
 * copy of A lacks, or the other way round, was taken later than the other.
 *
 * A record takes one slot of 512 bytes, written whole; slots follow each other from the start of the disk:
 *
 * | offset | bytes | field                                           |
 * |--------|-------|-------------------------------------------------|
 * | 0      | 8     | magic `BYLINKED`                                |
 * | 8      | 4     | disk: 0 A, 1 B                                  |
 * | 12     | 4     | number, from 1                                  |
 * | 16     | 4     | number of the other disk's last record          |
 * | 20     | 4     | check word over the fields above                |
 * | 24     | 488   | filler derived from the number                  |
 *
 * The embedded guest (guest.s) keeps them in the first 64 MiB of a disk: what lies behind may be anything. It runs in pages too,
 * where the core is in another thread, so nothing here needs it.
 */
export const recordBytes = 512;
/** Where the embedded guest has records: at most so many bytes from the start of a disk. */
export const recordAreaBytes = 64 << 20;
const magic = [...'BYLINKED'].map((char) => char.charCodeAt(0));

interface LinkedRecord {
  disk: 0 | 1;
  number: number;
  /** The other disk's newest record when this one was written. */
  names: number;
}

function encodeRecord({ disk, number, names }: LinkedRecord): Uint8Array {
  const record = new Uint8Array(recordBytes).fill(number & 0xff);
  record.set(magic);
  const view = new DataView(record.buffer);
  view.setUint32(8, disk);
  view.setUint32(12, number);
  view.setUint32(16, names);
  view.setUint32(20, checkWord(disk, number, names));
  return record;
}

/** Undefined when the slot was never written. Throws when it holds anything but a whole record. */
function decodeRecord(slot: Uint8Array): LinkedRecord | undefined {
  if (isEmpty(slot)) return undefined;
  const view = new DataView(slot.buffer, slot.byteOffset);
  const [disk, number, names] = [view.getUint32(8), view.getUint32(12), view.getUint32(16)];
  const whole =
    magic.every((byte, i) => slot[i] === byte) && view.getUint32(20) === checkWord(disk, number, names);
  if (!whole || slot.subarray(24).some((byte) => byte !== (number & 0xff))) {
    const head = Array.from(slot.subarray(0, 32), (byte) => byte.toString(16).padStart(2, '0')).join('');
    throw new Error(`slot holds neither a whole record nor nothing: ${head}`);
  }
  return { disk: disk as 0 | 1, number, names };
}

/** `bytes`: of whole slots. */
function isEmpty(bytes: Uint8Array): boolean {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  for (let at = 0; at < bytes.length; at += 8)
    if ((view.getInt32(at) | view.getInt32(at + 4)) !== 0) return false;
  return true;
}

function checkWord(disk: number, number: number, names: number): number {
  return (
    (Math.imul(disk + 1, 0x9e3779b1) ^ Math.imul(number, 0x85ebca6b) ^ Math.imul(names, 0xc2b2ae35)) >>> 0
  );
}

/** What a disk can be read and written through. */
export interface RecordDisk {
  readonly length: number;
  read(offset: number, buffer: Uint8Array): Promise<void>;
  write(offset: number, buffer: Uint8Array): Promise<void>;
}

/** Appends linked records to two disks until told to stop, and knows how long each took. */
export class RecordWriter {
  /** Records on each disk so far. */
  readonly written: [number, number] = [0, 0];
  /** Nanoseconds from one finished record to the next. */
  readonly intervalsNs: number[] = [];
  private stopped = false;

  constructor(
    private readonly disks: readonly [RecordDisk, RecordDisk],
    private readonly clock: { nowNs(): number; yield(): Promise<void> },
  ) {}

  stop(): void {
    this.stopped = true;
  }

  /** Settles after `stop`, or when the disks are full. Errors: those of the disks. */
  async run(): Promise<void> {
    const slots = Math.floor(Math.min(this.disks[0].length, this.disks[1].length) / recordBytes);
    let last = this.clock.nowNs();
    for (let number = this.written[1] + 1; number <= slots && !this.stopped; number++) {
      for (const disk of [0, 1] as const) {
        const names = this.written[disk === 0 ? 1 : 0];
        await this.disks[disk].write((number - 1) * recordBytes, encodeRecord({ disk, number, names }));
        this.written[disk] = number;
        const now = this.clock.nowNs();
        this.intervalsNs.push(now - last);
        last = now;
      }
      await this.clock.yield();
    }
  }
}

export interface LinkedRecordProof {
  /** Records found on A and on B. */
  records: [number, number];
  /** What contradicts one instant; empty when nothing does. */
  violations: string[];
}

/** Reads two copies and tells whether they can show one instant. */
export async function proveOneInstant(copies: readonly [RecordDisk, RecordDisk]): Promise<LinkedRecordProof> {
  const violations: string[] = [];
  const found = [
    await readRecords(copies[0], 0, violations),
    await readRecords(copies[1], 1, violations),
  ] as const;
  for (const disk of [0, 1] as const) {
    const other = found[disk === 0 ? 1 : 0].length;
    for (const record of found[disk]) {
      if (record.names <= other) continue;
      violations.push(
        `record ${record.number} on disk ${'AB'[disk]} names record ${record.names} on disk ${'BA'[disk]}, which has ${other}`,
      );
    }
  }
  return { records: [found[0].length, found[1].length], violations };
}

/** The records of one disk up to the first empty slot, which nothing may follow. */
async function readRecords(disk: RecordDisk, which: 0 | 1, violations: string[]): Promise<LinkedRecord[]> {
  const records: LinkedRecord[] = [];
  const chunk = new Uint8Array(1 << 20);
  let ended = false;
  for (let offset = 0; offset + recordBytes <= disk.length; offset += chunk.length) {
    const part = chunk.subarray(0, Math.min(chunk.length, disk.length - offset));
    await disk.read(offset, part);
    if (isEmpty(part)) {
      ended = true;
      continue;
    }
    for (let at = 0; at + recordBytes <= part.length; at += recordBytes) {
      const record = decodeRecord(part.subarray(at, at + recordBytes));
      if (!record) {
        ended = true;
        continue;
      }
      const number = (offset + at) / recordBytes + 1;
      if (ended || record.disk !== which || record.number !== number) {
        violations.push(
          `slot ${number} of disk ${'AB'[which]} holds record ${record.number} of disk ${'AB'[record.disk]}${ended ? ' after a gap' : ''}`,
        );
      }
      records.push(record);
    }
  }
  return records;
}
