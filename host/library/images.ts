/** Making images and asking about nodes, as a client of the monitor. */
import { isJsonObject, type JsonObject } from '../qapi/json-value.ts';
import { QmpError } from '../qmp/client.ts';
import { createImage, type Monitor } from './jobs.ts';
import { withDriversOfAddresses } from './web-addresses.ts';

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

/** Opens a node: `blockdev-add`. Errors: QmpError, which also tells the address of what could not be had from a server. */
export async function addNode(monitor: Monitor, options: JsonObject): Promise<void> {
  try {
    await monitor.qmp('blockdev-add', withDriversOfAddresses(options));
  } catch (error) {
    const url = urlIn(options);
    if (!(error instanceof QmpError) || url === undefined) throw error;
    throw new QmpError(error.command, error.errorClass, `${url}: ${error.message}`);
  }
}

/** Undefined: none of these nodes is on a server. */
function urlIn({ url, ...others }: JsonObject): string | undefined {
  if (typeof url === 'string') return url;
  const below = Object.values(others).filter(isJsonObject).map(urlIn);
  return below.find((found) => found !== undefined);
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
