/**
 * Changing the key slots of a LUKS volume (specification: luks, section 5).
 *
 * Whenever it breaks off, the volume opens by a slot that it had before or by the new one: a slot becomes active when its key
 * material is durable, its material is erased when the slot is durably inactive, and an active slot that is to get another
 * passphrase is first copied by a new one, where there is room. The header is in two sectors, the second of which has the end of
 * slot 6, and slot 7: each sector is written whole or not at all, and the one that makes a slot active comes last.
 */
import { BlockError, invalid } from '../../base/errors.ts';
import { sectorBytes } from '../../base/sectors.ts';
import type { Clock, Random } from '../../platform/platform.ts';
import { type CryptoPlatform, hashNamed } from '../named-cipher.ts';
import { splitKey } from './anti-forensic.ts';
import {
  type KeySlot,
  type LuksHeader,
  luksHeaderBytes,
  materialBytes,
  saltBytes,
  serializeLuksHeader,
  slotCount,
} from './header.ts';
import { defaultIterTimeMs, measureIterations } from './iterations.ts';
import type { SlotChange } from './parse-options.ts';
import { openSlot, readLuksHeader, slotCipher, type VolumeFile } from './volume.ts';

/** A volume whose key is known. */
export interface OpenVolume {
  readonly crypto: CryptoPlatform;
  readonly random: Random;
  readonly file: VolumeFile;
  readonly header: LuksHeader;
  readonly key: Uint8Array;
}

interface ChangeContext {
  readonly clock: Clock;
  /** What the user has made under an id. Throws BlockError. */
  secret(id: string): Uint8Array;
  /** Does what may leave the volume without a key that anybody knows. */
  readonly force: boolean;
}

/** Returns the header as it is then. Errors: EINVAL with QEMU's words, with nothing changed; of I/O. */
export async function changeSlots(
  given: OpenVolume,
  change: SlotChange,
  context: ChangeContext,
): Promise<LuksHeader> {
  // Somebody else may have changed it since the volume was opened.
  const volume = { ...given, header: await readLuksHeader(given.file) };
  return change.state === 'active' ? activate(volume, change, context) : deactivate(volume, change, context);
}

async function activate(
  volume: OpenVolume,
  { newSecret, oldSecret, keyslot, iterTimeMs = defaultIterTimeMs }: SlotChange,
  { clock, secret, force }: ChangeContext,
): Promise<LuksHeader> {
  if (newSecret === undefined) throw invalid("'new-secret' is required to activate a keyslot");
  if (oldSecret !== undefined) throw invalid("'old-secret' must not be given when activating keyslots");
  const { crypto, header, random } = volume;
  const { slots, keyBytes } = header;
  if (keyslot !== undefined) checkSlotNumber(keyslot);
  const free = slots.findIndex(({ isActive }, index) => !isActive && index !== keyslot);
  const wanted = keyslot ?? free;
  if (wanted < 0) throw new BlockError('ENOSPC', "Can't add a keyslot - all keyslots are in use");
  const isTaken = slots[wanted]!.isActive; // its number was checked, or found
  if (isTaken && !force)
    throw invalid(`Refusing to overwrite active keyslot ${wanted} - please erase it first`);
  const passphrase = secret(newSecret);
  const hash = hashNamed(crypto.hashes, header.hash);
  const { slot: iterations } = await measureIterations(clock, hash, { iterTimeMs, keyBytes });
  const add = async (on: OpenVolume, index: number): Promise<LuksHeader> => {
    const salt = new Uint8Array(saltBytes);
    random.fill(salt);
    const { materialOffset } = on.header.slots[index]!; // as above
    const slot = { isActive: true, iterations, salt, materialOffset };
    await fillSlot(on, slot, passphrase);
    await on.file.flush();
    return writeSlot(on, index, slot);
  };
  if (!isTaken) return add(volume, wanted);
  // Until the slot is whole again, the new passphrase opens another one.
  const kept = free < 0 ? header : await add(volume, free);
  const without = await erase({ ...volume, header: kept }, wanted);
  const replaced = await add({ ...volume, header: without }, wanted);
  return free < 0 ? replaced : erase({ ...volume, header: replaced }, free);
}

