/**
 * How restic's users name a repository in an object store, and the addresses of what is in it.
 *
 *   s3:HOST[:PORT]/BUCKET[/PREFIX]   s3://HOST…   s3:https://HOST…   s3:http://HOST…
 *
 * Without a scheme it is https. A bucket is the first part of the path, or of the host's name: the latter is what Amazon wants, and
 * what few others have a name service for.
 */
import { invalid } from '../../base/errors.ts';

/** Where the name of a bucket goes; `auto`: as the host is known to have it. */
export const bucketLookups = ['auto', 'dns', 'path'] as const;
export type BucketLookup = (typeof bucketLookups)[number];

export interface S3Address {
  /** `https://HOST[:PORT]`. */
  readonly endpoint: string;
  readonly bucket: string;
  /** Of every key: empty, or with a slash at the end. */
  readonly prefix: string;
}

/** `name`: behind `s3:`. Errors: EINVAL; secrets that were put into it are not repeated. */
export function parseAddress(name: string): S3Address {
  const text = /^https?:\/\//.test(name) ? name : `https://${name.replace(/^\/\//, '')}`;
  const url = URL.canParse(text) ? new URL(text) : undefined;
  if (url && (url.username !== '' || url.password !== ''))
    throw invalid(
      's3: the address of a repository has no user and password: use AWS_ACCESS_KEY_ID and others',
    );
  if (url?.search !== '' || url.hash !== '')
    throw invalid(`s3: '${name}' is no address: expecting s3:HOST/BUCKET/PREFIX`);
  // What the URL has done away with, `..`, would be another place than what was written.
  const parts = text
    .split('/')
    .slice(3)
    .filter((part) => part !== '' && part !== '.');
  if (parts.includes('..')) throw invalid(`s3: '${name}' has '..' in it`);
  const [bucket, ...folders] = parts;
  if (bucket === undefined) throw invalid(`s3: '${name}' names no bucket: expecting s3:HOST/BUCKET/PREFIX`);
  return { endpoint: url.origin, bucket, prefix: folders.map((part) => `${part}/`).join('') };
}

/** How people call it. */
export function locationOf({ endpoint, bucket, prefix }: S3Address): string {
  return `s3:${endpoint}/${bucket}${prefix === '' ? '' : `/${prefix.slice(0, -1)}`}`;
}

/** Undefined: it is no host of Amazon's, or of all regions. */
export function regionOf({ endpoint }: S3Address): string | undefined {
  return /^s3[.-](?:dualstack\.)?([a-z]{2}(?:-[a-z]+)+-\d)\.amazonaws\.com(?:\.cn)?$/.exec(
    new URL(endpoint).hostname,
  )?.[1];
}

/** What buckets' addresses begin with. `key`s are put behind it, encoded. */
export function bucketUrl({ endpoint, bucket }: S3Address, lookup: BucketLookup): string {
  const { protocol, host, hostname } = new URL(endpoint);
  const isAmazon = /\.amazonaws\.com(?:\.cn)?$/.test(hostname);
  // A certificate for *.HOST is not one for A.B.HOST.
  const fitsName = /^[a-z0-9][a-z0-9-]{1,61}[a-z0-9]$/.test(bucket);
  const isHost = lookup === 'dns' || (lookup === 'auto' && isAmazon && fitsName);
  return isHost ? `${protocol}//${bucket}.${host}` : `${endpoint}/${encodePart(bucket)}`;
}

/** With the query, whose order is the signature's. */
export function objectUrl(base: string, key: string, query: Readonly<Record<string, string>> = {}): string {
  const path = key.split('/').map(encodePart).join('/');
  const items = Object.entries(query).map(([name, value]) => `${encodePart(name)}=${encodePart(value)}`);
  return `${base}/${path}${items.length === 0 ? '' : `?${items.join('&')}`}`;
}

/** As signatures have it (RFC 3986, section 2.3): everything but letters, digits and `-._~`. */
function encodePart(text: string): string {
  return encodeURIComponent(text).replace(
    /[!'()*]/g,
    (char) => `%${char.charCodeAt(0).toString(16).toUpperCase()}`,
  );
}
