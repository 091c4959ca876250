/**
 * Encrypted images (specification: qcow2, section 8): what lies between the mapping of an image and its guest's data, and how
 * it is made and changed.
 *
 * With LUKS a volume's header and key material are in clusters of the image, and a sector is encrypted by where it lies in
 * the file: what moves is encrypted anew. The old AES method, whose sectors have the numbers of the guest, is read and no
 * more: it has no salt and no check of the password. Tables, bitmaps and what is compressed are not encrypted.
 */
import { BlockError, invalid } from '../../../base/errors.ts';
import { Mutex } from '../../../base/mutex.ts';
import type { AmendManner, CreateValues, DataPlace } from '../../../block/driver.ts';
import type { Edge } from '../../../block/edge.ts';
import { EncryptedPlace } from '../../../block/encrypted-place.ts';
import type { BlockGraph } from '../../../block/graph.ts';
import { objectTableOf } from '../../../block/object-table.ts';
import type { OpenContext } from '../../../block/open-context.ts';
import type { LuksHeader } from '../../../crypto/luks/header.ts';
import { changeSlots, type OpenVolume } from '../../../crypto/luks/key-slots.ts';
import { checkNewVolume, makeVolume, volumeHeaderBytes } from '../../../crypto/luks/new-volume.ts';
import { parseNewVolume, parseSlotChange } from '../../../crypto/luks/parse-options.ts';
import {
  cryptoOf,
  describeVolume,
  readLuksHeader,
  unlock,
  type VolumeFile,
} from '../../../crypto/luks/volume.ts';
import { createSectorCipher } from '../../../crypto/named-cipher.ts';
import type { CreateParameters } from '../create/create-options.ts';
import { CryptMethod, type Qcow2Header } from '../disk/header.ts';
import type { NewImageFile } from '../disk/image-file.ts';
import type { Qcow2Options } from '../options.ts';

/** Where the guest's data is that is mapped for offset `guest` of the disk at offset `host` of the file. */
export type PlaceOf = (guest: number, host: number) => DataPlace;

/** What is known of how an image is encrypted. */
export interface Encryption {
  /** As `encrypt` of the image's facts. */
  describe(): object;
  /** Absent in an image that is opened for its facts alone. */
  readonly placeOf?: PlaceOf;
  /**
   * Prepares what amending asks for; what comes back does it. Absent where there are no key slots, or the image is opened for its
   * facts alone. Errors: EINVAL with QEMU's words.
   */
  planSlotChange?(graph: BlockGraph, values: CreateValues, how: AmendManner): () => Promise<void>;
}

const legacyKeyBytes = 16;

/** Errors: EINVAL, a wrong or no key, what is wrong with the header; ENOTSUP; of I/O. */
export async function openEncryption(
  context: OpenContext,
  file: Edge,
  header: Qcow2Header,
  { encrypt }: Qcow2Options,
): Promise<Encryption> {
  const actual = header.cryptMethod === CryptMethod.aes ? 'aes' : 'luks';
  if (encrypt?.format !== undefined && encrypt.format !== actual) {
    throw invalid(`Header reported '${actual}' encryption format but options specify '${encrypt.format}'`);
  }
  const passphrase = (): Uint8Array => {
    const keySecret = encrypt?.['key-secret'];
    if (keySecret === undefined) throw invalid("Parameter 'encrypt.key-secret' is required for cipher");
    return context.secret(keySecret);
  };
  if (header.cryptMethod === CryptMethod.aes) return openLegacy(context, file, passphrase);
  // Who asks for facts alone gets those that there are.
  if (!header.encryption) return { describe: () => ({ format: 'luks' }) };
  const area = areaIn(file, header.encryption);
  const volumeHeader = await readLuksHeader(area);
  if (context.flags.noIo) return { describe: () => describeVolume(volumeHeader, 'luks') };
  const { platform } = context;
  const given = passphrase();
  const crypto = cryptoOf(platform);
  const key = await unlock(crypto, area, volumeHeader, given);
  return new LuksEncryption(file, { crypto, random: platform.random, file: area, header: volumeHeader, key });
}

