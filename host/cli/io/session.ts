/**
 * An `io` session: the image that is open, if any, and the asynchronous requests in flight.
 *
 * What an asynchronous request has to report is held back until a later command does I/O, waits for it (`aio_flush`)
 * or closes the image, so that output comes at the same places as from QEMU.
 */
import { asBlockError, BlockError } from '../../base/errors.ts';
import type { BlockBackend } from '../../block/backend.ts';
import type { BlockGraph } from '../../block/graph.ts';
import { checkTreeReopenable } from '../../block/reopen.ts';
import { parseQemuOpts } from '../../qapi/qemu-opts.ts';
import { type CacheMode, parseCacheMode } from '../shared/cache-mode.ts';
import { type ImageSource, openBackend } from '../shared/open-image.ts';
import type { Tool } from '../shared/tool.ts';
import { complain } from './command.ts';

export interface OpenRequest {
  /** File name; undefined when the options say it all. */
  path: string | undefined;
  /** `path` is an option string. */
  imageOpts: boolean;
  format: string | undefined;
  /** Option string, in addition to the path. */
  options: string | undefined;
  readOnly: boolean;
  /** `readOnly` was said last, and counts whatever the options say. */
  overridesReadOnly?: true;
  cache: CacheMode;
  discard: boolean;
  forceShare: boolean;
}

export class Session {
  private image: BlockBackend | undefined;
  private current: OpenRequest | undefined;
  private readonly pending = new Set<Promise<void>>();
  private completed: (() => void)[] = [];
  quit = false;
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

  get openedAs(): OpenRequest | undefined {
    return this.current;
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
      this.current = request;
    } catch (error) {
      const name = request.imageOpts ? undefined : request.path;
      throw asBlockError(error).within(`can't open${name === undefined ? '' : ` device ${name}`}`);
    }
  }

  private openImage(request: OpenRequest): Promise<BlockBackend> {
    const { path, imageOpts, format, options, readOnly, cache, discard, forceShare } = request;
    const override = request.overridesReadOnly ? { 'read-only': readOnly } : {};
    const open = { write: !readOnly, cache, forceShare, flags: { discard }, override };
    let source: ImageSource;
    if (options === undefined) source = { name: path ?? '', imageOpts, format };
    else if (imageOpts) source = { name: `${path},${options}`, imageOpts };
    else source = { name: describePath(path, format, options), imageOpts: true };
    return openBackend(this.graph, source, open, this.tool);
  }

  /** Closes the image and opens it again with other options; when that fails, as it was. */
  async reopen(request: OpenRequest): Promise<void> {
    const before = this.current;
    checkTreeReopenable(this.backend.node);
    await this.close();
    try {
      this.image = await this.openImage(request);
      this.current = request;
    } catch (error) {
      if (before) await this.open(before);
      throw error;
    }
  }

  async close(): Promise<void> {
    await this.waitForAll();
    const { image } = this;
    this.image = undefined;
    this.current = undefined;
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

  /** Errors: BlockError in the words of the tool. */
  static cacheMode(name: string): CacheMode {
    const mode = parseCacheMode(name);
    if (!mode) throw new BlockError('EINVAL', `Invalid cache option: ${name}`);
    return mode;
  }
}

/** A path and options for the driver, as one option string. */
function describePath(path: string | undefined, format: string | undefined, options: string): string {
  const given = parseQemuOpts(options).pairs.map(({ name }) => name);
  const escaped = (value: string): string => value.replaceAll(',', ',,');
  const parts = [options];
  if (path !== undefined)
    parts.push(`${given.includes('driver') || format ? 'file.' : ''}filename=${escaped(path)}`);
  if (format !== undefined) parts.push(`driver=${escaped(format)}`);
  return parts.join(',');
}
