/** What users say about the buffer between guests' writes and the target of a copy (specification: jobs, section 7). */
import { BlockError, invalid } from '../base/errors.ts';
import { loadPart, type Platform } from '../platform/platform.ts';
import { optional, size, str, struct, type TypeOf } from '../qapi/types.ts';
import type { Spiller } from './spiller.ts';

const maxBufferBytes = 64 * 2 ** 30;

export const bufferOptions = struct('CbwBufferOptions', {
  /** Bytes of memory; 0: guests wait for the target. */
  'x-cbw-buffer': optional(size),
  /** A file that is made for it, or a directory to make one in; `auto`: the platform's for temporary files. */
  'x-cbw-spill': optional(str),
  /** Bytes. */
  'x-cbw-spill-max': optional(size),
});

/** Each user has policies of its own. */
type BufferOptions = TypeOf<typeof bufferOptions> & { 'x-cbw-policy'?: string | undefined };

/** Whether anything is said at all. */
export function saysBuffer(options: BufferOptions): boolean {
  const {
    'x-cbw-buffer': buffer,
    'x-cbw-spill': spill,
    'x-cbw-spill-max': max,
    'x-cbw-policy': policy,
  } = options;
  return buffer !== undefined || spill !== undefined || max !== undefined || policy !== undefined;
}

/** Bytes of the buffer. Throws when the options contradict each other. */
export function checkBuffer(options: BufferOptions, defaultBytes: number): number {
  const { 'x-cbw-buffer': bytes = defaultBytes } = options;
  if (bytes > maxBufferBytes) throw invalid(`x-cbw-buffer too large: ${bytes} > ${maxBufferBytes}`);
  if (options['x-cbw-spill-max'] !== undefined && options['x-cbw-spill'] === undefined) {
    throw invalid('x-cbw-spill-max needs x-cbw-spill');
  }
  if (bytes > 0) return bytes;
  if (options['x-cbw-spill'] !== undefined) throw invalid('x-cbw-spill needs an x-cbw-buffer of more than 0');
  if (options['x-cbw-policy'] !== undefined)
    throw invalid('x-cbw-policy needs an x-cbw-buffer of more than 0');
  return 0;
}

/** More than the disk has is never saved: `diskBytes` is the limit where nobody says one. Errors: it cannot be made. */
export async function openSpill(
  platform: Platform,
  options: BufferOptions,
  diskBytes: number,
): Promise<Spiller | undefined> {
  const { 'x-cbw-spill': path, 'x-cbw-spill-max': maxBytes = diskBytes } = options;
  if (path === undefined) return undefined;
  const { temporaryDirectory: directory } = platform;
  if (directory === undefined) {
    throw new BlockError('ENOTSUP', 'There are no files that a copy could be spilled to');
  }
  const { Spiller } = await loadPart(platform, () => import('./spiller.ts'));
  return Spiller.open(platform, { path: path === 'auto' ? directory : path, maxBytes });
}
