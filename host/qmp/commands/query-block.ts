/** query-block: the disks of devices, and those that have a name (specification: graph, section 12). */
import { withoutUndefined } from '../../base/without-undefined.ts';
import type { BlockBackend } from '../../block/backend.ts';
import { array, bool, empty, enumeration, optional, str, struct } from '../../qapi/types.ts';
import { defineCommand } from '../command.ts';
import { blockDeviceInfo, blockDeviceInfoType } from '../node-info.ts';

const blockInfo = struct('BlockInfo', {
  device: str,
  qdev: optional(str),
  type: str,
  removable: bool,
  locked: bool,
  inserted: optional(blockDeviceInfoType),
  tray_open: optional(bool),
  'io-status': optional(enumeration('BlockDeviceIoStatus', ['ok', 'failed', 'nospace'])),
});

export const queryBlock = defineCommand({
  name: 'query-block',
  args: empty,
  returns: array(blockInfo),
  async run({ graph }) {
    const infos = [];
    for (const backend of graph.backends.list()) infos.push(await describe(backend));
    return infos;
  },
});

async function describe(backend: BlockBackend): Promise<object> {
  const { name, device, ioStatus } = backend;
  return {
    device: name,
    ...withoutUndefined({ qdev: device?.name }),
    type: 'unknown',
    removable: device?.isRemovable ?? true,
    locked: device?.isLocked ?? false,
    ...(backend.hasMedium
      ? { inserted: await blockDeviceInfo(backend.node.skipImplicit(), false, backend) }
      : {}),
    ...withoutUndefined({ tray_open: device?.isTrayOpen }),
    ...(device?.hasIoStatus ? { 'io-status': ioStatus } : {}),
  };
}
