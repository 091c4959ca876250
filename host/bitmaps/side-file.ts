/**
 * The file of dirty bitmaps beside an image (side-file-format.ts), as it is read and written.
 *
 * A checkpoint replaces all that was in the file, or nothing: it goes to a place that is not in use, and the head switches
 * over when it is durable. Regions are added to what the last checkpoint began. Each call is durable when it returns.
 * The caller makes one at a time.
 */
import { crc32 } from '../base/crc32.ts';
import { BlockError } from '../base/errors.ts';
import { roundUp } from '../base/sectors.ts';
import type { Files, HostFile } from '../platform/platform.ts';
import {
  decodeBitmaps,
  decodeHead,
  decodePage,
  encodeBitmaps,
  encodeHead,
  encodePage,
  firstAreaOffset,
  type Head,
  headPlaces,
  pageBytes,
  regionsPerPage,
  type SavedBitmap,
  sectorBytes,
  signature,
  signaturePlace,
} from './side-file-format.ts';

/** Appended to the name of the image. */
export const sideFileSuffix = '.bitmaps';

export interface Checkpoint
  extends Pick<Head, 'state' | 'identity' | 'former' | 'diskBytes' | 'regionBytes' | 'imageTime'> {
  readonly bitmaps: readonly SavedBitmap[];
  /** Numbers of regions that may be written to at this moment; 0 … ⌈diskBytes / regionBytes⌉ - 1. */
  readonly regions: readonly number[];
}

/** Of what the file holds, all is needed to make use of any. */
export async function readSideFile(files: Files, path: string): Promise<Checkpoint | undefined> {
  try {
    await files.stat(path);
  } catch (error) {
    if (error instanceof BlockError && error.errno === 'ENOENT') return undefined;
    throw error;
  }
  const file = await files.open(path, { write: false });
  try {
    return await readCheckpoint(file);
  } finally {
    await file.close();
  }
}

async function readHeads(file: HostFile): Promise<(Head | undefined)[]> {
  const heads: (Head | undefined)[] = [];
  for (const place of headPlaces) {
    const sector = new Uint8Array(sectorBytes);
    await file.read(place, sector);
    heads.push(decodeHead(sector));
  }
  return heads;
}

function newest(heads: readonly (Head | undefined)[]): number {
  const [first = -1, second = -1] = heads.map((head) => head?.sequence ?? -1);
  return first < 0 && second < 0 ? -1 : first > second ? 0 : 1;
}

async function readCheckpoint(file: HostFile): Promise<Checkpoint | undefined> {
  const heads = await readHeads(file);
  const head = heads[newest(heads)];
  if (!head) return undefined;
  const payloadOffset = head.areaOffset + head.pages * pageBytes;
  if (payloadOffset + head.payloadBytes > (await file.getSize())) return undefined;
  const pages = new Uint8Array(head.pages * pageBytes);
  await file.read(head.areaOffset, pages);
  const regions: number[] = [];
  for (let index = 0; index < head.pages; index++) {
    const bits = decodePage(head.sequence, index, pages.subarray(index * pageBytes, (index + 1) * pageBytes));
    if (!bits) return undefined;
    for (let i = 0; i < regionsPerPage; i++) {
      if ((bits[i >> 3]! >> (i & 7)) & 1) regions.push(index * regionsPerPage + i); // a bit for each region
    }
  }
  const payload = new Uint8Array(head.payloadBytes);
  await file.read(payloadOffset, payload);
  if (crc32(payload) !== head.payloadCrc) return undefined;
  return { ...head, bitmaps: decodeBitmaps(payload), regions };
}

interface Page {
  bits: Uint8Array;
  /** Which of the two places was written last. */
  place: number;
}

/** Makes sure that the file is ours before anything in it changes. A crash can leave it empty, or zeros, at first. */
async function sign(file: HostFile, path: string): Promise<void> {
  const start = new Uint8Array(signaturePlace + sectorBytes);
  await file.read(0, start);
  if (signature.every((byte, index) => start[signaturePlace + index] === byte)) return;
  if ((await file.getSize()) > start.length || start.some((byte) => byte !== 0)) {
    throw new BlockError('EEXIST', `'${path}' is not a file of dirty bitmaps`);
  }
  const sector = new Uint8Array(sectorBytes);
  sector.set(signature);
  await file.write(signaturePlace, sector);
  await file.flush();
}

