/**
 * One file as the answer to a GET or HEAD, whole or a range of it.
 *
 * The file is opened first, and everything that is said of it is said of what was opened: another file that takes its name meanwhile
 * changes nothing. The descriptor is closed before the promise settles, whatever becomes of the client or the file. An answer
 * that cannot be completed is broken off with its connection, so that nobody takes what was sent for all of it.
 *
 * Not built on a library of static servers: those that were looked at (sirv, send, and its sister for Fastify) look at a name first
 * and open it later, leave a client to wait for the rest of a file that has become shorter, refuse the last bytes of a file that has
 * fewer, and answer HEAD with ranges.
 *
 * What has compressed forms is sent in the one that the client takes best. Each form is a file of its own, with an ETag and ranges of
 * its own (RFC 9110, section 8.8.3.3); that there is a choice is said with every answer about such a file. Images have none.
 */
import { constants } from 'node:fs';
import { type FileHandle, open } from 'node:fs/promises';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { pipeline } from 'node:stream/promises';
import { acceptedCodings, type ContentCoding } from './content-codings.ts';
import { allowsRange, refusalOf, validatorsOf } from './preconditions.ts';
import { type ByteRange, rangeOf } from './ranges.ts';

const pieceBytes = 64 * 1024;

/** Errors of `open` that say that there is no such file. All others may be gone the next time. */
const absent = new Set(['ENOENT', 'ENOTDIR', 'ENAMETOOLONG', 'ELOOP']);

export interface ServedFile {
  readonly path: string;
  readonly type: string;
  /** Where its compressed forms are, but for what the name of each ends in. They need not be there. */
  readonly compressed?: string;
}

/** A form of a file, opened. */
interface Form {
  readonly file: FileHandle;
  /** Undefined: as it is. */
  readonly coding: ContentCoding | undefined;
}

/** Gives an answer without a body that is still to be told in words; undefined: the request is answered, or its client gone. */
export async function answerWithFile(
  request: IncomingMessage,
  response: ServerResponse,
  served: ServedFile,
): Promise<404 | 412 | 416 | 503 | undefined> {
  if (served.compressed !== undefined) response.setHeader('Vary', 'Accept-Encoding');
  const form = await openForm(served, request.headers['accept-encoding']);
  if (typeof form === 'number') return form;
  try {
    return await answerWithOpen(request, response, form, served.type);
  } finally {
    await form.file.close();
  }
}

async function openForm(
  { path, compressed }: ServedFile,
  accepted: string | string[] | undefined,
): Promise<Form | 404 | 503> {
  if (compressed !== undefined) {
    for (const coding of acceptedCodings(accepted)) {
      const file = await tryOpen(compressed + coding.suffix);
      if (typeof file !== 'number') return { file, coding };
    }
  }
  const file = await tryOpen(path);
  return typeof file === 'number' ? file : { file, coding: undefined };
}

/** Or the status that says why not. */
async function tryOpen(path: string): Promise<FileHandle | 404 | 503> {
  try {
    // What takes the name of an image may be a pipe, whose opening would wait for a writer.
    return await open(path, constants.O_RDONLY | constants.O_NONBLOCK);
  } catch (error) {
    return absent.has((error as NodeJS.ErrnoException).code ?? '') ? 404 : 503;
  }
}

async function answerWithOpen(
  { method, headers }: IncomingMessage,
  response: ServerResponse,
  { file, coding }: Form,
  type: string,
): Promise<404 | 412 | 416 | undefined> {
  const stat = await file.stat({ bigint: true });
  if (!stat.isFile()) return 404;
  const length = Number(stat.size);
  const state = validatorsOf(stat);
  response.setHeader('Accept-Ranges', 'bytes');
  response.setHeader('ETag', state.etag);
  response.setHeader('Last-Modified', state.modified);
  const refusal = refusalOf(headers, state);
  if (refusal === 412) return refusal;
  if (refusal === 304) {
    response.writeHead(refusal).end();
    return undefined;
  }
  const mayBePart = method === 'GET' && allowsRange(headers['if-range'], state);
  const range = mayBePart ? rangeOf(headers.range, length) : 'whole file';
  if (range === 'unsatisfiable') {
    response.setHeader('Content-Range', `bytes */${length}`);
    return 416;
  }
  const { first, last } = range === 'whole file' ? { first: 0, last: length - 1 } : range;
  if (range !== 'whole file') response.setHeader('Content-Range', `bytes ${first}-${last}/${length}`);
  response.setHeader('Content-Type', type);
  if (coding) response.setHeader('Content-Encoding', coding.name);
  response.setHeader('Content-Length', last + 1 - first);
  response.writeHead(range === 'whole file' ? 200 : 206);
  if (method === 'HEAD') response.end();
  else await sendRange(response, file, { first, last });
  return undefined;
}

async function sendRange(response: ServerResponse, file: FileHandle, range: ByteRange): Promise<void> {
  try {
    await pipeline(piecesOf(file, range), response);
  } catch {
    // The client has gone, or the file is not what was promised. Neither can be told any more.
    response.destroy();
  }
}

/** Errors: those of reading; a range that the file no longer has. */
async function* piecesOf(file: FileHandle, { first, last }: ByteRange): AsyncGenerator<Uint8Array> {
  for (let offset = first; offset <= last; ) {
    const bytes = Math.min(pieceBytes, last + 1 - offset);
    const { bytesRead, buffer } = await file.read(Buffer.allocUnsafe(bytes), 0, bytes, offset);
    if (bytesRead === 0) throw new Error('the file has become shorter');
    yield buffer.subarray(0, bytesRead);
    offset += bytesRead;
  }
}
