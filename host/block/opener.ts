/**
 * Opening: from options or a file name to a node with its children.
 *
 * The order of events is QEMU's: the file child is opened and registered first, then the node itself, then its
 * backing chain (specification: graph, sections 1 and 2). Whatever fails, everything opened on the way is closed.
 * A chain of backing files that is too deep or leads back to itself is refused.
 */
import { asBlockError, type BlockError, invalid } from '../base/errors.ts';
import { withoutUndefined } from '../base/without-undefined.ts';
import type { TlsCredentials, TlsEndpoint } from '../platform/tls.ts';
import { nestDottedKeys } from '../qapi/dotted-keys.ts';
import { isJsonObject } from '../qapi/json-value.ts';
import { asList } from '../qapi/node-options.ts';
import { BlockBackend } from './backend.ts';
import type { Driver, DriverDefinition } from './driver.ts';
import { probeBytes } from './driver-registry.ts';
import type { ChildRole, Edge } from './edge.ts';
import { exactFilename, filenameOf, flattened, resolveBackingName, resolveOwnName } from './filename.ts';
import type { BlockGraph } from './graph.ts';
import { leavesFileToImage, optionsOfFilename } from './named-options.ts';
import { BlockNode } from './node.ts';
import { objectTableOf } from './object-table.ts';
import type { CorruptionReport, OpenContext, OpenFlags, TroubleReport } from './open-context.ts';
import {
  checkDetectZeroes,
  childDefaults,
  commonOptions,
  knownOptions,
  type NodeOptions,
  ownOptions,
  resolveFlags,
  unsupportedBy,
} from './options.ts';
import { Perm } from './permissions.ts';
import { rangeReadsAsZeros } from './status.ts';
import { readMapped, writeMapped } from './transfer.ts';

/** How `openFile` opens an image. */
export interface OpenFileOptions {
  /** Driver name of the image format; probed when absent. */
  format?: string;
  flags?: Partial<OpenFlags>;
  /** Further options of the node, in the form of blockdev-add. */
  options?: NodeOptions;
  noBacking?: boolean;
  /** See OpenParams. */
  namedByImage?: true;
}

interface OpenParams {
  defaults: Partial<OpenFlags>;
  noBacking?: boolean;
  /** Given a name of its own even if the options have none. */
  chain?: readonly string[];
  /** The format was guessed, not named. */
  probed?: boolean;
  /** An image says that this is its backing file: nothing below is written to, whatever its name says. */
  namedByImage?: true;
  /** A driver that options cannot name: filters that jobs put in. */
  definition?: DriverDefinition;
}

/** Longest chain of backing files. */
const maxBackingDepth = 200;

const nothingToOpen = 'Must specify either driver or file';

export async function openFile(
  graph: BlockGraph,
  filename: string,
  { format, flags = {}, options = {}, noBacking, namedByImage }: OpenFileOptions,
  chain: readonly string[] = [],
): Promise<BlockNode> {
  const params = {
    defaults: flags,
    chain,
    ...withoutUndefined({ noBacking, namedByImage }),
  };
  const given = { ...nestDottedKeys(options), ...withoutUndefined({ driver: format }) };
  return openNode(graph, await optionsOfFilename(knownTo(graph), filename, given, { namedByImage }), params);
}

function knownTo({ drivers, platform: { files } }: BlockGraph): Parameters<typeof optionsOfFilename>[0] {
  return { drivers, files };
}

export async function openNode(
  graph: BlockGraph,
  givenOptions: NodeOptions,
  params: OpenParams,
): Promise<BlockNode> {
  const options = withBackingNull(graph, nestDottedKeys(givenOptions));
  const named = typeof options['driver'] === 'string' ? graph.drivers.find(options['driver']) : undefined;
  const common = commonOptions(options, params.definition ?? named);
  const flags = resolveFlags(common, params.defaults);
  checkDetectZeroes(flags);
  if (common.driver === undefined && !params.definition) return openProbing(graph, options, params, flags);
  const definition = params.definition ?? graph.drivers.get(common.driver!); // one of the two is there
  if (flags.forceShare && !(flags.inactive?.readOnly ?? flags.readOnly)) {
    throw invalid('force-share=on can only be used with read-only images');
  }
  const name = common['node-name'];
  if (name !== undefined) graph.checkName(name);
  const node = new BlockNode(graph, name ?? graph.generateName(), definition, flags);
  node.options = options;
  node.references = 1;
  try {
    await openDriver(graph, node, params);
    if (params.noBacking || flags.noIo) checkNoBacking(node);
    if (params.noBacking && node.driver.backing) node.options = { ...node.options, backing: null };
    if (!flags.inactive) await graph.observer.nodeOpened(node);
    if (params.probed && definition.isProbeFallback && !flags.readOnly) restrictProbedRaw(graph, node);
    // The name is looked at again: opening the file child took time.
    if (name !== undefined) graph.checkName(name);
    graph.register(node);
    if (!flags.noIo && params.noBacking !== true) await openBacking(graph, node, params);
    return node;
  } catch (error) {
    await discardFailed(graph, node);
    throw asBlockError(error);
  }
}

