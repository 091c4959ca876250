/**
 * Hints on how a file system lays out a new file, by the ioctls of Linux that btrfs and XFS honour. Others refuse them, which is no
 * error: the file is the same.
 */
import type { FileLayout } from '../platform.ts';
import type { Libc } from './libc.ts';

const FS_IOC_GETFLAGS = 0x8008_6601;
const FS_IOC_SETFLAGS = 0x4008_6602;
const FS_NOCOW_FL = 0x0080_0000;

/** struct fsxattr: xflags, extsize, nextents, projid, cowextsize as u32, and 8 bytes of nothing. */
const FS_IOC_FSGETXATTR = 0x801c_581f;
const FS_IOC_FSSETXATTR = 0x401c_5820;
const fsxattrWords = 7;
const FS_XFLAG_EXTSIZE = 0x0000_0800;

export function adviseLayout(libc: Libc, fd: number, { inPlace, extentBytes }: FileLayout): void {
  if (inPlace) {
    const flags = new Uint32Array(2);
    if (libc.memoryIoctl(fd, FS_IOC_GETFLAGS, flags)) {
      flags[0]! |= FS_NOCOW_FL; // it has two elements
      libc.memoryIoctl(fd, FS_IOC_SETFLAGS, flags);
    }
  }
  if (extentBytes > 0) {
    const attributes = new Uint32Array(fsxattrWords);
    if (libc.memoryIoctl(fd, FS_IOC_FSGETXATTR, attributes)) {
      attributes[0]! |= FS_XFLAG_EXTSIZE; // as above
      attributes[1] = extentBytes;
      libc.memoryIoctl(fd, FS_IOC_FSSETXATTR, attributes);
    }
  }
}
