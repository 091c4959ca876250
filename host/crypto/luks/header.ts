/**
 * The header of a LUKS volume, version 1 (specification: luks, section 1): numbers are big-endian, texts end with a NUL.
 *
 *     0   6  `LUKS` ba be           72  32  hash                     168  40  UUID, a text
 *     6   2  version: 1            104   4  payload: first sector    208      8 key slots of 48 bytes:
 *     8  32  cipher                108   4  bytes of the key              0   4  state     4   4  iterations
 *    40  32  mode-ivgen[:hash]     112  20  digest of the key             8  32  salt     40   4  material: first sector
 *                                  132  32  its salt                     44   4  stripes
 *                                  164   4  its iterations
 *
 * Sectors have 512 bytes and count from the header. Whatever is in a header is somebody else's word: every number has a
 * bound, and no two parts of the volume may share a sector.
 */
import { BlockError, invalid } from '../../base/errors.ts';
import { roundUp, sectorBytes } from '../../base/sectors.ts';
import { viewOf } from '../../base/view-of.ts';
import type { CipherNames } from '../named-cipher.ts';
import { luksMagic, luksVersion } from './magic.ts';

export const luksHeaderBytes = 592;
export const slotCount = 8;
export const stripeCount = 4000;
export const digestBytes = 20;
export const saltBytes = 32;
/** Parts of a volume start at multiples of this. */
const alignmentBytes = 8 * sectorBytes;
const firstSlotAt = 208;
const slotBytes = 48;
const textBytes = 32;
const uuidBytes = 40;
/** Of keys: longer ones no cipher has. */
const maxKeyBytes = 512;
/**
 * Of PBKDF2, for all of the active slots and the digest together: a minute or two of a processor, which is more than anybody
 * waits for who has made a volume to be opened.
 */
export const maxIterations = 2 ** 27;

const activeState = 0x00ac71f3;
const inactiveState = 0x0000dead;

export interface KeySlot {
  readonly isActive: boolean;
  readonly iterations: number;
  readonly salt: Uint8Array;
  /** Bytes from the header. */
  readonly materialOffset: number;
}

export interface LuksHeader {
  readonly cipher: CipherNames;
  readonly hash: string;
  /** Bytes from the header. */
  readonly payloadOffset: number;
  readonly keyBytes: number;
  readonly digest: Uint8Array;
  readonly digestSalt: Uint8Array;
  readonly digestIterations: number;
  readonly uuid: string;
  /** `slotCount` of them. */
  readonly slots: readonly KeySlot[];
}

/** Bytes of key material in a slot: whole sectors, the last of which it may not fill. */
export function materialBytes(keyBytes: number): number {
  return roundUp(keyBytes * stripeCount, sectorBytes);
}

/** Where a volume that is made here has its key material, and its data behind all of it. Bytes from the header. */
export function layOutVolume(keyBytes: number): { materialOffsets: number[]; payloadOffset: number } {
  const slot = roundUp(materialBytes(keyBytes), alignmentBytes);
  const materialOffsets = Array.from({ length: slotCount }, (_, index) => alignmentBytes + index * slot);
  return { materialOffsets, payloadOffset: alignmentBytes + slotCount * slot };
}

/** `bytes`: at least the header's. Errors: EINVAL and ENOTSUP, what is wrong with it. */
export function parseLuksHeader(bytes: Uint8Array): LuksHeader {
  const view = viewOf(bytes);
  if (!luksMagic.every((byte, index) => bytes[index] === byte)) throw invalid('Volume is not in LUKS format');
  const version = view.getUint16(6);
  if (version !== luksVersion) throw new BlockError('ENOTSUP', `LUKS version ${version} is not supported`);
  const keyBytes = view.getUint32(108);
  if (keyBytes === 0 || keyBytes > maxKeyBytes) {
    throw invalid(`LUKS key has ${keyBytes} bytes, and must have between 1 and ${maxKeyBytes}`);
  }
  const header: LuksHeader = {
    cipher: parseCipher(
      textIn(bytes, 8, textBytes, 'cipher name'),
      textIn(bytes, 40, textBytes, 'cipher mode'),
    ),
    hash: textIn(bytes, 72, textBytes, 'hash algorithm'),
    payloadOffset: view.getUint32(104) * sectorBytes,
    keyBytes,
    digest: bytes.slice(112, 132),
    digestSalt: bytes.slice(132, 164),
    digestIterations: view.getUint32(164),
    uuid: textIn(bytes, 168, uuidBytes, 'UUID'),
    slots: Array.from({ length: slotCount }, (_, index) => parseSlot(bytes, view, index)),
  };
  checkHeader(header);
  return header;
}