function openLegacy(context: OpenContext, file: Edge, passphrase: () => Uint8Array): Encryption {
  const { flags, platform } = context;
  const describe = (): object => ({ format: 'aes' });
  if (flags.noIo) return { describe };
  const key = new Uint8Array(legacyKeyBytes);
  key.set(passphrase().subarray(0, legacyKeyBytes));
  const names = { algorithm: 'aes', mode: 'cbc', ivGenerator: 'plain64', ivHash: undefined };
  const cipher = createSectorCipher(cryptoOf(platform), names, key);
  if (!flags.readOnly) {
    if (!flags.autoReadOnly)
      throw new BlockError('ENOTSUP', 'Images with AES encryption, which is obsolete, can only be read');
    context.fallBackToReadOnly();
  }
  return { describe, placeOf: (guest, host) => new EncryptedPlace(file, cipher, host - guest) };
}

class LuksEncryption implements Encryption {
  readonly placeOf: PlaceOf;
  private readonly slotChanges = new Mutex();
  private header: LuksHeader;

  constructor(
    file: Edge,
    private readonly volume: OpenVolume,
  ) {
    this.header = volume.header;
    const place = new EncryptedPlace(
      file,
      createSectorCipher(volume.crypto, volume.header.cipher, volume.key),
    );
    this.placeOf = () => place;
  }

  describe(): object {
    return describeVolume(this.header, 'luks');
  }

  /** One change after the other. */
  planSlotChange(graph: BlockGraph, values: CreateValues, { force }: AmendManner): () => Promise<void> {
    const change = parseSlotChange(values, 'encrypt.');
    const secret = (id: string): Uint8Array => objectTableOf(graph).secret(id);
    const { clock } = graph.platform;
    return () =>
      this.slotChanges.run(async () => {
        this.header = await changeSlots(this.volume, change, { clock, secret, force });
      });
  }
}

/** The part of an image's file that holds a volume's header and key material. */
function areaIn(
  file: Pick<NewImageFile, 'read' | 'write' | 'flush'>,
  { offset: start, bytes: length }: { offset: number; bytes: number },
): VolumeFile {
  const check = (offset: number, bytes: number): void => {
    if (offset + bytes > length) throw invalid('LUKS header of the image is too short for its key material');
  };
  return {
    length,
    async read(offset, buffer) {
      check(offset, buffer.length);
      await file.read(start + offset, buffer);
    },
    async write(offset, buffer) {
      check(offset, buffer.length);
      await file.write(start + offset, buffer);
    },
    flush: () => file.flush(),
  };
}

/** How a new image is to be encrypted. */
export interface PlannedEncryption {
  /** Bytes of the header and key material of its volume. */
  readonly headerBytes: number;
  /** Writes them at `offset`, durably. */
  write(file: NewImageFile, offset: number): Promise<void>;
}

/** Ways of encryption, and whether images are made with them. */
const formats: Readonly<Record<string, boolean>> = { aes: false, luks: true };

/** For an image that is to be encrypted. Errors: EINVAL with QEMU's words; ENOTSUP for what is not done here. */
export function planEncryption(
  graph: BlockGraph,
  { version, preallocation, encryption: values = {} }: CreateParameters,
): PlannedEncryption {
  const { platform } = graph;
  checkFormat(values);
  if (version === 2 && preallocation !== 'off') {
    throw new BlockError('ENOTSUP', 'Preallocation of encrypted images takes version 3 (compat=1.1)');
  }
  const volume = parseNewVolume(values, 'encrypt.');
  checkNewVolume(platform, volume);
  const passphrase = objectTableOf(graph).secret(volume.keySecret);
  const headerBytes = volumeHeaderBytes(volume);
  return {
    headerBytes,
    async write(file, offset) {
      const made = await makeVolume(platform, volume, passphrase);
      await made.write(areaIn(file, { offset, bytes: headerBytes }));
    },
  };
}

function checkFormat(values: CreateValues): void {
  const { encryption, 'encrypt.format': format } = values;
  if (encryption === true && format !== undefined) {
    throw invalid("'encrypt.format' and its alias 'encryption' can't be used at the same time");
  }
  if (format === undefined && encryption !== true) throw invalid("Parameter 'encrypt.format' is missing");
  const name = String(format ?? 'aes');
  if (!Object.hasOwn(formats, name)) throw invalid(`Parameter 'format' does not accept value '${name}'`);
  if (!formats[name]) {
    throw new BlockError(
      'ENOTSUP',
      'Images with AES encryption, which is obsolete, are not made: use encrypt.format=luks',
    );
  }
}
