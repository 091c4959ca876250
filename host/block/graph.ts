/**
 * The block graph: all nodes of one monitor or tool, their names, and every change of an edge.
 *
 * Names of nodes are unique. An edge comes and goes only here, together with the permission check that belongs to it,
 * one change at a time; a change that fails leaves graph, permissions and image locks as they were. Opening is in
 * opener.ts, file names in filename.ts, requests in request.ts.
 */
import { assert } from '../base/assert.ts';
import { Attachments } from '../base/attachments.ts';
import { BlockError, invalid } from '../base/errors.ts';
import { Mutex } from '../base/mutex.ts';
import type { Platform } from '../platform/platform.ts';
import { isIdentifier } from '../qapi/identifier.ts';
import { BackendTable } from './backend-table.ts';
import { chainLinks } from './chain.ts';
import type { DriverDefinition } from './driver.ts';
import { DriverRegistry } from './driver-registry.ts';
import { type ChildRole, Edge, type EdgeParent } from './edge.ts';
import { checkNotFrozen, connect, disconnect, GraphChange } from './graph-change.ts';
import { type GraphObserver, unobserved } from './graph-observer.ts';
import { GuestLatency } from './guest-latency.ts';
import type { BlockNode } from './node.ts';
import type { OpenFlags } from './open-context.ts';
import { type OpenFileOptions, openFile, openNode } from './opener.ts';
import { updatePermissions } from './permissions.ts';
import { type ReopenRequest, reopen, setReadOnly } from './reopen.ts';

/** A QMP event of a graph; the time is added by who passes it on. */
export interface GraphEvent {
  name: string;
  data?: object;
}

/** What a graph is made of. */
export interface GraphOptions {
  platform: Platform;
  drivers: readonly DriverDefinition[];
  emit?(event: GraphEvent): void;
  /** Hears that a node is gone, but not all it held could be written. Absent: whoever let it go gets the error. */
  closeFailed?(node: BlockNode, error: BlockError): void;
  /** Absent: nothing that is stored beside the data of nodes is kept up to date. */
  observer?: GraphObserver;
}

interface EdgeSpec {
  name: string;
  role: ChildRole;
  perm: number;
  shared: number;
}

const nameLimitBytes = 31;

/** Block nodes by their names, and the edges between them: opens files, makes nodes from options, replaces and closes them. */
export class BlockGraph {
  readonly platform: Platform;
  readonly drivers: DriverRegistry;
  readonly emit: (event: GraphEvent) => void;
  readonly observer: GraphObserver;
  private readonly closeFailed: GraphOptions['closeFailed'];
  readonly backends = new BackendTable();
  /** Of requests that are not made in bulk. */
  readonly guestLatency = new GuestLatency();
  /** What upper layers keep with it. */
  readonly attachments = new Attachments<BlockGraph>(this);
  /** One filter at a time is put in or taken out (jobs/filter-insertion.ts). */
  readonly filterChanges = new Mutex();
  /** Warnings that are given once. */
  readonly warnings = new Set<string>();
  /** In the order of registration. */
  private readonly byName = new Map<string, BlockNode>();
  private readonly changes = new Mutex();
  private generatedNames = 0;
  private places = 0;

  constructor(options: GraphOptions) {
    this.platform = options.platform;
    this.drivers = new DriverRegistry(options.drivers);
    this.emit = options.emit ?? (() => {});
    this.observer = options.observer ?? unobserved;
    this.closeFailed = options.closeFailed;
  }

  // Names.

  /** Newest first. */
  nodes(): BlockNode[] {
    return [...this.byName.values()].sort((a, b) => b.place - a.place);
  }

  /** Those that clients see, newest first. */
  shownNodes(): BlockNode[] {
    return this.nodes().filter(({ isHidden }) => !isHidden);
  }

  /** Settles the place of a node that is being opened among all nodes; the first call counts. */
  takePlace(node: BlockNode): void {
    if (node.place === 0) node.place = ++this.places;
  }

  findNode(name: string): BlockNode | undefined {
    return this.byName.get(name);
  }

  /** Throws `Cannot find device='' nor node-name='x'`. */
  getNode(name: string): BlockNode {
    return this.lookup(undefined, name);
  }

  /** By device or node name; undefined where `lookup` throws. */
  find(device: string | undefined, nodeName: string | undefined): BlockNode | undefined {
    const backend = device === undefined ? undefined : this.backends.find(device);
    if (backend) return backend.hasMedium ? backend.node : undefined;
    const node = nodeName === undefined ? undefined : this.byName.get(nodeName);
    return node?.isClosing ? undefined : node;
  }

