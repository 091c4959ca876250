/**
 * Open LUKS images, and new ones (specification: luks, section 6).
 *
 * The driver maps: sector n of the disk lies encrypted behind the header. The block layer aligns to sectors, so that two
 * writes into one do not undo each other. New space is not written: it reads as chance, as with QEMU, unless zeros are asked for.
 */
import { invalid } from '../../base/errors.ts';
import { Mutex } from '../../base/mutex.ts';
import { roundDown, sectorBytes, wholeSectors } from '../../base/sectors.ts';
import type { BlockBackend } from '../../block/backend.ts';
import type {
  AmendManner,
  CreateValues,
  Driver,
  DriverInfo,
  Extent,
  Preallocation,
  ReopenStep,
  TruncateOptions,
  WritePlan,
} from '../../block/driver.ts';
import type { Edge } from '../../block/edge.ts';
import { EncryptedPlace } from '../../block/encrypted-place.ts';
import type { BlockGraph } from '../../block/graph.ts';
import type { BlockNode } from '../../block/node.ts';
import { objectTableOf } from '../../block/object-table.ts';
import type { OpenContext } from '../../block/open-context.ts';
import type { LuksHeader } from '../../crypto/luks/header.ts';
import { changeSlots, type OpenVolume } from '../../crypto/luks/key-slots.ts';
import { checkNewVolume, makeVolume } from '../../crypto/luks/new-volume.ts';
import { type NewVolume, parseNewVolume, parseSlotChange } from '../../crypto/luks/parse-options.ts';
import { cryptoOf, describeVolume, readLuksHeader, unlock } from '../../crypto/luks/volume.ts';
import { createSectorCipher } from '../../crypto/named-cipher.ts';
import { preallocationMode } from '../../qapi/block-types.ts';
import type { LuksOptions } from './driver.ts';

/** What is encrypted in one go, and in one buffer. */
const maxTransfer = 1 << 20;

export async function openLuks(context: OpenContext, file: Edge, options: LuksOptions): Promise<Driver> {
  const header = await readLuksHeader(file);
  const { payloadOffset } = header;
  const fileBytes = await file.getByteLength();
  if (fileBytes < payloadOffset) {
    throw invalid(`LUKS payload begins at ${payloadOffset}, behind the end of the file at ${fileBytes}`);
  }
  if (context.flags.noIo) return new LuksInfo(file, header);
  const { 'key-secret': keySecret } = options;
  if (keySecret === undefined) throw invalid("Parameter 'key-secret' is required for cipher");
  const { platform } = context;
  const passphrase = context.secret(keySecret);
  const crypto = cryptoOf(platform);
  const key = await unlock(crypto, file, header, passphrase);
  const place = new EncryptedPlace(file, createSectorCipher(crypto, header.cipher, key), payloadOffset);
  return new LuksDriver(file, place, { crypto, random: platform.random, file, header, key });
}

/** An image that is opened for its facts alone. */
class LuksInfo implements Driver {
  constructor(
    protected readonly file: Edge,
    protected header: LuksHeader,
  ) {}

  async getLength(): Promise<number> {
    return roundDown(await this.file.getByteLength(), sectorBytes) - this.header.payloadOffset;
  }

  info(): DriverInfo {
    return { encrypted: true, formatSpecific: { type: 'luks', data: describeVolume(this.header) } };
  }

  async close(): Promise<void> {}
}

class LuksDriver extends LuksInfo {
  readonly limits = { requestAlignment: sectorBytes, maxTransfer };
  private readonly slotChanges = new Mutex();

  constructor(
    file: Edge,
    private readonly place: EncryptedPlace,
    private readonly volume: OpenVolume,
  ) {
    super(file, volume.header);
  }

  /** Flags travel on with the request. */
  get supportsFua(): boolean | 'data' {
    return this.file.node.driver.supportsFua ?? false;
  }

  map(offset: number, bytes: number): Extent {
    return { type: 'data', bytes, child: this.place, offset: this.header.payloadOffset + offset };
  }

  prepareWrite(offset: number, bytes: number): WritePlan {
    return { bytes, child: this.place, offset: this.header.payloadOffset + offset };
  }

  async truncate(length: number, options: TruncateOptions): Promise<void> {
    const { file, place } = this;
    const { payloadOffset } = this.header;
    const end = payloadOffset + wholeSectors(length);
    const oldEnd = roundDown(await file.getByteLength(), sectorBytes);
    await file.truncate(end, options);
    if (options.zeroNewSpace !== true) return;
    const zeros = new Uint8Array(maxTransfer);
    for (let at = oldEnd; at < end; at += zeros.length) {
      await place.write(at, zeros.subarray(0, Math.min(zeros.length, end - at)));
    }
  }

  /** One change after the other. Errors: as `changeSlots`. */
  async changeSlots(graph: BlockGraph, values: CreateValues, { force }: AmendManner): Promise<void> {
    const secret = (id: string): Uint8Array => objectTableOf(graph).secret(id);
    const change = parseSlotChange(values, '');
    await this.slotChanges.run(async () => {
      const { clock } = graph.platform;
      this.header = await changeSlots(this.volume, change, { clock, secret, force });
    });
  }

  /** Everything that is held is the key. */
  async reopen(): Promise<ReopenStep> {
    return {};
  }
}

/** Errors: EINVAL, nobody could mean that. */
export function checkAmend(values: CreateValues): void {
  parseSlotChange(values, '');
}

/** `node`: of an image that is open for writing. Errors: as `changeSlots`. */
export async function amendLuks(node: BlockNode, values: CreateValues, how: AmendManner): Promise<void> {
  const { driver } = node;
  if (!(driver instanceof LuksDriver)) throw invalid('The image is not open with its key');
  await driver.changeSlots(node.graph, values, how);
}

interface PlannedVolume {
  volume: NewVolume;
  passphrase: Uint8Array;
  preallocation: Preallocation;
}

/** Errors: EINVAL with QEMU's words for bad options; ENOTSUP for what is not done here. */
export function planVolume(graph: BlockGraph, values: CreateValues): PlannedVolume {
  const volume = parseNewVolume(values, '');
  if (values['detached-header'] === true) throw invalid("Parameter 'detached-header' is unexpected");
  const preallocation = String(values['preallocation'] ?? 'off') as Preallocation;
  if (!preallocationMode.values.includes(preallocation)) {
    throw invalid(`Parameter 'preallocation' does not accept value '${preallocation}'`);
  }
  checkNewVolume(graph.platform, volume);
  return { volume, passphrase: objectTableOf(graph).secret(volume.keySecret), preallocation };
}

/** Writes a volume without any data into `file`; its header comes last. Errors: as `planVolume`; of I/O. */
export async function createVolume(
  graph: BlockGraph,
  file: BlockBackend,
  values: CreateValues,
): Promise<void> {
  const { volume, passphrase, preallocation } = planVolume(graph, values);
  const made = await makeVolume(graph.platform, volume, passphrase);
  // What was there before may be another volume.
  if (file.length > 0) await file.truncate(0);
  await file.truncate(made.payloadOffset + Number(values['size']), { preallocation });
  await made.write(file);
}
