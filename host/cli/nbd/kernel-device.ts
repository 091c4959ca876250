/**
 * `-c` and `-d` of `nbd`: devices of the kernel that are disks of an NBD server, or are not any more.
 *
 * Not served, because that takes a thread which stays in the kernel. Somebody whose kernel has no such device hears of that,
 * as of qemu-nbd.
 */
import { closeSync, openSync } from 'node:fs';
import { fromSystemError } from '../../platform/node/errors.ts';
import type { Tool } from '../shared/tool.ts';

/** Where the device's server listens that is not told where to. */
export function socketOfDevice(device: string): string {
  return `/var/lock/qemu-nbd-${device.slice(device.lastIndexOf('/') + 1)}`;
}

/** `-c`, once there is a disk for it. */
export function connectDevice(tool: Tool, device: string): never {
  check(tool, device, `Failed to open ${device}`);
  return tool.fail('the NBD devices of the kernel (-c) are not supported');
}

/** `-d` */
export function disconnectDevice(tool: Tool, device: string): never {
  check(tool, device, `Cannot open ${device}`);
  return tool.fail('the NBD devices of the kernel (-d) are not supported');
}

function check(tool: Tool, device: string, context: string): void {
  try {
    closeSync(openSync(device, 'r+'));
  } catch (error) {
    tool.fail(fromSystemError(error).within(context).message);
  }
}