function parseSlot(bytes: Uint8Array, view: DataView, index: number): KeySlot {
  const at = firstSlotAt + index * slotBytes;
  const state = view.getUint32(at);
  if (state !== activeState && state !== inactiveState) {
    throw invalid(`Keyslot ${index} has unknown state 0x${state.toString(16)}`);
  }
  const stripes = view.getUint32(at + 44);
  if (stripes !== stripeCount)
    throw invalid(`Keyslot ${index} has ${stripes} stripes, and not ${stripeCount}`);
  return {
    isActive: state === activeState,
    iterations: view.getUint32(at + 4),
    salt: bytes.slice(at + 8, at + 8 + saltBytes),
    materialOffset: view.getUint32(at + 40) * sectorBytes,
  };
}

function textIn(bytes: Uint8Array, at: number, length: number, what: string): string {
  const end = bytes.indexOf(0, at);
  if (end < 0 || end >= at + length) throw invalid(`LUKS header ${what} is not NUL terminated`);
  const text = new TextDecoder('latin1').decode(bytes.subarray(at, end));
  if (!/^[ -~]*$/.test(text)) throw invalid(`LUKS header ${what} is not printable`);
  return text;
}

/** `xts-plain64`, `cbc-essiv:sha256`. */
function parseCipher(algorithm: string, text: string): CipherNames {
  const [, mode, ivGenerator, ivHash] = /^([^-]+)-([^:]+)(?::(.+))?$/.exec(text) ?? [];
  if (mode === undefined || ivGenerator === undefined)
    throw invalid(`Unexpected cipher mode string '${text}'`);
  if (ivGenerator === 'essiv' && ivHash === undefined) {
    throw invalid(`Cipher mode string '${text}' names no hash for its IV generator`);
  }
  return { algorithm, mode, ivGenerator, ivHash: ivGenerator === 'essiv' ? ivHash : undefined };
}

function checkHeader({ keyBytes, payloadOffset, digestIterations, slots }: LuksHeader): void {
  if (payloadOffset < alignmentBytes) {
    throw invalid(`LUKS payload at ${payloadOffset} overlaps with the header`);
  }
  if (digestIterations === 0) throw invalid('LUKS key digest has an iteration count of zero');
  const length = materialBytes(keyBytes);
  for (const [index, { isActive, iterations, materialOffset }] of slots.entries()) {
    if (isActive && iterations === 0) throw invalid(`Keyslot ${index} has an iteration count of zero`);
    if (materialOffset < alignmentBytes)
      throw invalid(`Keyslot ${index} at ${materialOffset} overlaps with the header`);
    if (materialOffset + length > payloadOffset) {
      throw invalid(
        `Keyslot ${index} at ${materialOffset} overlaps with the encrypted payload at ${payloadOffset}`,
      );
    }
    const other = slots.findIndex(
      (slot, before) => before < index && Math.abs(slot.materialOffset - materialOffset) < length,
    );
    if (other >= 0) throw invalid(`Keyslots ${other} and ${index} overlap`);
  }
  const iterations = slots.reduce(
    (sum, slot) => sum + (slot.isActive ? slot.iterations : 0),
    digestIterations,
  );
  if (iterations > maxIterations) {
    throw new BlockError('EFBIG', `LUKS header wants ${iterations} iterations, more than ${maxIterations}`);
  }
}

export function serializeLuksHeader(header: LuksHeader): Uint8Array {
  const bytes = new Uint8Array(luksHeaderBytes);
  const view = new DataView(bytes.buffer);
  const put = (text: string, at: number): void => bytes.set(new TextEncoder().encode(text), at);
  const { cipher } = header;
  bytes.set(luksMagic);
  view.setUint16(6, luksVersion);
  put(cipher.algorithm, 8);
  const mode = `${cipher.mode}-${cipher.ivGenerator}`;
  put(cipher.ivHash === undefined ? mode : `${mode}:${cipher.ivHash}`, 40);
  put(header.hash, 72);
  view.setUint32(104, header.payloadOffset / sectorBytes);
  view.setUint32(108, header.keyBytes);
  bytes.set(header.digest, 112);
  bytes.set(header.digestSalt, 132);
  view.setUint32(164, header.digestIterations);
  put(header.uuid, 168);
  for (const [index, slot] of header.slots.entries()) {
    const at = firstSlotAt + index * slotBytes;
    view.setUint32(at, slot.isActive ? activeState : inactiveState);
    view.setUint32(at + 4, slot.iterations);
    bytes.set(slot.salt, at + 8);
    view.setUint32(at + 40, slot.materialOffset / sectorBytes);
    view.setUint32(at + 44, stripeCount);
  }
  return bytes;
}
