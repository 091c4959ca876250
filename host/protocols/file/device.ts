/**
 * Block devices of the host: `host_device`, and `host_cdrom` for drives that discs come and go in (specification:
 * graph, section 3).
 *
 * A device is as long as it is, and what it held stays where nothing is written: making an image on one takes it as it
 * is, and a new disk on it is not zeros. Everything else is as with a file (driver.ts), image locks included. Character
 * devices are refused. The tray and the lock of a drive are left alone: eject it by the host's own means.
 */
import { asBlockError, BlockError, invalid } from '../../base/errors.ts';
import type {
  CreateDefinition,
  CreateOption,
  CreateValues,
  Driver,
  DriverDefinition,
  TruncateOptions,
  WriteFlags,
  ZeroFlags,
} from '../../block/driver.ts';
import { existingTargetFailed } from '../../block/existing-target.ts';
import type { OpenContext } from '../../block/open-context.ts';
import { Perm } from '../../block/permissions.ts';
import type { Files, HostFile, Platform } from '../../platform/platform.ts';
import {
  checkAio,
  checkOptions,
  FileDriver,
  type FileOptions,
  fileOptions,
  lockingOf,
  notWritable,
  openHostFile,
} from './driver.ts';
import { ImageLocks } from './image-locks.ts';

/** What is cleared of a device that becomes an image without a header, so that no header of another format stays. */
const clearedBytes = 512;

const createOptions: readonly CreateOption[] = [
  { name: 'size', type: 'size', help: 'Virtual disk size' },
  { name: 'preallocation', type: 'string', help: 'Preallocation mode (allowed values: off)' },
];

export const hostDevice: DriverDefinition<FileOptions> = {
  ...definitionOf('host_device', (context, given, opened, locks) => {
    return new DeviceDriver(context, given, opened, locks);
  }),
  // Character devices too, which it then refuses in words of its own.
  claimsFile: async (files, filename) => (await deviceTypeOf(files, filename)) !== undefined,
  create: creationOn('host_device'),
};

export const hostCdrom: DriverDefinition<FileOptions> = {
  ...definitionOf('host_cdrom', (context, given, opened, locks) => {
    return new CdromDriver(context, given, opened, locks);
  }),
  create: creationOn('host_cdrom'),
  async claimsFile(files, filename) {
    if ((await deviceTypeOf(files, filename)) !== 'block-device') return false;
    let opened: HostFile;
    try {
      opened = await files.open(filename, { write: false });
    } catch {
      // Whoever opens it for good says why it cannot be.
      return false;
    }
    const status = opened.device?.driveStatus();
    await opened.close();
    return status === 'disc' || status === 'no-disc';
  },
};

/** Undefined when there is no such file, or it is none of a device. */
async function deviceTypeOf(
  files: Files,
  filename: string,
): Promise<'block-device' | 'character-device' | undefined> {
  try {
    const { type } = await files.stat(filename);
    return type === 'block-device' || type === 'character-device' ? type : undefined;
  } catch {
    return undefined;
  }
}

type MakeDriver = (
  context: OpenContext,
  given: FileOptions,
  opened: HostFile,
  locks: ImageLocks | undefined,
) => Driver;

function definitionOf(name: string, makeDriver: MakeDriver): DriverDefinition<FileOptions> {
  return {
    name,
    kind: 'protocol',
    options: fileOptions(name),
    strongOptions: ['filename'],
    reopenableOptions: ['drop-cache'],
    filenamePrefix: name,
    parseFilename: (filename) => ({
      filename: filename.startsWith(`${name}:`) ? filename.slice(name.length + 1) : filename,
    }),
    exactFilename: (given) => given.filename,
    async open(context, given) {
      checkOptions(name, given);
      const { filename } = given;
      await checkType(name, context.platform, filename);
      const opened = await openHostFile(context, given);
      try {
        checkAio(context, given);
        return makeDriver(context, given, opened, lockingOf(context, given, opened));
      } catch (error) {
        await opened.close();
        throw error;
      }
    },
  };
}

