/** Objects of object stores: one that is there, as a driver, and new ones. */
import { BlockError, invalid } from '../../base/errors.ts';
import { withoutUndefined } from '../../base/without-undefined.ts';
import type { CreateValues, Driver, NewFileContext } from '../../block/driver.ts';
import type { OpenContext } from '../../block/open-context.ts';
import type { FileBounds, OrderedFile } from '../../block/ordered-file.ts';
import { secretText } from '../../block/secret-text.ts';
import { S3Access } from '../../store/s3/access.ts';
import { bucketUrl, objectUrl, type S3Address } from '../../store/s3/address.ts';
import { S3Client } from '../../store/s3/client.ts';
import { readCredentials, type S3Credentials } from '../../store/s3/credentials.ts';
import { type S3Settings, s3Settings } from '../../store/s3/settings.ts';
import { ObjectUpload } from '../../store/s3/upload.ts';
import { RemoteFile } from '../http/remote-file.ts';
import { defaultReadahead, defaultRetrySeconds, defaultTimeoutSeconds } from '../http/settings.ts';
import { requireReadOnly } from '../only-read.ts';
import { originOf, parseObjectName, type S3Options } from './options.ts';

const amazon = 'https://s3.amazonaws.com';

/** Errors: what is wrong with the options; EACCES: it would be writable; why it cannot be read, in the words of the store. */
export async function openObject(context: OpenContext, given: S3Options): Promise<Driver> {
  requireReadOnly(context, "'s3' driver can only read: an object is made as a whole, by 'img convert'");
  const { platform } = context;
  // Whoever made the image would choose who hears of them.
  if (context.isNamedByImage && given['key-id'] === undefined && !given.url.startsWith('s3:'))
    throw new BlockError(
      'EACCES',
      `'${given.url}' is named by an image: the credentials of the environment are for s3://BUCKET/KEY alone`,
    );
  const { address, key, settings, credentials } = await placeOf(context, given);
  const { through } = new S3Access(platform, address.endpoint, settings.region, credentials);
  return RemoteFile.open(context, {
    url: objectUrl(bucketUrl(address, settings.bucketLookup), key),
    readahead: defaultReadahead,
    requests: {
      timeoutSeconds: defaultTimeoutSeconds,
      retrySeconds: defaultRetrySeconds,
      headers: {},
      through,
    },
  });
}

/** Nothing is asked of the store yet. Errors: what is wrong with the values. */
export async function beginObject(
  context: NewFileContext,
  filename: string,
  { size: _, ...values }: CreateValues,
  bounds: FileBounds,
): Promise<OrderedFile> {
  const { platform } = context;
  const given = withoutUndefined({ ...values, url: filename }) as S3Options;
  const { address, key, settings, credentials } = await placeOf(context, given);
  const connect = (): S3Client => new S3Client(platform, address, settings, credentials);
  return new ObjectUpload(platform, connect, key, bounds);
}

interface Place {
  readonly address: S3Address;
  readonly key: string;
  readonly settings: S3Settings;
  readonly credentials: S3Credentials;
}

async function placeOf(context: NewFileContext, given: S3Options): Promise<Place> {
  const { environment = {} } = context.platform;
  const { endpoint: named, bucket, key } = parseObjectName(given.url);
  const { AWS_ENDPOINT_URL_S3, AWS_ENDPOINT_URL } = environment;
  const endpoint = named ?? originOf(AWS_ENDPOINT_URL_S3 || AWS_ENDPOINT_URL || amazon);
  const address = { endpoint, bucket, prefix: '' };
  const said = Object.entries(
    withoutUndefined({ region: given.region, 'bucket-lookup': given['bucket-lookup'] }),
  );
  const settings = s3Settings(
    address,
    new Map(said.map(([name, value]) => [`s3.${name}`, value])),
    environment,
  );
  return { address, key, settings, credentials: await credentialsOf(context, given) };
}

async function credentialsOf(context: NewFileContext, given: S3Options): Promise<S3Credentials> {
  const { platform } = context;
  const { 'key-id': accessKeyId, 'key-secret': key, 'token-secret': token } = given;
  if (accessKeyId === undefined && key === undefined && token === undefined)
    return readCredentials(platform.environment ?? {}, platform.files);
  if (accessKeyId === undefined || key === undefined)
    throw invalid("Options 'key-id' and 'key-secret' go together");
  return {
    accessKeyId,
    secretAccessKey: secretText(context, key),
    ...(token === undefined ? {} : { sessionToken: secretText(context, token) }),
  };
}
