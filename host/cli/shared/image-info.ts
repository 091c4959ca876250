/**
 * ImageInfo: what there is to tell about an image without looking at its data (specification: cli, section 3; graph,
 * section 12).
 */
import { withoutUndefined } from '../../base/without-undefined.ts';
import { allocatedBytes } from '../../block/allocated-bytes.ts';
import { filenameOf, resolveBackingName } from '../../block/filename.ts';
import type { BlockNode } from '../../block/node.ts';
import { infoOf } from '../../qmp/node-info.ts';

/** Members as QMP names them; absent where QEMU leaves them out. */
export interface ImageInfo {
  filename: string;
  format: string;
  'virtual-size': number;
  'dirty-flag'?: boolean;
  'actual-size'?: number;
  'cluster-size'?: number;
  encrypted?: true;
  compressed?: true;
  'backing-filename'?: string;
  'full-backing-filename'?: string;
  'backing-filename-format'?: string;
  snapshots?: object[];
  'format-specific'?: { type: string; data: object };
  /** What it is made of: every node below, newest link first. */
  children: ChildInfo[];
}

interface ChildInfo {
  name: string;
  info: ImageInfo;
  /** Bytes come from there, from nothing below. */
  isProtocol: boolean;
}

export async function describeImage(node: BlockNode): Promise<ImageInfo> {
  const info = infoOf(node);
  const own = node.driver.info?.().formatSpecific;
  const allocated = await allocatedBytes(node);
  return {
    filename: filenameOf(node),
    format: node.definition.name,
    'virtual-size': node.length,
    ...(info ? { 'dirty-flag': info.isDirty === true } : {}),
    ...withoutUndefined({ 'actual-size': allocated }),
    ...(info?.clusterBytes ? { 'cluster-size': info.clusterBytes } : {}),
    ...(info?.encrypted ? { encrypted: true as const } : {}),
    ...(info?.compressed ? { compressed: true as const } : {}),
    ...(info?.snapshots?.length ? { snapshots: info.snapshots } : {}),
    ...withoutUndefined({ 'format-specific': own }),
    ...backingInfo(node),
    children: await describeChildren(node),
  };
}

async function describeChildren(node: BlockNode): Promise<ChildInfo[]> {
  const children: ChildInfo[] = [];
  for (const { name, node: child } of [...node.children.values()].reverse()) {
    const isProtocol = child.definition.kind === 'protocol';
    children.push({ name, info: await describeImage(child), isProtocol });
  }
  return children;
}

/** As QMP has it. */
export function imageInfoJson({ children, ...info }: ImageInfo): object {
  return {
    ...info,
    children: children.map((child) => ({ name: child.name, info: imageInfoJson(child.info) })),
  };
}

function backingInfo(node: BlockNode): Partial<ImageInfo> {
  const { backing } = node.driver;
  if (!backing) return {};
  return {
    'backing-filename': backing.filename,
    'full-backing-filename': resolveBackingName(node, backing.filename),
    ...withoutUndefined({ 'backing-filename-format': backing.format }),
  };
}
