/** What options say that a new LUKS volume is to be, or how its key slots are to change (specification: luks, section 4). */
import { invalid } from '../../base/errors.ts';
import type { CreateValues } from '../../block/driver.ts';
import { type CipherNames, checkCipher } from '../named-cipher.ts';
import { defaultIterTimeMs } from './iterations.ts';
import { cipherNames, hashNames, ivNames, modeNames } from './options.ts';

/** A volume that is to be made. */
export interface NewVolume {
  readonly cipher: CipherNames;
  readonly keyBytes: number;
  readonly hash: string;
  readonly iterTimeMs: number;
  /** The id of the secret whose passphrase opens it. */
  readonly keySecret: string;
}

/** Errors: EINVAL with QEMU's words; ENOTSUP for what is not done here. */
export function parseNewVolume(values: CreateValues, prefix: string): NewVolume {
  const text = (name: string, allowed: readonly string[], fallback: string): string => {
    const value = String(values[prefix + name] ?? fallback);
    if (!allowed.includes(value)) throw invalid(`Parameter '${name}' does not accept value '${value}'`);
    return value;
  };
  const keySecret = values[`${prefix}key-secret`];
  if (keySecret === undefined) throw invalid(`Parameter '${prefix}key-secret' is required for cipher`);
  const [algorithm = '', bits] = text('cipher-alg', cipherNames, 'aes-256').split('-');
  const mode = text('cipher-mode', modeNames, 'xts');
  const ivGenerator = text('ivgen-alg', ivNames, 'plain64');
  const ivHash = ivGenerator === 'essiv' ? text('ivgen-hash-alg', hashNames, 'sha256') : undefined;
  const cipher = { algorithm, mode, ivGenerator, ivHash };
  const keyBytes = (Number(bits ?? 0) / 8) * (mode === 'xts' ? 2 : 1);
  checkCipher(cipher, keyBytes);
  return {
    cipher,
    keyBytes,
    hash: text('hash-alg', hashNames, 'sha256'),
    iterTimeMs: parseIterTime(values[`${prefix}iter-time`]) ?? defaultIterTimeMs,
    keySecret: String(keySecret),
  };
}

/** A change of key slots, as it is asked for: secrets by their ids. */
export interface SlotChange {
  readonly state: 'active' | 'inactive';
  readonly newSecret: string | undefined;
  readonly oldSecret: string | undefined;
  readonly keyslot: number | undefined;
  readonly iterTimeMs: number | undefined;
}

/** Errors: EINVAL with QEMU's words. */
export function parseSlotChange(values: CreateValues, prefix: string): SlotChange {
  const value = (name: string): CreateValues[string] => values[prefix + name];
  const state = value('state');
  if (state === undefined) throw invalid("Parameter 'state' is missing");
  if (state !== 'active' && state !== 'inactive') {
    throw invalid(`Parameter 'state' does not accept value '${state}'`);
  }
  return {
    state,
    newSecret: value('new-secret') as string | undefined,
    oldSecret: value('old-secret') as string | undefined,
    keyslot: value('keyslot') as number | undefined,
    iterTimeMs: parseIterTime(value('iter-time')),
  };
}

/** Undefined, or 0, which QEMU takes for that: as long as usual. */
function parseIterTime(value: CreateValues[string]): number | undefined {
  const ms = Number(value ?? 0);
  if (!(ms >= 0)) throw invalid(`Parameter 'iter-time' does not accept value '${value}'`);
  return ms === 0 ? undefined : ms;
}
