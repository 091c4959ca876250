/**
 * What a new LUKS volume can be, and how key slots can change: as options of tools, under a prefix in formats that have a
 * volume inside, and as QMP types (specification: luks, section 4). What they come to: parse-options.ts.
 */
import type { CreateOption, CreateValues } from '../../block/driver.ts';
import { enumeration, int, optional, str, struct } from '../../qapi/types.ts';

export const cipherNames = [
  ...['aes-128', 'aes-192', 'aes-256', 'des', '3des', 'cast5-128'],
  ...['serpent-128', 'serpent-192', 'serpent-256', 'twofish-128', 'twofish-192', 'twofish-256', 'sm4'],
];
export const modeNames = ['ecb', 'cbc', 'xts', 'ctr'];
export const ivNames = ['plain', 'plain64', 'essiv'];
export const hashNames = ['md5', 'sha1', 'sha224', 'sha256', 'sha384', 'sha512', 'ripemd160', 'sm3'];
const hashAlgorithm = enumeration('QCryptoHashAlgorithm', hashNames);
const slotState = enumeration('QCryptoBlockLUKSKeyslotState', ['active', 'inactive']);

export const luksCreateType = struct('QCryptoBlockCreateOptionsLUKS', {
  'key-secret': optional(str),
  'cipher-alg': optional(enumeration('QCryptoCipherAlgorithm', cipherNames)),
  'cipher-mode': optional(enumeration('QCryptoCipherMode', modeNames)),
  'ivgen-alg': optional(enumeration('QCryptoIVGenAlgorithm', ivNames)),
  'ivgen-hash-alg': optional(hashAlgorithm),
  'hash-alg': optional(hashAlgorithm),
  'iter-time': optional(int),
});

export const luksAmendType = struct('QCryptoBlockAmendOptionsLUKS', {
  state: slotState,
  'new-secret': optional(str),
  'old-secret': optional(str),
  keyslot: optional(int),
  'iter-time': optional(int),
  secret: optional(str),
});

/** `keyHelp`: what the key is for in the format at hand. */
export function luksCreateOptions(prefix: string, keyHelp: string): readonly CreateOption[] {
  return [
    { name: `${prefix}key-secret`, type: 'string', help: keyHelp },
    { name: `${prefix}cipher-alg`, type: 'string', help: 'Name of encryption cipher algorithm' },
    { name: `${prefix}cipher-mode`, type: 'string', help: 'Name of encryption cipher mode' },
    { name: `${prefix}ivgen-alg`, type: 'string', help: 'Name of IV generator algorithm' },
    { name: `${prefix}ivgen-hash-alg`, type: 'string', help: 'Name of IV generator hash algorithm' },
    { name: `${prefix}hash-alg`, type: 'string', help: 'Name of encryption hash algorithm' },
    { name: `${prefix}iter-time`, type: 'number', help: 'Time to spend in PBKDF in milliseconds' },
  ];
}

export function luksAmendOptions(prefix: string): readonly CreateOption[] {
  return [
    {
      name: `${prefix}state`,
      type: 'string',
      help: 'Select new state of affected keyslots (active/inactive)',
    },
    {
      name: `${prefix}new-secret`,
      type: 'string',
      help: 'New secret to set in the matching keyslots. Empty string to erase',
    },
    { name: `${prefix}old-secret`, type: 'string', help: 'Select all keyslots that match this password' },
    { name: `${prefix}keyslot`, type: 'number', help: 'Select a single keyslot to modify explicitly' },
    { name: `${prefix}iter-time`, type: 'number', help: 'Time to spend in PBKDF in milliseconds' },
  ];
}

/** The options of one type, as creation values under `prefix`. */
export function withPrefix(prefix: string, options: object): CreateValues {
  return Object.fromEntries(Object.entries(options).map(([name, value]) => [prefix + name, value]));
}
