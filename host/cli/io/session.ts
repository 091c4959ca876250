/**
 * An `io` session: the image that is open, if any, and the asynchronous requests in flight.
 *
 * What an asynchronous request has to report is held back until a later command does I/O, waits for it (`aio_flush`)
 * or closes the image, so that output comes at the same places as from QEMU.
 */
import { asBlockError, BlockError, invalid } from '../../base/errors.ts';
import { withoutUndefined } from '../../base/without-undefined.ts';
import type { BlockBackend } from '../../block/backend.ts';
import type { BlockGraph } from '../../block/graph.ts';
import { addCopyOnRead, addTemporaryOverlay, replaced } from '../../block/layers.ts';
import type { BlockNode } from '../../block/node.ts';
import { commonOptions, type NodeOptions } from '../../block/options.ts';
import { Perm } from '../../block/permissions.ts';
import { reopenWith } from '../../block/reopen-changes.ts';
import type { AioMode } from '../../platform/platform.ts';
import type { CacheMode } from '../shared/cache-mode.ts';
import { attachUser } from '../shared/open-image.ts';
import type { Tool } from '../shared/tool.ts';
import { complain } from './command.ts';

/** What an image is opened as: by its name, or by options that say it all. */
export interface OpenRequest {
  path: string | undefined;
  format: string | undefined;
  /** Of the node, in addition to the path. */
  options: NodeOptions;
  readOnly: boolean;
  cache: CacheMode;
  discard: boolean;
  forceShare: boolean;
  /** The host's own asynchronous requests, which go past its cache. */
  aio: AioMode | undefined;
  /** What is written goes to an overlay, which is gone when the image is closed. */
  temporary: boolean;
  copyOnRead: boolean;
}

export class Session {
  private image: BlockBackend | undefined;
  private copiesOnRead = false;
  private readonly pending = new Set<Promise<void>>();
  private completed: (() => void)[] = [];
  quit = false;
  /** Of the command that runs, as it was typed. */
  commandName = '';
  /** It is not for commands to choose another image. */
  isFixed = false;

  constructor(
    readonly tool: Tool,
    readonly graph: BlockGraph,
    /** Buffers start at an odd address. */
    private readonly misaligned: boolean,
  ) {}

  get isOpen(): boolean {
    return this.image !== undefined;
  }

  /** The open image. Only for commands that need one. */
  get backend(): BlockBackend {
    if (!this.image) throw new BlockError('ENOMEDIUM');
    return this.image;
  }

  allocate(bytes: number): Uint8Array {
    return this.misaligned ? new Uint8Array(bytes + 1).subarray(1) : new Uint8Array(bytes);
  }

  nowNs(): number {
    return this.graph.platform.clock.nowNs();
  }

  /** Works on a disk that is open already, and no other. Closing leaves it open: it is its owner's. */
  use(image: BlockBackend): void {
    this.image = image;
    this.isFixed = true;
  }

  /** Errors: BlockError, `can't open device F: …`. */
  async open(request: OpenRequest): Promise<void> {
    if (this.image) throw new BlockError('EBUSY', "file open already, try 'help close'");
    try {
      this.image = await this.openImage(request);
      this.copiesOnRead = request.copyOnRead;
    } catch (error) {
      throw asBlockError(error).within(
        `can't open${request.path === undefined ? '' : ` device ${request.path}`}`,
      );
    }
  }

  private async openImage(request: OpenRequest): Promise<BlockBackend> {
    const { graph } = this;
    const { path, format, options, readOnly, cache, discard, forceShare, temporary, aio } = request;
    if (request.aio === 'native' && !cache.flags.direct) {
      throw invalid('aio=native was specified, but it requires cache.direct=on, which was not specified.');
    }
    const flags = { ...cache.flags, aio, discard, forceShare, readOnly: readOnly || temporary };
    let node =
      path === undefined
        ? await graph.open(options, flags)
        : await graph.openFile(path, { flags, options, ...withoutUndefined({ format }) });
    if (temporary) {
      const directory = process.env['TMPDIR'] ?? '/var/tmp';
      const overlay = {
        flags: { discard, readOnly },
        options: withoutUndefined({ 'read-only': options['read-only'] }),
      };
      node = await replaced(graph, node, (below) => addTemporaryOverlay(graph, below, directory, overlay));
    }
    if (request.copyOnRead) node = await replaced(graph, node, (below) => this.addCopyOnRead(below));
    return attachUser(node, { write: !readOnly, cache });
  }

  private async addCopyOnRead(node: BlockNode): Promise<BlockNode> {
    if (node.readOnly) throw invalid("Can't use copy-on-read on read-only device");
    return addCopyOnRead(this.graph, node);
  }

  /**
   * Opens the image, as it is, with other options of its nodes, or changes nothing. `writethrough`: of the image's user from then on.
   * `withoutWriting`: that may no longer write, until a command needs it. Errors: as of `reopenWith`.
   */
  async reopen(
    changes: NodeOptions,
    { writethrough, withoutWriting }: { writethrough?: boolean | undefined; withoutWriting: boolean },
  ): Promise<void> {
    const { backend } = this;
    const node = backend.node.skipImplicit();
    if (this.copiesOnRead && !node.readOnly && commonOptions(changes, node.definition)['read-only'])
      throw invalid(`Can't set node '${node.name}' to r/o with copy-on-read enabled`);
    if (withoutWriting) {
      const { perm, shared } = backend.edge;
      await backend.setPermissions(perm & ~(Perm.write | Perm.resize), shared);
    }
    await reopenWith(this.graph, node, changes);
    if (writethrough !== undefined) backend.writethrough = writethrough;
  }

  async close(): Promise<void> {
    await this.waitForAll();
    const { image } = this;
    this.image = undefined;
    if (!this.isFixed) await image?.close();
  }

  /** Asks for permissions that the image was not opened with. */
  async ensurePermissions(needed: number): Promise<void> {
    const { perm, shared } = this.backend.edge;
    if ((perm & needed) !== needed) await this.backend.setPermissions(perm | needed, shared);
  }

  /** Starts an asynchronous request. `announce` prints its outcome later. */
  start(
    act: () => Promise<void>,
    announce: (error: BlockError | undefined, elapsedNs: number) => void,
  ): void {
    const startNs = this.nowNs();
    const run = async (): Promise<void> => {
      let failure: BlockError | undefined;
      try {
        await act();
      } catch (error) {
        failure = asBlockError(error);
      }
      const elapsedNs = this.nowNs() - startNs;
      this.completed.push(() => announce(failure, elapsedNs));
    };
    const request = run().finally(() => this.pending.delete(request));
    this.pending.add(request);
  }

  async waitForAll(): Promise<void> {
    while (this.pending.size > 0) await Promise.all(this.pending);
    this.announceCompleted();
  }

  announceCompleted(): void {
    const announcements = this.completed;
    this.completed = [];
    for (const announce of announcements) announce();
  }

  /** Runs a request and says how long it took; a failure is printed as `WHAT failed: …`. */
  async timed(what: string, act: () => Promise<void>): Promise<number> {
    const startNs = this.nowNs();
    try {
      await act();
    } catch (error) {
      this.announceCompleted();
      complain(this, `${what} failed: ${asBlockError(error).message}`);
    }
    const elapsedNs = this.nowNs() - startNs;
    this.announceCompleted();
    return elapsedNs;
  }
}
