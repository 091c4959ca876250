/** What people say of an object store beside its address, as restic's users do: options `s3.…`, and variables of the environment. */
import { BlockError, invalid } from '../../base/errors.ts';
import { type BucketLookup, bucketLookups, regionOf, type S3Address } from './address.ts';

export interface S3Settings {
  readonly bucketLookup: BucketLookup;
  /** Requests under way at a time; ≥ 1. */
  readonly connections: number;
  readonly region: string;
}

/** As restic has it. */
const defaultConnections = 5;
const maxConnections = 100;
const defaultRegion = 'us-east-1';
const names = ['s3.bucket-lookup', 's3.connections', 's3.region'];

/** `options`: by name. Errors: ENOTSUP: of an option that is not known; EINVAL: of a value that makes no sense. */
export function s3Settings(
  address: S3Address,
  options: ReadonlyMap<string, string>,
  environment: Readonly<Record<string, string | undefined>>,
): S3Settings {
  for (const name of options.keys())
    if (!names.includes(name))
      throw new BlockError('ENOTSUP', `Option '${name}' is not supported: there are ${names.join(', ')}`);
  const { AWS_DEFAULT_REGION, AWS_REGION } = environment;
  const region =
    options.get('s3.region') || AWS_DEFAULT_REGION || AWS_REGION || regionOf(address) || defaultRegion;
  return {
    bucketLookup: lookupOf(options.get('s3.bucket-lookup')),
    connections: connectionsOf(options.get('s3.connections')),
    region,
  };
}

function lookupOf(text = 'auto'): BucketLookup {
  const found = bucketLookups.find((lookup) => lookup === text);
  if (!found) throw invalid(`s3.bucket-lookup is ${bucketLookups.join(', ')}, and not '${text}'`);
  return found;
}

function connectionsOf(text: string | undefined): number {
  const count = text === undefined ? defaultConnections : Number(text);
  if (!Number.isInteger(count) || count < 1 || count > maxConnections)
    throw invalid(`s3.connections is a number from 1 to ${maxConnections}, and not '${text}'`);
  return count;
}
