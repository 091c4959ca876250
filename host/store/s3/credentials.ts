/**
 * Who an object store is asked for: what restic and others who speak to one take from the environment, then the file of Amazon's tools.
 * Nothing of it is ever printed.
 */
import { BlockError, invalid } from '../../base/errors.ts';
import { decodeText } from '../../base/text.ts';
import type { Files } from '../../platform/platform.ts';

export interface S3Credentials {
  readonly accessKeyId: string;
  readonly secretAccessKey: string;
  /** Of somebody who is let in for a while. */
  readonly sessionToken?: string;
}

type Environment = Readonly<Record<string, string | undefined>>;

/** Names of variables that go together, the first that is set counts. */
const variables = [
  { id: 'AWS_ACCESS_KEY_ID', secret: 'AWS_SECRET_ACCESS_KEY', token: 'AWS_SESSION_TOKEN' },
  { id: 'AWS_ACCESS_KEY', secret: 'AWS_SECRET_KEY', token: 'AWS_SESSION_TOKEN' },
  { id: 'MINIO_ACCESS_KEY', secret: 'MINIO_SECRET_KEY', token: undefined },
  { id: 'MINIO_ROOT_USER', secret: 'MINIO_ROOT_PASSWORD', token: undefined },
] as const;
const maxFileBytes = 1 << 20;

/** Errors: EACCES: there are none; EINVAL: half of them is missing; of the file. */
export async function readCredentials(environment: Environment, files: Files): Promise<S3Credentials> {
  for (const { id, secret, token } of variables) {
    const [accessKeyId, secretAccessKey] = [environment[id] ?? '', environment[secret] ?? ''];
    if (accessKeyId === '' && secretAccessKey === '') continue;
    if (accessKeyId === '') throw invalid(`${secret} is set, and ${id} is not`);
    if (secretAccessKey === '') throw invalid(`${id} is set, and ${secret} is not`);
    return made(accessKeyId, secretAccessKey, token && environment[token]);
  }
  const found = await ofFile(environment, files);
  if (found) return found;
  throw new BlockError(
    'EACCES',
    'there are no credentials for the object store: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE and a file ~/.aws/credentials',
  );
}

function made(accessKeyId: string, secretAccessKey: string, sessionToken: string | undefined): S3Credentials {
  return { accessKeyId, secretAccessKey, ...(sessionToken ? { sessionToken } : {}) };
}

/** Undefined: there is no file, or no such profile where nobody has asked for one. */
async function ofFile(environment: Environment, files: Files): Promise<S3Credentials | undefined> {
  const home = environment['HOME'] ?? environment['USERPROFILE'];
  const named = environment['AWS_SHARED_CREDENTIALS_FILE'];
  const path = named ?? (home && `${home}/.aws/credentials`);
  const profile = environment['AWS_PROFILE'] ?? 'default';
  if (path === undefined || path === '') return undefined;
  let text: string;
  try {
    text = await readText(files, path);
  } catch (error) {
    if (named === undefined && error instanceof BlockError && error.errno === 'ENOENT') return undefined;
    throw error instanceof BlockError ? error.within(`Could not read the credentials in '${path}'`) : error;
  }
  const values = section(text, profile);
  const [id, secret] = [values.get('aws_access_key_id'), values.get('aws_secret_access_key')];
  if (id && secret) return made(id, secret, values.get('aws_session_token'));
  if (environment['AWS_PROFILE'] === undefined) return undefined;
  throw invalid(`'${path}' has no keys for AWS_PROFILE '${profile}'`);
}

async function readText(files: Files, path: string): Promise<string> {
  const file = await files.open(path, { write: false });
  try {
    const bytes = new Uint8Array(Math.min(await file.getSize(), maxFileBytes));
    await file.read(0, bytes);
    return decodeText(bytes);
  } finally {
    await file.close();
  }
}

/** `[NAME]`, and lines `name = value` behind it. */
function section(text: string, name: string): Map<string, string> {
  const values = new Map<string, string>();
  let isIn = false;
  for (const line of text.split(/\r?\n/)) {
    const title = /^\s*\[\s*(.*?)\s*\]/.exec(line)?.[1];
    if (title !== undefined) isIn = title === name;
    const [, key, value] = /^\s*([^#;=\s]+)\s*=\s*(.*?)\s*$/.exec(line) ?? [];
    if (isIn && key !== undefined && value !== undefined) values.set(key.toLowerCase(), value);
  }
  return values;
}
