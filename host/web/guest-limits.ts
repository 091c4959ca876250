/** The limits of the guest's disks, from a machine that ends to the one that follows it. */
import type { JsonObject } from '../library/index.ts';
import type { DeviceInfo, Monitor } from './answers.ts';

const members = ['iops', 'iops_rd', 'iops_wr', 'bps', 'bps_rd', 'bps_wr'] as const;

/** Arguments of `block_set_io_throttle` for each device that has limits. `devices`: ids. */
export async function readLimits(monitor: Monitor, devices: readonly string[]): Promise<JsonObject[]> {
  const infos = (await monitor.qmp('query-block')) as DeviceInfo[];
  return infos.flatMap(({ qdev, inserted }) => {
    if (!inserted || qdev === undefined || !devices.includes(qdev)) return [];
    const limits = Object.fromEntries(members.map((member) => [member, inserted[member]]));
    return members.some((member) => inserted[member] > 0) ? [{ id: qdev, ...limits }] : [];
  });
}

export async function setLimits(monitor: Monitor, limits: readonly JsonObject[]): Promise<void> {
  for (const one of limits) await monitor.qmp('block_set_io_throttle', one);
}
