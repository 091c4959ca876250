/**
 * Which disks a daemon has: those of a machine's devices (query-block), of a storage daemon those that it exports.
 *
 * Somebody may name them, by device or by node. Otherwise all are meant that can be written to: a CD does not change, and what cannot be
 * called by its device's or node's name has to be given one.
 */
import { BlockError } from '../../../base/errors.ts';
import { isName } from '../../../store/machine.ts';
import type { LiveMonitor } from './monitor.ts';
import { runOf } from './names.ts';

interface LiveBitmap {
  readonly name: string;
  /** Dirty bytes. */
  readonly count: number;
  readonly granularity: number;
  /** Whatever was written has been noted in it, as far as anybody knows. */
  readonly isRecording: boolean;
}

/** A disk by the name that it has in snapshots. */
export interface LiveDisk {
  readonly name: string;
  readonly node: string;
  readonly bytes: number;
  readonly format: string;
  readonly isReadOnly: boolean;
  /** Its image has a place for bitmaps, in which they outlive the daemon. */
  readonly keepsBitmaps: boolean;
  readonly bitmaps: readonly LiveBitmap[];
}

/** What somebody has said: `DISK=NODE`, or a device or node alone. */
export interface WantedDisk {
  readonly name: string | undefined;
  readonly of: string;
}

/** BlockDeviceInfo, as far as it matters. */
interface NodeInfo {
  readonly 'node-name': string;
  readonly drv: string;
  readonly file: string;
  readonly ro: boolean;
  readonly image: {
    readonly 'virtual-size': number;
    readonly 'format-specific'?: { readonly data?: { readonly compat?: string } };
  };
  readonly 'dirty-bitmaps'?: readonly {
    readonly name?: string;
    readonly count: number;
    readonly granularity: number;
    readonly recording: boolean;
    readonly inconsistent?: boolean;
  }[];
}

interface DeviceInfo {
  readonly device: string;
  readonly qdev?: string;
  readonly inserted?: NodeInfo;
}

interface Candidate {
  readonly names: readonly string[];
  readonly node: string;
}

export async function nodesOf(monitor: LiveMonitor): Promise<readonly NodeInfo[]> {
  return (await monitor.run('query-named-block-nodes', { flat: true })) as unknown as NodeInfo[];
}

/** `wanted`: none: all. Errors: there is none, or none of that name. */
export async function findDisks(
  monitor: LiveMonitor,
  wanted: readonly WantedDisk[],
): Promise<readonly LiveDisk[]> {
  const nodes = await nodesOf(monitor);
  const named = (node: string): NodeInfo | undefined => nodes.find((one) => one['node-name'] === node);
  const candidates = await candidatesOf(monitor);
  const chosen =
    wanted.length > 0
      ? wanted.map(({ name, of }) => {
          const found = candidates.find(({ names }) => names.includes(of));
          return { name: name ?? nameOf(found ? [of, ...found.names] : [of]), node: found?.node ?? of };
        })
      : candidates
          .filter(({ node }) => named(node)?.ro === false)
          .map(({ names, node }) => ({ name: nameOf(names), node }));
  if (chosen.length === 0)
    throw new BlockError(
      'ENOENT',
      `${monitor.path}: there are no disks: name nodes that are to be backed up`,
    );
  for (const [i, { name, node }] of chosen.entries()) {
    const other = chosen.slice(0, i).find((one) => one.name === name || one.node === node);
    if (other?.name === name)
      throw new BlockError('EINVAL', `Two disks would be called '${name}': use NAME=NODE`);
    if (other) throw new BlockError('EINVAL', `'${other.name}' and '${name}' are the same disk`);
  }
  return chosen.map(({ name, node }) => {
    const info = named(node);
    if (!info) throw new BlockError('ENOENT', `${monitor.path}: there is no device or node '${node}'`);
    return diskOf(name, info);
  });
}

function diskOf(name: string, info: NodeInfo): LiveDisk {
  const { drv, ro, image } = info;
  return {
    ...{ name, node: info['node-name'], bytes: image['virtual-size'], format: drv, isReadOnly: ro },
    keepsBitmaps: drv === 'qcow2' && image['format-specific']?.data?.compat !== '0.10',
    bitmaps: bitmapsIn(info),
  };
}

export function bitmapsIn({ 'dirty-bitmaps': all = [] }: NodeInfo): readonly LiveBitmap[] {
  return all.flatMap(({ name, count, granularity, recording, inconsistent }) =>
    name === undefined ? [] : [{ name, count, granularity, isRecording: recording && inconsistent !== true }],
  );
}

async function candidatesOf(monitor: LiveMonitor): Promise<readonly Candidate[]> {
  const devices = (await monitor.runIfKnown('query-block')) as unknown as readonly DeviceInfo[] | undefined;
  if (devices && devices.length > 0)
    return devices.flatMap(({ device, qdev = '', inserted }) => {
      if (!inserted) return [];
      const node = inserted['node-name'];
      return [
        { names: [device, qdev, qdev.replace(/^\/machine\/peripheral\/([^/]*)\/.*$/, '$1'), node], node },
      ];
    });
  const exported = (await monitor.run('query-block-exports')) as unknown as readonly {
    id: string;
    'node-name': string;
  }[];
  const names = new Set(exported.filter(({ id }) => runOf(id) === undefined).map((one) => one['node-name']));
  return [...names].sort().map((node) => ({ names: [node], node }));
}

function nameOf(names: readonly string[]): string {
  const name = names.find(isName);
  if (name === undefined)
    throw new BlockError('EINVAL', `What is the disk '${names[0]}' called? Use NAME=NODE`);
  return name;
}
