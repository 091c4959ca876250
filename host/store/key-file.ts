/**
 * Key files: the keys of a repository, sealed with keys that are made of a password (specification: store, section 4). There is one
 * for each password.
 */
import { BlockError } from '../base/errors.ts';
import { asRecord, base64In, countIn, type JsonRecord, parseRecord, toBase64 } from './json.ts';
import { maxScryptBytes } from './limits.ts';
import { type Primitives, type SealingKeys, seal, unseal } from './sealing.ts';

const saltBytes = 64;
/** What a new key file asks for: 32 MiB, and a tenth of a second. */
const newCost = { cost: 32_768, blockSize: 8, parallelization: 1 };
const maxParallelization = 16;

/** Whose password it is; for people only. */
export interface Owner {
  readonly username: string;
  readonly hostname: string;
}

/** Fresh ones, for a new repository. */
export function makeKeys({ random }: Primitives): SealingKeys {
  const bytes = (count: number): Uint8Array => {
    const made = new Uint8Array(count);
    random.fill(made);
    return made;
  };
  return { encrypt: bytes(32), k: bytes(16), r: bytes(16) };
}

/** The key file's content. `created`: RFC 3339. */
export async function sealKeys(
  primitives: Primitives,
  keys: SealingKeys,
  password: string,
  { username, hostname }: Owner,
  created: string,
): Promise<Uint8Array> {
  const salt = new Uint8Array(saltBytes);
  primitives.random.fill(salt);
  const user = await userKeys(primitives, password, salt, newCost);
  const plain = JSON.stringify({
    mac: { k: toBase64(keys.k), r: toBase64(keys.r) },
    encrypt: toBase64(keys.encrypt),
  });
  const data = await seal(primitives, user, new TextEncoder().encode(plain));
  const { cost, blockSize, parallelization } = newCost;
  const file = {
    ...{ created, username, hostname, kdf: 'scrypt', N: cost, r: blockSize, p: parallelization },
    ...{ salt: toBase64(salt), data: toBase64(data) },
  };
  return new TextEncoder().encode(JSON.stringify(file));
}

/** Undefined: it is not this password's. Errors: EIO when the file is not what a key file is to be. */
export async function unsealKeys(
  primitives: Primitives,
  file: Uint8Array,
  password: string,
  what: string,
): Promise<SealingKeys | undefined> {
  const record = parseRecord(file, what);
  if (record['kdf'] !== 'scrypt')
    throw new BlockError(
      'ENOTSUP',
      `${what}: keys are made by ${JSON.stringify(record['kdf'])}, not by scrypt`,
    );
  const salt = base64In(record, 'salt', saltBytes, what);
  const data = base64In(record, 'data', undefined, what);
  const user = await userKeys(primitives, password, salt, costOf(record, what));
  let plain: Uint8Array;
  try {
    plain = await unseal(primitives, user, data);
  } catch (error) {
    if (error instanceof BlockError && error.errno === 'EIO') return undefined;
    throw error;
  }
  const keys = parseRecord(plain, what);
  const mac = asRecord(keys['mac'], what);
  return {
    encrypt: base64In(keys, 'encrypt', 32, what),
    k: base64In(mac, 'k', 16, what),
    r: base64In(mac, 'r', 16, what),
  };
}

function costOf(record: JsonRecord, what: string): typeof newCost {
  const cost = countIn(record, 'N', maxScryptBytes, what);
  const blockSize = countIn(record, 'r', maxScryptBytes, what);
  const parallelization = countIn(record, 'p', maxParallelization, what);
  const isPowerOfTwo = cost > 1 && Number.isInteger(Math.log2(cost));
  if (!isPowerOfTwo || blockSize < 1 || parallelization < 1 || 128 * cost * blockSize > maxScryptBytes)
    throw new BlockError(
      'EIO',
      `${what} asks for keys that are too costly to make: N=${cost}, r=${blockSize}, p=${parallelization}`,
    );
  return { cost, blockSize, parallelization };
}

async function userKeys(
  { hashes }: Primitives,
  password: string,
  salt: Uint8Array,
  cost: typeof newCost,
): Promise<SealingKeys> {
  const made = await hashes.scrypt(new TextEncoder().encode(password), salt, cost, 64);
  return { encrypt: made.subarray(0, 32), k: made.subarray(32, 48), r: made.subarray(48, 64) };
}