/** An empty name for "none" is old. */
function withBackingNull(graph: BlockGraph, options: NodeOptions): NodeOptions {
  if (options['backing'] !== '') return options;
  graph.platform.console.warn('Use of "backing": "" is deprecated; use "backing": null instead');
  return { ...options, backing: null };
}

/** Options of what is not opened are options that nobody has. */
function checkNoBacking({ definition, options: { backing } }: BlockNode): void {
  if (backing === undefined || backing === null || backing === '') return;
  const [name = ''] = Object.keys(flattened('backing', backing));
  throw unsupportedBy(definition)(name);
}

async function openDriver(graph: BlockGraph, node: BlockNode, params: OpenParams): Promise<void> {
  const { definition, options } = node;
  const context = new NodeOpenContext(graph, node, params);
  // What it is stored in comes before anything else that it says.
  const needsFile = definition.children?.some(({ name, optional }) => name === 'file' && !optional);
  if (needsFile && !describesChild(options['file'])) throw undescribed('file');
  try {
    node.own = ownOptions(definition, knownOptions(definition, options));
  } catch (error) {
    if (needsFile) await context.openChild('file', definition.kind === 'filter' ? 'filtered' : 'file');
    throw error;
  }
  node.driver = await definition.open(context, node.own);
  if (node.driver.childPermissions) await graph.refreshPermissions(node);
  try {
    await node.refreshLength();
  } catch (error) {
    throw asBlockError(error).within('Could not refresh total sector count');
  }
  // Options that nobody knows are told last.
  ownOptions(definition, options);
}

/** Finds the format by looking at the file, then opens the node on top of it. */
async function openProbing(
  graph: BlockGraph,
  options: NodeOptions,
  params: OpenParams,
  flags: OpenFlags,
): Promise<BlockNode> {
  if (options['file'] === undefined) throw invalid(nothingToOpen);
  if (!describesChild(options['file'])) throw undescribed('file');
  const file = await openChildNode(graph, options['file'], childDefaults(flags, 'file'), params, 'file');
  try {
    const reader = await BlockBackend.attach(file, {
      name: 'root',
      description: 'an unnamed block device',
      perm: Perm.none,
      shared: Perm.all,
    });
    const head = new Uint8Array(probeBytes);
    try {
      await reader.edge.read(0, head);
    } finally {
      await reader.close();
    }
    const driver = graph.drivers.probe(head, exactFilename(file)).name;
    const node = await openNode(graph, { ...options, driver, file }, { ...params, probed: true });
    if (!isReference(options['file'])) file.inheritsFrom = node;
    return node;
  } finally {
    await graph.unref(file);
  }
}

function restrictProbedRaw(graph: BlockGraph, node: BlockNode): void {
  const { console } = graph.platform;
  const probed = node.children.get('file')?.node ?? node;
  console.stderr(
    `WARNING: Image format was not specified for '${filenameOf(probed)}' and probing guessed raw.`,
  );
  console.stderr(
    '         Automatically detecting the format is dangerous for raw images, write operations on block 0 will be restricted.',
  );
  console.stderr("         Specify the 'raw' format explicitly to remove the restrictions.");
  node.probedRaw = true;
  node.looksRaw = (head) => graph.drivers.looksRaw(head);
}

/** Whether there is anything in it to open: options, a name, or a node. */
function describesChild(option: unknown): option is ChildOption {
  if (typeof option === 'string' || option instanceof BlockNode) return true;
  return typeof option === 'object' && option !== null && Object.keys(option).length > 0;
}

/** Whether what is said of the backing file, if anything, is said of the one that the image names. */
function isLeftToImage(graph: BlockGraph, option: unknown): boolean {
  if (option === undefined) return true;
  return isJsonObject(option) && !isReference(option) && leavesFileToImage(graph.drivers, option);
}

/** A node that exists already, and so is nobody's own. */
function isReference(option: unknown): boolean {
  return typeof option === 'string' || option instanceof BlockNode;
}

