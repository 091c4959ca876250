/** Options of the `s3` driver, and the names of objects. */
import { invalid } from '../../base/errors.ts';
import { enumeration, optional, str, struct, type TypeOf } from '../../qapi/types.ts';
import { bucketLookups } from '../../store/s3/address.ts';

export const options = struct('BlockdevOptionsS3', {
  /** `s3://BUCKET/KEY`, or `https+s3://HOST/BUCKET/KEY`. */
  url: str,
  /** The id of the access key; with `key-secret`, and in place of what the environment says. */
  'key-id': optional(str),
  /** Id of the secret object that has the key itself. */
  'key-secret': optional(str),
  /** Id of the secret object that has the token of a session. */
  'token-secret': optional(str),
  /** Of the bucket. */
  region: optional(str),
  /** Where the name of the bucket goes. */
  'bucket-lookup': optional(enumeration('S3BucketLookup', [...bucketLookups])),
});

export type S3Options = TypeOf<typeof options>;

/** What of them can be said when an object is made. */
export const creationOptions = [
  { name: 'key-id', type: 'string', help: 'Id of the access key, in place of the environment’s' },
  { name: 'key-secret', type: 'string', help: 'ID of the secret that has the access key' },
  { name: 'token-secret', type: 'string', help: 'ID of the secret that has the token of a session' },
  { name: 'region', type: 'string', help: 'Region of the bucket' },
  {
    name: 'bucket-lookup',
    type: 'string',
    help: 'Where the bucket is named (allowed values: auto, dns, path)',
  },
] as const;

/** Where an object is. */
interface ObjectName {
  /** Undefined: where the environment says, or Amazon's. */
  readonly endpoint: string | undefined;
  readonly bucket: string;
  readonly key: string;
}

/** Everything behind the bucket is the key, as it is. Errors: EINVAL. */
export function parseObjectName(url: string): ObjectName {
  const [, scheme = '', host = '', rest = ''] = /^(s3|https?\+s3):\/\/([^/]*)\/(.*)$/s.exec(url) ?? [];
  const isPlain = !scheme.endsWith('+s3');
  const [, bucket, key] = isPlain ? ['', host, rest] : (/^([^/]*)\/(.*)$/s.exec(rest) ?? []);
  if (!bucket || !key || host === '')
    throw invalid(`'${url}' names no object: expecting s3://BUCKET/KEY or https+s3://HOST/BUCKET/KEY`);
  if (host.includes('@'))
    throw invalid('the name of an object has no user and password: use AWS_ACCESS_KEY_ID and others');
  // Addresses on the web have no such parts.
  if (key.split('/').some((part) => part === '.' || part === '..'))
    throw invalid(`'${url}' has '.' or '..' in it`);
  return { endpoint: isPlain ? undefined : originOf(`${scheme.replace('+s3', '')}://${host}`), bucket, key };
}

/** Errors: EINVAL. */
export function originOf(endpoint: string): string {
  const url = URL.canParse(endpoint) ? new URL(endpoint) : undefined;
  if (url && /^https?:$/.test(url.protocol) && url.pathname === '/' && url.search === '' && url.hash === '')
    return url.origin;
  throw invalid(`'${endpoint}' is no address of an object store: expecting https://HOST[:PORT]`);
}
