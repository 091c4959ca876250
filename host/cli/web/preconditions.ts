/**
 * Conditions on a request, as RFC 9110 (section 13) has them: whether it is about the file as it is now.
 *
 * The ETag is made of everything that tells one state of a file from another: its length, when it was written, in nanoseconds, and
 * which file it is. It is a strong one, so that downloads can be resumed. Last-Modified counts seconds.
 *
 * Dates in the two forms that were obsolete in 1999 are no dates here.
 */
import type { BigIntStats } from 'node:fs';
import type { IncomingHttpHeaders } from 'node:http';

interface Validators {
  readonly etag: string;
  /** As HTTP writes dates. */
  readonly modified: string;
}

export function validatorsOf({ size, mtimeNs, ino, mtime }: BigIntStats): Validators {
  const state = [size, mtimeNs, ino].map((part) => part.toString(16));
  return { etag: `"${state.join('-')}"`, modified: mtime.toUTCString() };
}

/** What a GET or HEAD is to be answered with instead of the file. */
export function refusalOf(headers: IncomingHttpHeaders, state: Validators): 304 | 412 | undefined {
  const { 'if-match': match, 'if-none-match': noneMatch } = headers;
  if (match !== undefined) {
    if (!isListed(match, state.etag, 'strong')) return 412;
  } else if (isLaterThan(headers['if-unmodified-since'], state) === true) return 412;
  if (noneMatch !== undefined) return isListed(noneMatch, state.etag, 'weak') ? 304 : undefined;
  return isLaterThan(headers['if-modified-since'], state) === false ? 304 : undefined;
}

/** Whether a range may be answered with: If-Range names this state, or is not there. */
export function allowsRange(condition: string | string[] | undefined, state: Validators): boolean {
  return condition === undefined || condition === state.etag || condition === state.modified;
}

const entityTag = /(W\/)?"[\x21\x23-\x7e\x80-\xff]*"/g;

/** Whether `*` or a list of ETags has this one, which is strong. */
function isListed(list: string, etag: string, comparison: 'strong' | 'weak'): boolean {
  if (list.trim() === '*') return true;
  const tags = list.match(entityTag) ?? [];
  return tags.some((tag) => tag === etag || (comparison === 'weak' && tag === `W/${etag}`));
}

const httpDate = /^[A-Z][a-z]{2}, \d{2} [A-Z][a-z]{2} \d{4} \d{2}:\d{2}:\d{2} GMT$/;

/** Whether the file was written after a date; undefined: there is none to compare with. */
function isLaterThan(date: string | undefined, { modified }: Validators): boolean | undefined {
  const time = date !== undefined && httpDate.test(date) ? Date.parse(date) : Number.NaN;
  return Number.isNaN(time) ? undefined : Date.parse(modified) > time;
}