async function deactivate(
  volume: OpenVolume,
  { newSecret, oldSecret, keyslot, iterTimeMs }: SlotChange,
  { secret, force }: ChangeContext,
): Promise<LuksHeader> {
  if (newSecret !== undefined) throw invalid("'new-secret' must not be given when erasing keyslots");
  if (iterTimeMs !== undefined) throw invalid("'iter-time' must not be given when erasing keyslots");
  const chosen = await slotsToErase(volume, keyslot, oldSecret === undefined ? undefined : secret(oldSecret));
  const activeCount = volume.header.slots.filter(({ isActive }) => isActive).length;
  if (chosen.length === activeCount && !force) {
    throw invalid(
      keyslot === undefined
        ? 'All the active keyslots match the (old) password that was given and erasing them will erase all the data in ' +
            'the image irreversibly - refusing operation'
        : `Attempt to erase the only active keyslot ${keyslot} which will erase all the data in the image irreversibly ` +
            '- refusing operation',
    );
  }
  let { header } = volume;
  for (const index of chosen) header = await erase({ ...volume, header }, index);
  return header;
}

/** Numbers of active slots. Errors: there are none; what is asked for names none. */
async function slotsToErase(
  { crypto, file, header }: OpenVolume,
  keyslot: number | undefined,
  passphrase: Uint8Array | undefined,
): Promise<number[]> {
  const opens = async (index: number): Promise<boolean> =>
    passphrase !== undefined &&
    (await openSlot(crypto, file, header, header.slots[index]!, passphrase)) !== undefined; // an index of slots
  if (keyslot !== undefined) {
    checkSlotNumber(keyslot);
    if (passphrase && !(await opens(keyslot))) {
      throw invalid(`Given keyslot ${keyslot} doesn't contain the given old password for erase operation`);
    }
    if (!header.slots[keyslot]!.isActive)
      throw invalid(`Given keyslot ${keyslot} is already erased (inactive) `); // checked
    return [keyslot];
  }
  if (!passphrase) {
    throw invalid(
      'To erase keyslot(s), either explicit keyslot index or the password currently contained in them must be given',
    );
  }
  const matching: number[] = [];
  for (const index of header.slots.keys()) if (await opens(index)) matching.push(index);
  if (matching.length === 0) throw invalid('No keyslots match given (old) password for erase operation');
  return matching;
}

function checkSlotNumber(index: number): void {
  if (!Number.isInteger(index) || index < 0 || index >= slotCount) {
    throw invalid(`Invalid keyslot ${index} specified, must be between 0 and ${slotCount - 1}`);
  }
}

/** Writes the key material of a slot that no header tells of yet. */
export async function fillSlot(
  { crypto, random, file, header, key }: OpenVolume,
  slot: KeySlot,
  passphrase: Uint8Array,
): Promise<void> {
  const material = new Uint8Array(materialBytes(header.keyBytes));
  random.fill(material);
  splitKey(hashNamed(crypto.hashes, header.hash), key, material);
  const cipher = await slotCipher(crypto, header, slot, passphrase);
  await file.write(slot.materialOffset, cipher.encrypt(0, material));
}

/** The slot opens nothing any more, and then there is nothing left of what it held. */
async function erase(volume: OpenVolume, index: number): Promise<LuksHeader> {
  const { file, random, header } = volume;
  const { materialOffset } = header.slots[index]!; // it is one that there is
  const empty = { isActive: false, iterations: 0, salt: new Uint8Array(saltBytes), materialOffset };
  const changed = await writeSlot(volume, index, empty);
  const chance = new Uint8Array(materialBytes(header.keyBytes));
  random.fill(chance);
  await file.write(materialOffset, chance);
  await file.flush();
  return changed;
}

/** Durable when it returns. */
async function writeSlot({ file, header }: OpenVolume, index: number, slot: KeySlot): Promise<LuksHeader> {
  const changed = { ...header, slots: header.slots.map((old, at) => (at === index ? slot : old)) };
  const before = serializeLuksHeader(header);
  const after = serializeLuksHeader(changed);
  const sectors = [0, sectorBytes].filter((at) => differ(before, after, at));
  // The state is what counts, and in front: it comes last where the slot becomes active, and first where it becomes none.
  if (slot.isActive) sectors.reverse();
  for (const at of sectors) {
    const sector = new Uint8Array(sectorBytes);
    await file.read(at, sector);
    sector.set(after.subarray(at, Math.min(at + sectorBytes, luksHeaderBytes)));
    await file.write(at, sector);
    await file.flush();
  }
  return changed;
}

function differ(before: Uint8Array, after: Uint8Array, at: number): boolean {
  return after.subarray(at, at + sectorBytes).some((byte, index) => byte !== before[at + index]);
}