  /** By device or node name, as most commands do. Errors: unknown, or a device without a medium. */
  lookup(device: string | undefined, nodeName: string | undefined): BlockNode {
    const found = this.find(device, nodeName);
    if (found) return found;
    if (device !== undefined && this.backends.find(device)) {
      throw new BlockError('ENOMEDIUM', `Device '${device}' has no medium`);
    }
    throw invalid(`Cannot find device='${device ?? ''}' nor node-name='${nodeName ?? ''}'`);
  }

  /** The name of the device whose medium `node` is, empty without one. */
  deviceNameOf(node: BlockNode): string {
    for (const edge of node.parents) {
      if (edge.parent.name !== undefined && !edge.parent.isNode && edge.parent.name !== '')
        return edge.parent.name;
    }
    return '';
  }

  /** As messages about `node` call it. */
  deviceOrNodeName(node: BlockNode): string {
    return this.deviceNameOf(node) || node.name;
  }

  /** Throws when a device cannot have this name. */
  checkBackendName(name: string): void {
    if (!isIdentifier(name)) throw invalid('Invalid device name');
    if (this.backends.find(name)) throw invalid(`Device with id '${name}' already exists`);
    if (this.byName.has(name)) throw invalid(`Device name '${name}' conflicts with an existing node name`);
  }

  /** `#block` with a running number and two digits of chance, so that nobody relies on it. */
  generateName(): string {
    const chance = String(this.platform.random.below(100)).padStart(2, '0');
    return `#block${this.generatedNames++}${chance}`;
  }

  /** Throws when `name` is malformed or taken. */
  checkName(name: string): void {
    if (!isIdentifier(name)) throw invalid(`Invalid node-name: '${name}'`);
    if (this.backends.find(name)) throw invalid(`node-name=${name} is conflicting with a device id`);
    if (this.byName.has(name)) throw invalid(`Duplicate nodes with node-name='${name}'`);
    if (name.length > nameLimitBytes) throw invalid('Node name too long');
  }

  register(node: BlockNode): void {
    assert(!this.byName.has(node.name), `node ${node.name} registered twice`);
    this.byName.set(node.name, node);
    this.takePlace(node);
  }

  // Opening and closing.

  /**
   * Opens a node with its children from options in the form of blockdev-add. The caller owns one reference.
   * `defaults` apply where the options say nothing. `noBacking`: the backing file stays closed. Errors: BlockError; nothing is left open.
   */
  open(
    options: Readonly<Record<string, unknown>>,
    defaults: Partial<OpenFlags> = {},
    noBacking = false,
  ): Promise<BlockNode> {
    return openNode(this, options, { defaults, noBacking });
  }

  /** Opens a node of a driver that options cannot name. As `open`. */
  openInternal(
    definition: DriverDefinition,
    options: Readonly<Record<string, unknown>>,
    defaults: Partial<OpenFlags> = {},
  ): Promise<BlockNode> {
    return openNode(this, options, { defaults, definition });
  }

  /** Opens an image by file name, as the tools do. The format is probed unless given. */
  openFile(filename: string, options: OpenFileOptions = {}): Promise<BlockNode> {
    return openFile(this, filename, options);
  }

  /** Reopens nodes with new options, all or none: blockdev-reopen. */
  reopen(requests: readonly ReopenRequest[]): Promise<void> {
    return reopen(this, requests);
  }

  /** Makes a node and the files it opened by itself read-only or writable. Errors: the file's; permission conflicts. */
  setReadOnly(node: BlockNode, readOnly: boolean): Promise<void> {
    return setReadOnly(this, node, readOnly);
  }

  /** A read-only node is writable for as long as `act` takes. Errors: as `setReadOnly`, and those of `act`. */
  async whileWritable(node: BlockNode, act: () => Promise<void>): Promise<void> {
    const { readOnly } = node;
    if (readOnly) await this.setReadOnly(node, false);
    try {
      await act();
    } finally {
      if (readOnly) await this.setReadOnly(node, true);
    }
  }

  /** Drops one reference; the last one closes the node and lets go of its children. */
  async unref(node: BlockNode): Promise<void> {
    assert(node.references > 0, `node ${node.name} released more often than referenced`);
    if (--node.references > 0) return;
    await this.closeNode(node);
  }

  private async closeNode(node: BlockNode): Promise<void> {
    await node.whenIdle();
    let failure: unknown;
    const note = (error: unknown): void => {
      failure ??= error;
    };
    await this.observer.nodeClosing(node).catch(note);
    // Whatever could not be kept beside it.
    await node.driver?.close().catch(note);
    node.closed = true;
    if (this.byName.get(node.name) === node) this.byName.delete(node.name);
    for (const edge of [...node.children.values()].reverse()) {
      node.children.delete(edge.name);
      await this.detach(edge);
    }
    if (this.closeFailed && failure instanceof BlockError) this.closeFailed(node, failure);
    else if (failure !== undefined) throw failure;
  }

