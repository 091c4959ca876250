/** Making images and asking about nodes, as a client of the monitor. */
import type { JsonObject } from '../qapi/json-value.ts';
import { createImage, type Monitor } from './jobs.ts';

export interface NodeInfo {
  'node-name': string;
  drv: string;
  image: { filename: string; 'virtual-size': number };
}

/** Errors: no such node. */
export async function nodeInfo(monitor: Monitor, name: string): Promise<NodeInfo> {
  const nodes = (await monitor.qmp('query-named-block-nodes', { flat: true })) as NodeInfo[];
  const node = nodes.find((info) => info['node-name'] === name);
  if (!node) throw new Error(`There is no node '${name}'`);
  return node;
}

/** Makes a file and an image in it. `format`: options of `blockdev-create` without the file. */
export async function formatFile(
  monitor: Monitor,
  fileDriver: string,
  file: string,
  format: JsonObject,
): Promise<void> {
  const name = `new-image-${monitor.nextNumber('image')}`;
  const isRaw = format['driver'] === 'raw';
  const size = isRaw ? format['size']! : 0; // a raw file is made with a size
  await createImage(monitor, name, { driver: fileDriver, filename: file, size });
  if (isRaw) return;
  await monitor.qmp('blockdev-add', { driver: fileDriver, 'node-name': name, filename: file });
  try {
    await createImage(monitor, name, { ...format, file: name });
  } finally {
    await monitor.qmp('blockdev-del', { 'node-name': name });
  }
}
