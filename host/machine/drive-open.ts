/**
 * Making a drive of what `-drive` says: its node, its backend, its place on the interface (specification: graph,
 * section 10).
 */
import { invalid } from '../base/errors.ts';
import { withoutUndefined } from '../base/without-undefined.ts';
import { BlockBackend } from '../block/backend.ts';
import { createImage } from '../block/create.ts';
import type { BlockGraph } from '../block/graph.ts';
import type { BlockNode } from '../block/node.ts';
import type { OpenFlags } from '../block/open-context.ts';
import { Perm } from '../block/permissions.ts';
import { nestDottedKeys } from '../qapi/dotted-keys.ts';
import { setBackendLimits } from '../throttle/backend-limits.ts';
import { type DriveDefaults, type DriveOptions, unitsPerBus } from './drive-options.ts';
import type { Drive, Drives } from './drives.ts';
import { rememberFlags } from './media.ts';

export interface DriveContext {
  graph: BlockGraph;
  drives: Drives;
  defaults: DriveDefaults;
  /** Where overlays of `snapshot=on` go, without a slash at the end. */
  temporaryDirectory: string;
  /** The option, for messages that come later. */
  context: string;
}

/** Errors: BlockError; nothing is left open. */
export async function openDrive(options: DriveOptions, services: DriveContext): Promise<Drive> {
  const { graph, drives } = services;
  const place = findPlace(options, services);
  const id = options.id ?? defaultId(options, place, services.defaults);
  if (graph.backends.find(id)) throw invalid(`Duplicate ID '${id}' for drive`);
  const node = isEmpty(options) ? undefined : await openMedium(options, services);
  try {
    const backend = await makeBackend(id, node, options, graph);
    const drive: Drive = {
      backend,
      interface: options.interface,
      ...place,
      media: options.media,
      context: services.context,
      isAutomatic: false,
    };
    drives.add(drive);
    return drive;
  } finally {
    if (node) await graph.unref(node);
  }
}

async function makeBackend(
  id: string,
  node: BlockNode | undefined,
  options: DriveOptions,
  graph: BlockGraph,
): Promise<BlockBackend> {
  const { cache, rerror, werror, throttling, throttleGroup } = options;
  const backend = BlockBackend.create(graph, { name: id, perm: Perm.consistentRead, shared: Perm.all });
  try {
    if (node) await backend.insert(node);
    rememberFlags(backend, {
      readOnly: options.readOnly,
      direct: cache.direct ?? false,
      noFlush: cache.noFlush ?? false,
    });
    backend.writethrough = cache.writeback === false;
    backend.errorPolicies = { read: rerror ?? 'report', write: werror ?? 'enospc' };
    backend.statistics.accountInvalid = options.accountInvalid;
    backend.statistics.accountFailed = options.accountFailed;
    for (const seconds of options.statisticsIntervals) backend.statistics.addInterval(seconds);
    await setBackendLimits(graph, backend, throttling, { group: throttleGroup, fallback: id });
    return backend;
  } catch (error) {
    await backend.delete();
    throw error;
  }
}

function isEmpty({ file, format, node }: DriveOptions): boolean {
  return (file ?? '') === '' && format === undefined && Object.keys(node).length === 0;
}

// Its place.

function findPlace(options: DriveOptions, { drives, defaults }: DriveContext): Pick<Drive, 'bus' | 'unit'> {
  const { interface: kind, index } = options;
  const perBus = unitsPerBus(kind, defaults);
  let bus = options.bus ?? 0;
  let { unit } = options;
  if (index !== undefined) {
    bus = perBus === undefined ? 0 : Math.floor(index / perBus);
    unit = perBus === undefined ? index : index % perBus;
  }
  if (unit === undefined) {
    unit = 0;
    while (drives.at(kind, bus, unit)) {
      unit++;
      if (perBus !== undefined && unit >= perBus) {
        unit = 0;
        bus++;
      }
    }
  }
  if (drives.at(kind, bus, unit)) {
    throw invalid(`drive with bus=${bus}, unit=${unit} (index=${bus * (perBus ?? 0) + unit}) exists`);
  }
  return { bus, unit };
}