function undescribed(child: string): BlockError {
  return invalid(`A block device must be specified for "${child}"`);
}

/** A description, the name of a node, or the node. */
type ChildOption = string | NodeOptions | BlockNode;

/** The node that a child option describes, with one reference for the caller. */
async function openChildNode(
  graph: BlockGraph,
  option: ChildOption,
  defaults: Partial<OpenFlags>,
  params: OpenParams,
  role: ChildRole,
): Promise<BlockNode> {
  if (option instanceof BlockNode || typeof option === 'string') {
    const node = option instanceof BlockNode ? option : graph.lookup(option, option);
    node.ref();
    return node;
  }
  const options = nestDottedKeys(option);
  const inner: OpenParams = {
    defaults,
    ...withoutUndefined({ chain: params.chain, namedByImage: params.namedByImage }),
  };
  const { filename, ...others } = options;
  if (options['driver'] !== undefined || role === 'cow' || role === 'image')
    return openNode(graph, options, inner);
  // The file under a format is a protocol: it is never probed.
  if (typeof filename !== 'string') throw invalid(nothingToOpen);
  if (filename.startsWith('json:')) {
    return openNode(graph, await optionsOfFilename(knownTo(graph), filename, others), inner);
  }
  const protocol = await graph.drivers.protocolFor(graph.platform.files, filename);
  const named = protocol.parseFilename?.(filename) ?? { filename };
  return openNode(graph, { ...others, driver: protocol.name, ...named }, inner);
}

async function openBacking(graph: BlockGraph, node: BlockNode, params: OpenParams): Promise<void> {
  // A filter may call its child so, and has opened it itself.
  if (node.children.has('backing')) return;
  const option = node.options['backing'];
  const { backing } = node.driver;
  if (option === null) return;
  const named = backing && isLeftToImage(graph, option) ? backing : undefined;
  if (!named && !describesChild(option)) return;
  if (!(option instanceof BlockNode) && !node.definition.supportsBacking)
    throw invalid("Driver doesn't support backing files");
  const defaults = childDefaults(node.flags, 'cow');
  const chain = [...(params.chain ?? []), await identify(node)];
  if (chain.length > maxBackingDepth) throw invalid(`Backing chain is deeper than ${maxBackingDepth} images`);
  // Whichever file it is, it has the format that the image tells unless the options do.
  const described = isReference(option)
    ? (option as ChildOption)
    : { ...withoutUndefined({ driver: backing?.format }), ...(option as NodeOptions | undefined) };
  const filename = named && resolveBackingName(node, named.filename);
  let child: BlockNode;
  try {
    if (filename !== undefined) {
      if (await isInChain(graph, chain, filename)) throw loopError(filename);
      const how = { flags: defaults, namedByImage: true as const, options: described as NodeOptions };
      child = await openFile(graph, filename, how, chain);
    } else {
      child = await openChildNode(graph, described, defaults, { ...params, chain }, 'cow');
    }
  } catch (error) {
    throw asBlockError(error).within('Could not open backing file');
  }
  if (!isReference(option)) child.inheritsFrom = node;
  try {
    if (chain.includes(await identify(child))) throw loopError(child.name);
    await graph.attachChild(node, child, 'backing', 'cow');
    if (named && !describesChild(option)) node.openedBacking = { named, filename: filenameOf(child) };
  } finally {
    await graph.unref(child);
  }
}

function loopError(name: string): BlockError {
  return invalid(`Backing file '${name}' creates an infinite loop.`);
}

/** Before it is opened, which would open all of the chain once more. A name that leads nowhere is in no chain. */
async function isInChain(graph: BlockGraph, chain: readonly string[], filename: string): Promise<boolean> {
  try {
    return chain.includes(await graphFileIdentity(graph, filename));
  } catch (error) {
    asBlockError(error);
    return false;
  }
}

/** One name for one image, whatever path led to it. */
async function identify(node: BlockNode): Promise<string> {
  const filename = exactFilename(node);
  if (filename === undefined) return node.name;
  return graphFileIdentity(node.graph, filename);
}

async function graphFileIdentity(graph: BlockGraph, filename: string): Promise<string> {
  if (/^[^/]*:/.test(filename)) return filename;
  return graph.platform.files.identify(filename);
}

async function discardFailed(graph: BlockGraph, node: BlockNode): Promise<void> {
  if (node.driver) {
    await graph.unref(node);
    return;
  }
  for (const edge of [...node.children.values()].reverse()) {
    node.children.delete(edge.name);
    await graph.detach(edge);
  }
}

