/**
 * The space of a block device: as long as the kernel says, all data, discarded and zeroed by ioctl.
 *
 * Ranges that are not whole sectors the kernel refuses with EINVAL. Zeros then have to be written; for a discard there
 * is no other way, and the error is told. Nothing here makes a device longer or shorter.
 */
import { asBlockError } from '../../base/errors.ts';
import type { HostDevice, HostExtent } from '../platform.ts';
import type { FileSpace } from './file-space.ts';
import { FallocateMode, type Libc } from './libc.ts';

/** Linux, include/uapi/linux/fs.h and cdrom.h. */
const BLKROGET = 0x125e;
const BLKDISCARD = 0x1277;
const BLKZEROOUT = 0x127f;
const CDROM_DRIVE_STATUS = 0x5326;
const CDSL_CURRENT = 0x7fffffff;
const CDS_DISC_OK = 4;

export class DeviceSpace implements FileSpace {
  constructor(private readonly libc: Libc) {}

  size(fd: number): number {
    return this.libc.seekEnd(fd);
  }

  extent(fd: number, offset: number): HostExtent {
    return { type: 'data', bytes: this.size(fd) - offset };
  }

  async zero(fd: number, offset: number, bytes: number, { unmap }: { unmap: boolean }): Promise<boolean> {
    try {
      // BLKDISCARD does not say what is there afterwards, and BLKZEROOUT keeps the space: this gives it back, as zeros.
      if (unmap && (await this.libc.fallocate(fd, FallocateMode.punchHole, offset, bytes))) return true;
      return await this.libc.rangeIoctl(fd, BLKZEROOUT, offset, bytes);
    } catch (error) {
      if (asBlockError(error).errno === 'EINVAL') return false;
      throw error;
    }
  }

  discard(fd: number, offset: number, bytes: number): Promise<boolean> {
    return this.libc.rangeIoctl(fd, BLKDISCARD, offset, bytes);
  }

  /** A device has all of its space from the start. */
  async allocate(): Promise<boolean> {
    return false;
  }
}

/** What can be asked of the device behind a descriptor. */
export function deviceOf(libc: Libc, fd: number): HostDevice {
  return {
    isWriteProtected: () => libc.ioctlInt(fd, BLKROGET) !== 0,
    driveStatus() {
      const status = libc.ioctl(fd, CDROM_DRIVE_STATUS, CDSL_CURRENT);
      if (status === undefined) return 'no-drive';
      return status === CDS_DISC_OK ? 'disc' : 'no-disc';
    },
  };
}
