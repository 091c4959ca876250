/** An export as a server has told of it, and what was agreed on about its use. */
import { type ReplyForm, TransmissionFlag } from '../constants.ts';

/** What a server tells of an export before anything is read from it. */
export interface RemoteExport {
  readonly name: string;
  /** Empty: none was told. */
  readonly description: string;
  /** Bytes. */
  readonly size: number;
  /** `TransmissionFlag`s. */
  readonly flags: number;
  /** Bytes: see OfferedExport. Absent: the server says nothing of it. */
  readonly blockSizes?: BlockSizes | undefined;
}

export interface BlockSizes {
  readonly minimum: number;
  readonly preferred: number;
  /** A multiple of the smallest one; 2^32 - 1 where there is no limit. */
  readonly maximum: number;
}

/** What can be asked of an export from now on. */
export interface UsedExport extends RemoteExport {
  readonly replies: ReplyForm;
  /** The number of the kind of block status that was asked for; undefined where there is none. */
  readonly context: number | undefined;
}

/** An export in a list: its kinds of block status, too. */
export interface ListedExport extends RemoteExport {
  readonly contexts: readonly string[];
}

export function hasFlag({ flags }: RemoteExport, flag: keyof typeof TransmissionFlag): boolean {
  return (flags & TransmissionFlag[flag]) !== 0;
}