/** What the driver sees of the node that is being opened. */
class NodeOpenContext implements OpenContext {
  readonly platform;
  readonly nodeName: string;
  readonly flags: Readonly<OpenFlags>;

  constructor(
    private readonly graph: BlockGraph,
    private readonly node: BlockNode,
    private readonly params: OpenParams,
  ) {
    this.platform = graph.platform;
    this.nodeName = node.name;
    this.flags = node.flags;
  }

  fallBackToReadOnly(): void {
    this.node.flags.readOnly = true;
  }

  async openChild(name: string, role: ChildRole): Promise<Edge> {
    const { graph, node, params } = this;
    // As QEMU does: what a node is stored in is there before it, everything else comes after it.
    if (name !== 'file') graph.takePlace(node);
    const option = node.options[name] ?? elementOf(node.options, name);
    if (!describesChild(option)) throw undescribed(name);
    const child = await openChildNode(graph, option, childDefaults(node.flags, role), params, role);
    return this.attach(name, child, role, isReference(option));
  }

  async openNamedFile(name: string, filename: string, role: ChildRole): Promise<Edge> {
    const { graph, node, params } = this;
    graph.takePlace(node);
    const option = { filename: resolveOwnName(node, filename) };
    const child = await openChildNode(graph, option, childDefaults(node.flags, role), params, 'file');
    node.namedFiles.add(name);
    return this.attach(name, child, role, false);
  }

  /** Takes over the reference to `child`. */
  private async attach(name: string, child: BlockNode, role: ChildRole, isReferred: boolean): Promise<Edge> {
    const { graph, node } = this;
    if (!isReferred) child.inheritsFrom = node;
    try {
      if (child.readOnly && !node.readOnly && role !== 'cow') {
        if (node.flags.autoReadOnly) node.flags.readOnly = true;
      }
      return await graph.attachChild(node, child, name, role);
    } finally {
      await graph.unref(child);
    }
  }

  childNames(list: string): string[] {
    const given = this.node.options[list];
    const elements = asList(given);
    if (Array.isArray(elements)) return elements.map((_, index) => `${list}.${index}`);
    if (typeof elements === 'object' && elements !== null)
      throw invalid(`Option ${list} is not a valid array`);
    return [];
  }

  hasBacking(): boolean {
    return this.node.backing() !== undefined;
  }

  backingDriver(): Driver | undefined {
    return this.node.backing()?.skipFilters().driver;
  }

  backingLength(): number {
    return this.node.backing()?.length ?? 0;
  }

  readonly self = {
    read: (offset: number, buffer: Uint8Array): Promise<void> => readMapped(this.node, offset, buffer),
    write: (offset: number, buffer: Uint8Array): Promise<void> => writeMapped(this.node, offset, buffer, {}),
    readsAsZeros: (offset: number, bytes: number): Promise<boolean> =>
      rangeReadsAsZeros(this.node, offset, bytes),
  };

  reportCorruption(report: CorruptionReport): void {
    const { message, offset, bytes, fatal } = report;
    this.graph.emit({
      name: 'BLOCK_IMAGE_CORRUPTED',
      data: {
        device: '',
        'node-name': this.node.name,
        msg: message,
        ...withoutUndefined({ offset, size: bytes }),
        fatal,
      },
    });
  }

  reportTrouble(trouble: TroubleReport | undefined): void {
    this.graph.emit({
      name: 'X_BLOCK_TROUBLE',
      data: { 'node-name': this.node.name, lasting: trouble !== undefined, ...trouble },
    });
  }

  get isNamedByImage(): boolean {
    return this.params.namedByImage === true;
  }

  secret(id: string): Uint8Array {
    return objectTableOf(this.graph).secret(id);
  }

  credentials(id: string, endpoint: TlsEndpoint): TlsCredentials {
    return objectTableOf(this.graph).credentials(id, endpoint);
  }

  warn(message: string): void {
    this.graph.platform.console.warn(message);
  }

  warnOnce(message: string): void {
    const { warnings } = this.graph;
    if (warnings.has(message)) return;
    warnings.add(message);
    this.warn(message);
  }
}

/** Element `LIST.INDEX` of an option that is a list. */
function elementOf(options: NodeOptions, name: string): unknown {
  const [, list, index] = /^(.*)\.(\d+)$/.exec(name) ?? [];
  if (list === undefined) return undefined;
  const elements = asList(options[list]);
  return Array.isArray(elements) ? elements[Number(index)] : undefined;
}
