/**
 * Finds out who reads on and on: several readers of one file may each have come to another place.
 */

/** Readers that are followed at once; the one that has been quiet longest is forgotten. */
const maxReaders = 8;
/** For those who never stop, reading ahead grows up to so many times its first length, as far as the line needs it. */
const maxGrowth = 64;

interface Reader {
  /** Where its last read ended. */
  end: number;
  /** Up to where reading ahead was asked for. */
  ahead: number;
  /** How far reading ahead goes beyond `end` the next time. */
  window: number;
}

export class ReadAhead {
  /** The last that read is at the end. */
  private readonly readers: Reader[] = [];

  /** `bytes`: how far reading ahead goes beyond the end of a read at first; 0 for never. */
  constructor(private readonly bytes: number) {}

  /**
   * A read of a range begins. Gives the range that should be fetched along. `useful`: bytes beyond which there is no point
   * in reading further ahead.
   */
  next(offset: number, bytes: number, useful: number): { offset: number; bytes: number } | undefined {
    if (this.bytes === 0) return undefined;
    const end = offset + bytes;
    const known = this.readers.findIndex((reader) => reader.end === offset);
    const [reader] = known < 0 ? [undefined] : this.readers.splice(known, 1);
    if (!reader) {
      this.readers.push({ end, ahead: end, window: this.bytes });
      if (this.readers.length > maxReaders) this.readers.shift();
      return undefined;
    }
    this.readers.push(reader);
    reader.end = end;
    const start = Math.max(end, reader.ahead);
    // Not before half of it is used up: requests are worth their while only when they are large.
    if (start - end > reader.window / 2) return undefined;
    reader.ahead = end + reader.window;
    const most = Math.min(useful, this.bytes * maxGrowth);
    reader.window = Math.max(this.bytes, Math.min(reader.window * 2, most));
    return { offset: start, bytes: reader.ahead - start };
  }
}