  // Edges.

  /** Makes an edge from `parent` to `child`, which it references. Errors: permission conflicts. */
  async attach(parent: EdgeParent, child: BlockNode, spec: EdgeSpec): Promise<Edge> {
    const edge = new Edge(spec.name, spec.role, parent, child);
    edge.perm = spec.perm;
    edge.shared = spec.shared;
    child.ref();
    try {
      await this.changes.run(async () => {
        connect(edge);
        try {
          await updatePermissions({ nodes: [child] });
        } catch (error) {
          disconnect(edge);
          throw error;
        }
      });
    } catch (error) {
      await this.unref(child);
      throw error;
    }
    return edge;
  }

  /** Adds a child to a node; the permissions follow from the role and the node's parents. */
  async attachChild(parent: BlockNode, child: BlockNode, name: string, role: ChildRole): Promise<Edge> {
    let edge: Edge | undefined;
    await this.change((change) => {
      edge = change.addChild(parent, child, name, role);
    });
    return edge!; // the change has made it
  }

  /** Drops an edge and its reference on the child. The parent has already forgotten it. */
  async detach(edge: Edge): Promise<void> {
    await this.changes.run(async () => {
      disconnect(edge);
      await updatePermissions({ nodes: [edge.node] });
    });
    await this.unref(edge.node);
  }

  async setPermissions(edge: Edge, perm: number, shared: number): Promise<void> {
    await this.changes.run(() => updatePermissions({ edges: [{ edge, perm, shared }], nodes: [edge.node] }));
  }

  /** Works out again what `node` needs of its children, after its driver changed its mind. */
  async refreshPermissions(node: BlockNode): Promise<void> {
    await this.changes.run(() => updatePermissions({ nodes: [node] }));
  }

  /**
   * Changes edges, all of them or none: `body` makes the steps. Nodes between which an edge moves must be drained, so
   * that no request is on its way. Errors: what `body` throws, permission conflicts; nothing has changed then.
   */
  async change(body: (change: GraphChange) => void): Promise<void> {
    const change = new GraphChange();
    let dropped: readonly BlockNode[] = change.lost;
    const work = this.changes.run(async () => {
      try {
        body(change);
        await updatePermissions({
          nodes: [...change.touched],
          becomingReadOnly: change.becomingReadOnly,
        });
      } catch (error) {
        change.undo();
        dropped = change.gained;
        throw error;
      } finally {
        change.end();
      }
    });
    try {
      await work;
    } finally {
      for (const node of dropped) await this.unref(node);
    }
  }

  /** Lets all parents of `from` point to `to`, but those in `except`. As `change`. */
  async replaceNode(from: BlockNode, to: BlockNode, except: readonly EdgeParent[] = []): Promise<void> {
    await this.change((change) => {
      for (const edge of [...from.parents]) if (!except.includes(edge.parent)) change.moveEdge(edge, to);
    });
  }

  /** Gives `node` another backing child, or none. As `change`; throws for a frozen link. */
  async setBacking(node: BlockNode, backing: BlockNode | undefined): Promise<void> {
    await this.change((change) => {
      const edge = node.children.get('backing');
      if (edge && backing) change.moveEdge(edge, backing);
      else if (edge) change.removeChild(edge);
      else if (backing) change.addChild(node, backing, 'backing', 'cow');
    });
  }

  /**
   * Nobody changes the links from `top` down to `base` (to the bottom without one) until `unfreezeChain`. Throws when
   * somebody else has frozen one of them.
   */
  freezeChain(top: BlockNode, base: BlockNode | undefined): void {
    const links = chainLinks(top, base);
    for (const edge of links) checkNotFrozen(edge, '');
    for (const edge of links) edge.frozen++;
  }

  unfreezeChain(top: BlockNode, base: BlockNode | undefined): void {
    for (const edge of chainLinks(top, base)) {
      assert(edge.frozen > 0, `link below ${top.name} is not frozen`);
      edge.frozen--;
    }
  }

  // Draining everything.

  /** Quiets the whole graph; `drainAllEnd` takes what this returned. */
  async drainAllBegin(): Promise<BlockNode[]> {
    const nodes = this.nodes();
    for (const node of nodes) node.drainedBegin();
    for (const node of nodes) await node.whenIdle();
    return nodes;
  }

  drainAllEnd(nodes: readonly BlockNode[]): void {
    for (const node of nodes) node.drainedEnd();
  }
}
