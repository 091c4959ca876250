/**
 * qcow2 overlays in the browser's own storage, over a base that is read from elsewhere: a server, a File, or another
 * overlay, of which there may be many on one base.
 */
import type { JsonObject } from '../qapi/json-value.ts';
import { describeChange } from './base-identity.ts';
import { addNode, formatFile, type NodeInfo, nodeInfo } from './images.ts';
import type { Monitor } from './jobs.ts';
import type { Calls } from './rpc.ts';
import type { ServiceFunctions } from './service.ts';

/** An image that has what differs from its base. */
export interface OverlayOptions {
  /** Name for the node of the overlay. */
  readonly node: string;
  /** File of the overlay, made when it is absent. */
  readonly file: string;
  /** Name of a node, or options of `Blockyard.add` for one; it is opened read-only as `NODE-base`. */
  readonly base: string | JsonObject;
  /** Opens it although the base is another one now, and takes that for its base from now on. */
  readonly acceptBase?: boolean;
}

/** An overlay and a base that do not belong together. */
export class BaseChangedError extends Error {
  override readonly name = 'BaseChangedError';
}

/** What a name of a backing file may have in qcow2. */
const maxBackingNameBytes = 1023;

/** The name of the base if it was opened for the overlay. Errors: BaseChangedError, QmpError; an empty base. Nothing stays open then. */
export async function openOverlay(
  monitor: Monitor,
  calls: Calls<ServiceFunctions>,
  { fileDriver }: { readonly fileDriver: string },
  { node, file, base, acceptBase = false }: OverlayOptions,
): Promise<string | undefined> {
  const baseNode = typeof base === 'string' ? base : `${node}-base`;
  if (typeof base !== 'string') {
    await addNode(monitor, { ...base, 'node-name': baseNode, 'read-only': true });
  }
  try {
    const { recorded, present } = await calls.call('compareBase', { overlay: file, node: baseNode });
    // A server that does not tell a length, or a download that broke off: no disk has none.
    if (present.bytes === 0) throw new Error(`The base of overlay '${file}' is empty`);
    if (await calls.call('fileExists', { path: file })) {
      const change = recorded ? describeChange(recorded, present) : 'nothing says which base it was made on';
      if (change !== undefined && !acceptBase) {
        throw new BaseChangedError(`The base of overlay '${file}' is not the one it was made on: ${change}`);
      }
      if (change !== undefined) await calls.call('recordBase', { overlay: file, base: present });
    } else {
      // First what it belongs to: an overlay of which nothing is known would be refused for ever.
      await calls.call('recordBase', { overlay: file, base: present });
      await createOverlay(monitor, fileDriver, file, await nodeInfo(monitor, baseNode));
    }
    await monitor.qmp('blockdev-add', {
      driver: 'qcow2',
      'node-name': node,
      file: { driver: fileDriver, filename: file },
      backing: baseNode,
    });
    return typeof base === 'string' ? undefined : baseNode;
  } catch (error) {
    if (typeof base !== 'string') await monitor.qmp('blockdev-del', { 'node-name': baseNode });
    throw error;
  }
}

async function createOverlay(
  monitor: Monitor,
  fileDriver: string,
  file: string,
  { drv, image }: NodeInfo,
): Promise<void> {
  const { filename, 'virtual-size': size } = image;
  const isNamed = filename !== '' && new TextEncoder().encode(filename).length <= maxBackingNameBytes;
  const named = isNamed ? { 'backing-file': filename, 'backing-fmt': drv === 'qcow2' ? 'qcow2' : 'raw' } : {};
  await formatFile(monitor, fileDriver, file, { driver: 'qcow2', size, ...named });
}
