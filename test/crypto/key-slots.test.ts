/** Key slots of LUKS volumes: what opens them, what changes them, and what is there whenever a change breaks off. */
import { describe, expect, test } from 'vitest';
import { luksHeaderBytes, maxIterations, serializeLuksHeader } from '../../host/crypto/luks/header.ts';
import { changeSlots } from '../../host/crypto/luks/key-slots.ts';
import type { SlotChange } from '../../host/crypto/luks/parse-options.ts';
import { cryptoOf, readLuksHeader, unlock } from '../../host/crypto/luks/volume.ts';
import { nodePlatform } from '../../host/platform/node/index.ts';
import { crashStates, MemoryVolume, newVolume } from './memory-volume.ts';

const crypto = cryptoOf(nodePlatform);
const bytesOf = (text: string): Uint8Array => new TextEncoder().encode(text);

async function keyOf(content: Uint8Array, passphrase: string): Promise<string | undefined> {
  const file = new MemoryVolume(content);
  try {
    return Buffer.from(await unlock(crypto, file, await readLuksHeader(file), bytesOf(passphrase))).toString(
      'hex',
    );
  } catch {
    return undefined;
  }
}

/** Secrets are their own ids. `opener`: whose passphrase the volume is open by. */
async function change(
  file: MemoryVolume,
  opener: string,
  wanted: Partial<SlotChange>,
  force = false,
): Promise<void> {
  const header = await readLuksHeader(file);
  const key = await unlock(crypto, file, header, bytesOf(opener));
  const whole = {
    state: 'active',
    ...{ newSecret: undefined, oldSecret: undefined, keyslot: undefined },
    // As short as can be.
    iterTimeMs: wanted.state === 'inactive' ? undefined : 0.001,
    ...wanted,
  } as const;
  const context = { clock: nodePlatform.clock, secret: bytesOf, force };
  await changeSlots({ crypto, random: nodePlatform.random, file, header, key }, whole, context);
}

describe('a LUKS volume', () => {
  test('opens by its passphrase, and by no other', async () => {
    const { content } = await newVolume('a');
    expect(await keyOf(content, 'a')).toMatch(/^[0-9a-f]{32}$/);
    const file = new MemoryVolume(content);
    await expect(unlock(crypto, file, await readLuksHeader(file), bytesOf('secret text'))).rejects.toThrow(
      /^Invalid password, cannot unlock any keyslot$/,
    );
  });

  test('opens by any of its slots, and not by one that was erased', async () => {
    const file = await newVolume('a');
    const key = await keyOf(file.content, 'a');
    await change(file, 'a', { newSecret: 'b' });
    await change(file, 'a', { newSecret: 'c', keyslot: 6 });
    await change(file, 'a', { newSecret: 'd', keyslot: 7 });
    for (const passphrase of ['a', 'b', 'c', 'd']) expect(await keyOf(file.content, passphrase)).toBe(key);
    await change(file, 'c', { state: 'inactive', oldSecret: 'a' });
    await change(file, 'c', { state: 'inactive', keyslot: 1 });
    for (const passphrase of ['a', 'b']) expect(await keyOf(file.content, passphrase)).toBeUndefined();
    for (const passphrase of ['c', 'd']) expect(await keyOf(file.content, passphrase)).toBe(key);
  });

  test('has room for eight', async () => {
    const file = await newVolume('0');
    for (let index = 1; index < 8; index++) await change(file, '0', { newSecret: String(index) });
    await expect(change(file, '0', { newSecret: '8' })).rejects.toThrow('all keyslots are in use');
    await change(file, '0', { newSecret: 'x', keyslot: 3 }, true);
    expect(await keyOf(file.content, '3')).toBeUndefined();
    expect(await keyOf(file.content, 'x')).toBe(await keyOf(file.content, '0'));
  });

  test('is not changed by what is refused', async () => {
    const file = await newVolume('a');
    const refused: [Partial<SlotChange>, string][] = [
      [{ newSecret: 'b', keyslot: 0 }, 'Refusing to overwrite active keyslot 0 - please erase it first'],
      [{ newSecret: 'b', keyslot: 8 }, 'Invalid keyslot 8 specified, must be between 0 and 7'],
      [{}, "'new-secret' is required to activate a keyslot"],
      [{ newSecret: 'b', oldSecret: 'a' }, "'old-secret' must not be given when activating keyslots"],
      [{ state: 'inactive', newSecret: 'b' }, "'new-secret' must not be given when erasing keyslots"],
      [
        { state: 'inactive', keyslot: 0, iterTimeMs: 1 },
        "'iter-time' must not be given when erasing keyslots",
      ],
      [{ state: 'inactive' }, 'either explicit keyslot index or the password'],
      [{ state: 'inactive', keyslot: 0 }, 'Attempt to erase the only active keyslot 0'],
      [{ state: 'inactive', oldSecret: 'a' }, 'All the active keyslots match'],
      [{ state: 'inactive', oldSecret: 'b' }, 'No keyslots match'],
      [{ state: 'inactive', keyslot: 1 }, 'Given keyslot 1 is already erased'],
      [{ state: 'inactive', keyslot: 0, oldSecret: 'b' }, "doesn't contain the given old password"],
    ];
    for (const [wanted, message] of refused) await expect(change(file, 'a', wanted)).rejects.toThrow(message);
    expect(file.steps).toEqual([]);
  });

  test.each([
    ['a slot is added', { newSecret: 'b' }, false],
    ['a slot across two sectors is added', { newSecret: 'b', keyslot: 6 }, false],
    ['a slot is erased', { state: 'inactive', keyslot: 2 }, false],
    ['a slot across two sectors is erased', { state: 'inactive', keyslot: 6 }, false],
    ['the slot that opens it gets another passphrase', { newSecret: 'b', keyslot: 0 }, true],
  ] as const)('always opens when %s', async (_, wanted, force) => {
    const file = await newVolume('a');
    const key = await keyOf(file.content, 'a');
    if ('state' in wanted) await change(file, 'a', { newSecret: 'b', keyslot: wanted.keyslot });
    const before = Uint8Array.from(file.content);
    file.steps = [];
    await change(file, 'a', wanted, force);
    let states = 0;
    for (const content of crashStates(before, file.steps)) {
      states++;
      const keys = [await keyOf(content, 'a'), await keyOf(content, 'b')];
      expect(keys.filter((found) => found !== undefined && found !== key)).toEqual([]);
      expect(keys).toContain(key);
    }
    expect(states).toBeGreaterThan(10);
  });
});