/** Before it is opened: opening is enough for some character devices to do something. */
async function checkType(driver: string, platform: Platform, filename: string): Promise<void> {
  let type: string;
  try {
    ({ type } = await platform.files.stat(filename));
  } catch (error) {
    throw asBlockError(error).within(`Could not open '${filename}'`);
  }
  if (type === 'block-device') return;
  if (type === 'directory') throw new BlockError('EISDIR').within(`Could not open '${filename}'`);
  throw invalid(
    type === 'character-device'
      ? `'${driver}' driver requires '${filename}' to be a block device`
      : `'${driver}' driver requires '${filename}' to be either a character or block device`,
  );
}

function creationOn(driver: string): CreateDefinition {
  return {
    options: createOptions,
    createFile: (platform, filename, values) => createOnDevice(driver, platform, filename, values),
  };
}

/** The device becomes the file of a new image. Errors: it cannot be written to, is in use, or is too short. */
async function createOnDevice(
  driver: string,
  platform: Platform,
  filename: string,
  { size = 0, preallocation = 'off' }: CreateValues,
): Promise<void> {
  if (preallocation !== 'off') {
    throw new BlockError('ENOTSUP', `Unsupported preallocation mode '${String(preallocation)}'`);
  }
  const device = await openForCreation(driver, platform, filename);
  try {
    if (device.locks) {
      // Ends with the file.
      new ImageLocks(device.locks, filename).prepare(Perm.write | Perm.resize, Perm.resize);
    }
    const length = await device.getSize();
    if (Number(size) > length) throw invalid('Cannot grow device files');
    await device.write(0, new Uint8Array(Math.min(length, clearedBytes)));
    await device.flush();
  } finally {
    await device.close();
  }
}

async function openForCreation(driver: string, platform: Platform, filename: string): Promise<HostFile> {
  try {
    await checkType(driver, platform, filename);
    const opened = await platform.files.open(filename, { write: true });
    if (!opened.device?.isWriteProtected()) return opened;
    await opened.close();
    throw notWritable();
  } catch (error) {
    throw asBlockError(error).within(existingTargetFailed(driver));
  }
}

class DeviceDriver extends FileDriver {
  override readonly hasZeroInit: boolean = false;

  override async truncate(length: number, { preallocation, exact }: TruncateOptions): Promise<void> {
    if (preallocation !== 'off') {
      const message = `Preallocation mode '${preallocation}' unsupported for this non-regular file`;
      throw new BlockError('ENOTSUP', message);
    }
    const size = await this.getLength();
    if (exact === true && length !== size) throw new BlockError('ENOTSUP', 'Cannot resize device files');
    if (length > size) throw invalid('Cannot grow device files');
  }

  /** The time in a device's directory entry does not follow its content. */
  override async contentVersion(): Promise<undefined> {
    return undefined;
  }
}

/** A drive: without a disc in it every request fails. */
class CdromDriver extends DeviceDriver {
  private checkDisc(): void {
    if (this.opened.device?.driveStatus() !== 'disc') throw new BlockError('ENOMEDIUM');
  }

  override async read(offset: number, buffer: Uint8Array): Promise<void> {
    this.checkDisc();
    await super.read(offset, buffer);
  }

  override readNow(): boolean {
    return false;
  }

  override async write(offset: number, buffer: Uint8Array, flags: WriteFlags): Promise<void> {
    this.checkDisc();
    await super.write(offset, buffer, flags);
  }

  override async writeZeroes(offset: number, bytes: number, flags: ZeroFlags): Promise<void> {
    this.checkDisc();
    await super.writeZeroes(offset, bytes, flags);
  }

  override async discard(offset: number, bytes: number): Promise<void> {
    this.checkDisc();
    await super.discard(offset, bytes);
  }
}
