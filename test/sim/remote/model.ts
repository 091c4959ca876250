/**
 * What a disk that is written to from elsewhere must contain: a model of sectors, each with the number of the write that filled it.
 *
 * A sector holds its last answered write. It may hold another one that has not been answered: that is under way, has failed, or was
 * asked for by somebody who is gone. What has been answered and not flushed may be lost with the server's power, and then one of the
 * older writes is there again, unless the client that was told tells the server once more.
 */
export const sectorBytes = 512;
const sectorWords = sectorBytes / 4;

/** Numbers by sector. */
type Candidates = Map<number, Set<number>>;

function add(candidates: Candidates, sector: number, number: number): void {
  const set = candidates.get(sector);
  if (set) set.add(number);
  else candidates.set(sector, new Set([number]));
}

/** The content between two moments: as it was at the first, and each sector perhaps as something written until the second. */
export class Instant {
  constructor(
    private readonly last: Uint32Array,
    private readonly others: Candidates,
  ) {}

  note(sector: number, number: number): void {
    add(this.others, sector, number);
  }

  /** What is wrong with a copy of it. `counts`: of which sectors. */
  complaint(copy: Uint8Array, counts: (sector: number) => boolean = () => true): string | undefined {
    return complaintOf(copy, 0, this.last, this.others, counts);
  }

  /** Of a part that begins at a sector. */
  complaintAt(first: number, part: Uint8Array): string | undefined {
    return complaintOf(part, first, this.last, this.others, () => true);
  }
}

function complaintOf(
  content: Uint8Array,
  first: number,
  last: Uint32Array,
  others: Candidates,
  counts: (sector: number) => boolean,
): string | undefined {
  const words = new Uint32Array(content.buffer, content.byteOffset, content.length / 4);
  for (let at = 0; at < words.length; at += sectorWords) {
    const sector = first + at / sectorWords;
    if (!counts(sector)) continue;
    const found = words[at]!; // there is a sector
    for (let word = at + 1; word < at + sectorWords; word++) {
      if (words[word] !== found) return `sector ${sector} is torn`;
    }
    if (found === last[sector] || others.get(sector)?.has(found)) continue;
    const more = [...(others.get(sector) ?? [])].map((other) => ` or ${other}`).join('');
    return `sector ${sector} is ${found} and not ${last[sector]}${more}`;
  }
  return undefined;
}

export interface Written {
  readonly first: number;
  readonly sectors: number;
  readonly number: number;
}

export class RemoteModel {
  private last: Uint32Array;
  /** What may be there instead. */
  private maybe: Candidates = new Map();
  /** What each sector may have been since a flush, of those that the client which is there has written to. */
  private unflushed: Candidates = new Map();
  /** The same, of clients that are gone. */
  private orphaned: Candidates = new Map();
  private readonly instants = new Set<Instant>();
  private readonly busy = new Set<Written>();
  /** The server has lost power, and the client may not have told it yet what it has written. */
  private isOwed = false;
  /** The client that is there has been answered a write. */
  private hasWritten = false;
  /** Under way when power was lost: the server may have done it before, and forgotten it. */
  private readonly doubtful = new Set<Written>();
  /** Begun since `watch`. */
  private watched = new Set<Written>();
  /** Sectors written to by what was begun since `watch` and is answered. */
  readonly touched = new Set<number>();

  constructor(readonly sectors: number) {
    this.last = new Uint32Array(sectors);
  }

  /** Nobody else asks for any of these sectors until it is given back. */
  reserve(written: Written): boolean {
    const { first, sectors } = written;
    for (const other of this.busy) {
      if (first < other.first + other.sectors && other.first < first + sectors) return false;
    }
    this.busy.add(written);
    return true;
  }

  release(written: Written): void {
    this.busy.delete(written);
  }

  /** Forgets what was touched. */
  watch(): void {
    this.watched = new Set();
    this.touched.clear();
  }

  begun(written: Written): void {
    const { first, sectors, number } = written;
    this.watched.add(written);
    for (let sector = first; sector < first + sectors; sector++) {
      const before = [this.last[sector]!, ...(this.maybe.get(sector) ?? [])]; // the disk has it
      for (const found of [...before, number]) add(this.unflushed, sector, found);
      add(this.maybe, sector, number);
      for (const instant of this.instants) instant.note(sector, number);
    }
  }

  answered(written: Written, isDurable: boolean): void {
    const { first, sectors, number } = written;
    const isWatched = this.watched.has(written);
    const isDoubtful = this.doubtful.delete(written);
    this.hasWritten = true;
    for (let sector = first; sector < first + sectors; sector++) {
      if (isWatched) this.touched.add(sector);
      this.last[sector] = number;
      if (isDoubtful) continue;
      this.maybe.delete(sector);
      this.orphaned.delete(sector);
      if (isDurable) this.unflushed.delete(sector);
    }
  }

  /** Given back: what is to be called when the flush that begins now is done. */
  flushBegun(): () => void {
    const before = this.last.slice();
    const writing = [...this.busy];
    // Who has not written anything has nothing to flush.
    const { hasWritten } = this;
    return () => {
      this.isOwed = false;
      for (const candidates of hasWritten ? [this.unflushed, this.orphaned] : [this.unflushed]) {
        for (const sector of candidates.keys()) {
          const isSame = this.last[sector] === before[sector] && !this.maybe.has(sector);
          if (isSame && !writing.some((one) => contains(one, sector))) candidates.delete(sector);
        }
      }
    };
  }

  /** The client is gone, and with it what it asked for. */
  clientLost(): void {
    this.busy.clear();
    if (this.isOwed) this.forgetPerhaps(this.unflushed);
    this.isOwed = this.hasWritten = false;
    for (const [sector, numbers] of this.unflushed)
      for (const number of numbers) add(this.orphaned, sector, number);
    this.unflushed.clear();
  }

  /** The server may have forgotten what was not flushed. `isToldAgain`: the client that is there tells it what that has written. */
  powerLost(isToldAgain: boolean): void {
    this.forgetPerhaps(this.orphaned);
    if (isToldAgain) this.isOwed = true;
    else {
      this.forgetPerhaps(this.unflushed);
      for (const written of this.busy) this.doubtful.add(written);
    }
  }

  private forgetPerhaps(candidates: Candidates): void {
    for (const [sector, numbers] of candidates) for (const number of numbers) add(this.maybe, sector, number);
  }

  /** Something will be as the disk is at some moment until `end`. */
  begin(): Instant {
    const others = new Map([...this.maybe].map(([sector, numbers]) => [sector, new Set(numbers)]));
    const instant = new Instant(this.last.slice(), others);
    this.instants.add(instant);
    return instant;
  }

  end(instant: Instant): void {
    this.instants.delete(instant);
  }

  /** What is wrong with sectors that nobody writes to. */
  complaint(first: number, content: Uint8Array): string | undefined {
    return complaintOf(content, first, this.last, this.maybe, () => true);
  }

  /** All of it has been read, and it is right: that is what is there from now on. */
  settle(content: Uint8Array): void {
    const words = new Uint32Array(content.buffer, content.byteOffset, content.length / 4);
    for (let sector = 0; sector < this.sectors; sector++) this.last[sector] = words[sector * sectorWords]!;
    this.maybe.clear();
  }
}

function contains({ first, sectors }: Written, sector: number): boolean {
  return first <= sector && sector < first + sectors;
}