describe('a hostile header', () => {
  const u32 = (at: number, value: number) => (bytes: Uint8Array) =>
    new DataView(bytes.buffer).setUint32(at, value >>> 0);
  const text = (at: number, value: string) => (bytes: Uint8Array) =>
    bytes.fill(0, at, at + 32).set(new TextEncoder().encode(value), at);
  const slot = (index: number, field: number, value: number) => u32(208 + index * 48 + field, value);

  test.each<[string, (bytes: Uint8Array) => void, string]>([
    ['another magic', (bytes) => void (bytes[0] = 0), 'Volume is not in LUKS format'],
    ['version 2', (bytes) => void (bytes[7] = 2), 'LUKS version 2 is not supported'],
    ['a name without an end', (bytes) => void bytes.fill(0x61, 8, 40), 'cipher name is not NUL terminated'],
    ['a name that is none', (bytes) => void (bytes[8] = 7), 'cipher name is not printable'],
    ['no generator', text(40, 'xts'), "Unexpected cipher mode string 'xts'"],
    ['essiv without a hash', text(40, 'cbc-essiv'), 'names no hash for its IV generator'],
    ['no key', u32(108, 0), 'LUKS key has 0 bytes'],
    ['an enormous key', u32(108, 2 ** 31), 'LUKS key has 2147483648 bytes'],
    ['a payload in the header', u32(104, 7), 'overlaps with the header'],
    ['no digest', u32(164, 0), 'digest has an iteration count of zero'],
    ['an endless digest', u32(164, 2 ** 32 - 1), 'iterations, more than'],
    ['an endless slot', slot(0, 4, maxIterations), 'iterations, more than'],
    ['a slot without iterations', slot(0, 4, 0), 'Keyslot 0 has an iteration count of zero'],
    ['a slot in another state', slot(1, 0, 5), 'Keyslot 1 has unknown state 0x5'],
    ['other stripes', slot(1, 44, 4001), 'Keyslot 1 has 4001 stripes, and not 4000'],
    ['material in the header', slot(2, 40, 1), 'Keyslot 2 at 512 overlaps with the header'],
    [
      'material behind the payload',
      slot(2, 40, 2 ** 31),
      'Keyslot 2 at 1099511627776 overlaps with the encrypted payload',
    ],
    ['two slots in one place', slot(3, 40, 8), 'Keyslots 0 and 3 overlap'],
  ])('%s is refused', async (_, damage, message) => {
    const file = await newVolume('a');
    damage(file.content);
    await expect(readLuksHeader(file)).rejects.toThrow(message);
  });

  test('a volume that ends before its key material is refused', async () => {
    const { content } = await newVolume('a');
    await expect(readLuksHeader(new MemoryVolume(content.slice(0, 100_000)))).rejects.toThrow(
      'key material ends at',
    );
    await expect(readLuksHeader(new MemoryVolume(content.slice(0, 100)))).rejects.toThrow(
      'too short for a LUKS header',
    );
  });

  test('no changed byte of it is more than a refusal or another passphrase', async () => {
    const { content } = await newVolume('a');
    const key = await keyOf(content, 'a');
    // All but those that say how long it takes.
    for (let at = 0; at < 256; at += 5) {
      if ((at >= 164 && at < 168) || (at >= 212 && at < 216)) continue;
      const changed = Uint8Array.from(content);
      changed[at]! ^= 0x41;
      const found = await keyOf(changed, 'a');
      if (found !== undefined) expect(found).toBe(key);
    }
  });

  test('what is read is what is written', async () => {
    const file = await newVolume('a');
    expect(serializeLuksHeader(await readLuksHeader(file))).toEqual(file.content.slice(0, luksHeaderBytes));
  });
});