function defaultId(
  { interface: kind, media }: DriveOptions,
  { bus, unit }: Pick<Drive, 'bus' | 'unit'>,
  defaults: DriveDefaults,
): string {
  const hasMedia = kind === 'ide' || kind === 'scsi';
  const mediaName = hasMedia ? (media === 'cdrom' ? '-cd' : '-hd') : '';
  if (unitsPerBus(kind, defaults) !== undefined) return `${kind}${bus}${mediaName}${unit}`;
  return `${kind}${mediaName}${unit}`;
}

// Its node.

/** The caller owns one reference. */
async function openMedium(options: DriveOptions, services: DriveContext): Promise<BlockNode> {
  const { graph } = services;
  if (options.copyOnRead && !graph.drivers.find('copy-on-read')) {
    throw invalid("option 'copy-on-read' is not supported");
  }
  let node = await openImage(options, graph);
  if (options.snapshot) node = await replaced(graph, node, (below) => addOverlay(below, services));
  if (options.copyOnRead) node = await replaced(graph, node, (below) => addCopyOnRead(graph, below));
  return node;
}

/** What `make` puts on top of `node`, which from then on is held by that. */
async function replaced(
  graph: BlockGraph,
  node: BlockNode,
  make: (below: BlockNode) => Promise<BlockNode>,
): Promise<BlockNode> {
  try {
    return await make(node);
  } finally {
    await graph.unref(node);
  }
}

async function openImage(options: DriveOptions, graph: BlockGraph): Promise<BlockNode> {
  const { 'detect-zeroes': detectZeroes, ...text } = options.node;
  const { 'file.aio': aio, ...plain } = text;
  const { driver, ...nodeOptions } = nestDottedKeys<unknown>(plain);
  const flags: Partial<OpenFlags> = {
    autoReadOnly: true,
    readOnly: options.readOnly || options.snapshot,
    direct: options.cache.direct ?? false,
    noFlush: options.cache.noFlush ?? false,
  };
  const format = options.format ?? (driver as string | undefined);
  const definition = format === undefined ? undefined : graph.drivers.get(format);
  const given = aio === undefined ? nodeOptions : withAio(nodeOptions, aio, definition?.kind === 'protocol');
  const { file } = options;
  const node =
    file === undefined || file === ''
      ? await graph.open({ ...given, ...withoutUndefined({ driver: format }) }, flags)
      : await graph.openFile(file, { flags, options: given, ...withoutUndefined({ format }) });
  // Unlike elsewhere, unmap does not depend on discard.
  if (detectZeroes !== undefined) node.flags.detectZeroes = detectZeroes as OpenFlags['detectZeroes'];
  return node;
}

/** How the file is read and written, which is the node itself when that is one. */
function withAio(options: Record<string, unknown>, aio: string, isFile: boolean): Record<string, unknown> {
  if (isFile) return { ...options, aio };
  return { ...options, file: { ...(options['file'] as object | undefined), aio } };
}

/** A temporary overlay takes what is written. Its file has no name any more, and goes with the last user. */
async function addOverlay(node: BlockNode, { graph, temporaryDirectory }: DriveContext): Promise<BlockNode> {
  const filename = `${temporaryDirectory}/vl.${randomSuffix(graph)}`;
  await createImage(graph, { filename, format: 'qcow2', size: node.length, quiet: true });
  try {
    return await graph.open(
      { driver: 'qcow2', file: { driver: 'file', filename }, backing: node.name },
      { noFlush: true },
    );
  } finally {
    await graph.platform.files.unlink(filename);
  }
}

const suffixLetters = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789';

function randomSuffix({ platform }: BlockGraph): string {
  return Array.from({ length: 6 }, () => suffixLetters[platform.random.below(suffixLetters.length)]).join('');
}

async function addCopyOnRead(graph: BlockGraph, node: BlockNode): Promise<BlockNode> {
  const filter = await graph.open({ driver: 'copy-on-read', file: node.name });
  filter.implicit = true;
  filter.isHidden = true;
  return filter;
}