export class SideFile {
  private head: Head | undefined;
  private pages: Page[] = [];

  private constructor(
    private readonly file: HostFile,
    private place: number,
    /** How far the area in use reaches, and where it starts. */
    private area: { start: number; end: number } | undefined,
  ) {}

  /** Opens the file, or makes it, for a checkpoint to come first; until that is there, what it holds stays. */
  static async open(files: Files, path: string): Promise<SideFile> {
    const file = await files.open(path, { write: true, create: 'if-absent' });
    try {
      await sign(file, path);
      const heads = await readHeads(file);
      const place = newest(heads);
      const head = heads[place];
      const side = new SideFile(file, Math.max(place, 0), head && areaOf(head));
      side.head = head;
      return side;
    } catch (error) {
      await file.close();
      throw error;
    }
  }

  async checkpoint(checkpoint: Checkpoint): Promise<void> {
    const { bitmaps, regions, ...facts } = checkpoint;
    const sequence = (this.head?.sequence ?? 0) + 1;
    const regionCount = Math.ceil(facts.diskBytes / facts.regionBytes);
    const pages = Array.from({ length: Math.ceil(regionCount / regionsPerPage) }, () => ({
      bits: new Uint8Array(regionsPerPage / 8),
      place: 1,
    }));
    for (const region of regions) setRegion(pages, region);
    const payload = encodeBitmaps(bitmaps);
    const bytes = new Uint8Array(pages.length * pageBytes + payload.length);
    for (const [index, { bits }] of pages.entries()) {
      const copy = encodePage(sequence, index, bits);
      for (let at = 0; at < pageBytes; at += sectorBytes) bytes.set(copy, index * pageBytes + at);
    }
    bytes.set(payload, pages.length * pageBytes);
    const areaOffset = this.freeSpace(bytes.length);
    const head: Head = {
      ...facts,
      sequence,
      areaOffset,
      pages: pages.length,
      payloadBytes: payload.length,
      payloadCrc: crc32(payload),
    };
    await this.file.write(areaOffset, bytes);
    await this.file.flush();
    const place = 1 - this.place;
    await this.file.write(headPlaces[place]!, encodeHead(head)); // 0 or 1, as below
    await this.file.flush();
    // Two heads would do, if storage never failed: the older must not be believed when the newer is damaged.
    await this.file.write(headPlaces[this.place]!, new Uint8Array(sectorBytes));
    await this.file.flush();
    this.head = head;
    this.pages = pages;
    this.place = place;
    this.area = areaOf(head);
  }

  /** From now on these may be written to. */
  async addRegions(regions: readonly number[]): Promise<void> {
    const { sequence, areaOffset } = this.head!; // a checkpoint came first
    const changed = new Set(regions.map((region) => setRegion(this.pages, region)));
    for (const index of changed) {
      const page = this.pages[index]!; // setRegion gave its number
      page.place = 1 - page.place;
      const copy = encodePage(sequence, index, page.bits);
      const both = new Uint8Array(2 * sectorBytes);
      both.set(copy);
      both.set(copy, sectorBytes);
      await this.file.write(areaOffset + index * pageBytes + page.place * both.length, both);
    }
    await this.file.flush();
  }

  close(): Promise<void> {
    return this.file.close();
  }

  /** Before the area in use when there is room, else behind it. */
  private freeSpace(bytes: number): number {
    if (!this.area || this.area.start >= firstAreaOffset + bytes) return firstAreaOffset;
    return roundUp(this.area.end, 4096);
  }
}

function areaOf({ areaOffset, pages, payloadBytes }: Head): { start: number; end: number } {
  return { start: areaOffset, end: areaOffset + pages * pageBytes + payloadBytes };
}

/** The page that it is on. */
function setRegion(pages: readonly Page[], region: number): number {
  const index = Math.floor(region / regionsPerPage);
  const bit = region % regionsPerPage;
  pages[index]!.bits[bit >> 3]! |= 1 << (bit & 7); // there is a page for every region of the disk
  return index;
}
