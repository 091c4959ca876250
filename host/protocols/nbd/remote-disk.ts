/**
 * An open NBD export, as a driver: requests of the block layer as requests of the protocol, within the limits that the server
 * has told (specification: nbd, section 5).
 *
 * A disk may end within a sector; what the block layer sees behind that reads as zeros, and what it writes there is the
 * server's to refuse. The length stays what it was.
 */
import { asBlockError, BlockError } from '../../base/errors.ts';
import { roundDown, roundUp, sectorBytes } from '../../base/sectors.ts';
import type {
  Driver,
  Extent,
  Limits,
  ReopenChange,
  ReopenStep,
  TruncateOptions,
  WriteFlags,
  ZeroFlags,
} from '../../block/driver.ts';
import type { OpenContext, OpenFlags } from '../../block/open-context.ts';
import { hasFlag, type UsedExport } from '../../nbd/client/remote-export.ts';
import { ClientRequest } from '../../nbd/client/request.ts';
import { AllocationFlag, Command, CommandFlag, maxPayloadBytes } from '../../nbd/constants.ts';
import { secureServer } from '../../platform/tls.ts';
import { nbdConnect, nbdLost } from '../../trace/events.ts';
import { NbdClient, type NbdConnector } from './client.ts';
import type { NbdOptions } from './options.ts';
import { NbdSession } from './session.ts';
import { type NbdSettings, settingsOf } from './settings.ts';
import { UnflushedChanges } from './unflushed.ts';
import { wayTo } from './way.ts';

/** What there is to know of the node that it is for. Its flags change while it is open. */
interface DiskContext extends Pick<OpenContext, 'platform' | 'nodeName' | 'reportTrouble' | 'credentials'> {
  readonly flags: Readonly<Pick<OpenFlags, 'readOnly' | 'autoReadOnly'>>;
  fallBackToReadOnly(): void;
}

/** The longest request without data, where lengths have 32 bits. */
const maxCompactBytes = 2 ** 31 - 1;

/** Errors: what is wrong with the options; why the export cannot be used. */
export async function openDisk(context: DiskContext, given: NbdOptions): Promise<RemoteDisk> {
  const { platform, nodeName: node } = context;
  const settings = settingsOf(given);
  const unflushed = settings.reconnectDelay > 0 ? new UnflushedChanges() : undefined;
  const { name, context: status, tls } = settings;
  const secure = tls && secureServer(context.credentials(tls.credentials, 'client'), tls.hostname);
  const way = wayTo(platform, settings.address, secure);
  const purpose = { type: 'use', name, context: status, usesTls: way.secure !== undefined } as const;
  const connector: NbdConnector = {
    async connect(signal) {
      return new NbdSession(await way.connect(signal), purpose, way.secure);
    },
    check: (target) => checkExport(target, settings, context),
    connected({ size, replies }) {
      if (nbdConnect.enabled) nbdConnect.emit({ node, size, replies });
    },
    lost({ message }) {
      if (nbdLost.enabled) nbdLost.emit({ node, message });
    },
    waiting: (error) => context.reportTrouble(error && { reason: 'unreachable', message: error.message }),
    ...(unflushed && { restoration: () => unflushed.restoration() }),
  };
  const client = new NbdClient(connector, settings, platform.clock);
  await client.open();
  return new RemoteDisk(client, context.flags, hasFlag(client.target, 'sendFlush') ? unflushed : undefined);
}

/** Errors: the export cannot be opened as the node is to be open. */
function checkExport(target: UsedExport, { needsContext }: NbdSettings, context: DiskContext): void {
  if (needsContext && target.context === undefined)
    throw new BlockError('EINVAL').within('Could not open image');
  const { flags } = context;
  if (!hasFlag(target, 'readOnly') || flags.readOnly) return;
  if (!flags.autoReadOnly) throw new BlockError('EACCES').within('Could not open image');
  context.fallBackToReadOnly();
}

class RemoteDisk implements Driver {
  readonly limits: Partial<Limits>;
  readonly supportsFua: boolean;
  /** Bytes. */
  private readonly size: number;
  /** What the server wants requests to be a multiple of. */
  private readonly minimum: number;
  private readonly maxStatusBytes: number;

  constructor(
    private readonly client: NbdClient,
    private readonly flags: DiskContext['flags'],
    /** Absent: what a server forgets is forgotten. */
    private readonly unflushed: UnflushedChanges | undefined,
  ) {
    const { target } = client;
    const { size, blockSizes, replies } = target;
    this.size = size;
    this.supportsFua = hasFlag(target, 'sendFua');
    const bytewise = size % sectorBytes !== 0 || target.context !== undefined;
    this.minimum = blockSizes?.minimum ?? (bytewise ? 1 : sectorBytes);
    const maxTransfer = Math.min(maxPayloadBytes, blockSizes?.maximum ?? maxPayloadBytes);
    const isExtended = replies === 'extended';
    const longest = roundDown(maxCompactBytes, this.minimum);
    this.maxStatusBytes = isExtended ? Number.MAX_SAFE_INTEGER : longest;
    this.limits = {
      requestAlignment: this.minimum,
      maxTransfer,
      maxWriteZeroes: isExtended ? 0 : maxTransfer,
      discardAlignment: this.minimum,
      maxDiscard: isExtended ? 0 : longest,
    };
  }

  async getLength(): Promise<number> {
    return this.size;
  }

  read(offset: number, buffer: Uint8Array): Promise<void> {
    const inside = this.size - offset;
    if (inside < buffer.length) {
      buffer.fill(0, Math.max(0, inside));
      if (inside <= 0) return Promise.resolve();
      buffer = buffer.subarray(0, inside);
    }
    return this.request(Command.read, 0, offset, buffer.length, buffer);
  }

  write(offset: number, buffer: Uint8Array, { fua }: WriteFlags): Promise<void> {
    return this.change(Command.write, fua ? CommandFlag.fua : 0, offset, buffer.length, buffer);
  }

  async writeZeroes(offset: number, bytes: number, flags: ZeroFlags): Promise<void> {
    const { target } = this.client;
    if (!hasFlag(target, 'sendWriteZeroes')) throw new BlockError('ENOTSUP');
    if (flags.noFallback && !hasFlag(target, 'sendFastZero')) throw new BlockError('ENOTSUP');
    let sent = flags.fua ? CommandFlag.fua : 0;
    if (!flags.mayUnmap) sent |= CommandFlag.noHole;
    if (flags.noFallback) sent |= CommandFlag.fastZero;
    await this.change(Command.writeZeroes, sent, offset, bytes, undefined);
  }

  /** Zeros, as the server can. */
  async clear(offset: number, bytes: number): Promise<void> {
    const canZero = hasFlag(this.client.target, 'sendWriteZeroes');
    await (canZero ? this.writeZeroes(offset, bytes, {}) : this.write(offset, new Uint8Array(bytes), {}));
  }

  async discard(offset: number, bytes: number): Promise<void> {
    if (!hasFlag(this.client.target, 'sendTrim')) return;
    // What is not whole blocks would be refused, and need not be discarded.
    const first = roundUp(offset, this.minimum);
    const end = offset + bytes >= this.size ? this.size : roundDown(offset + bytes, this.minimum);
    if (first < end) await this.change(Command.trim, 0, first, end - first, undefined);
  }

  async flush(): Promise<void> {
    if (!hasFlag(this.client.target, 'sendFlush')) return;
    const mark = this.unflushed?.mark();
    await this.request(Command.flush, 0, 0, 0, undefined);
    if (mark !== undefined) this.unflushed?.forget(mark);
  }

  async map(offset: number, bytes: number): Promise<Extent> {
    const inside = this.size - offset;
    if (inside <= 0) return { type: 'own', bytes, zero: true };
    const asked = Math.min(bytes, inside, this.maxStatusBytes);
    if (this.client.target.context === undefined) return { type: 'own', bytes: asked, zero: false };
    const status = await this.status(offset, asked);
    if (status.bytes < this.minimum)
      return { type: 'own', bytes: Math.min(asked, this.minimum), zero: false };
    const known = Math.min(asked, status.bytes >= asked ? asked : roundDown(status.bytes, this.minimum));
    return {
      type: 'own',
      bytes: known,
      zero: (status.flags & AllocationFlag.zero) !== 0,
      hole: (status.flags & AllocationFlag.hole) !== 0,
    };
  }

  async truncate(length: number, { exact }: TruncateOptions): Promise<void> {
    if (exact && length !== this.size) throw new BlockError('ENOTSUP', 'Cannot resize NBD nodes');
    if (length > this.size) throw new BlockError('EINVAL', 'Cannot grow NBD nodes');
  }

  cancelWaiting(): void {
    this.client.cancelWaiting();
  }

  async getAllocatedBytes(): Promise<undefined> {
    return undefined;
  }

  async reopen({ flags }: ReopenChange): Promise<ReopenStep> {
    if (!flags.readOnly && hasFlag(this.client.target, 'readOnly'))
      throw new BlockError('EACCES', "Can't reopen read-only mount as read/write");
    return {};
  }

  /** Whoever has written expects no less of a disk that is elsewhere than of a file when the program ends well. */
  async close(): Promise<void> {
    if (!this.flags.readOnly && this.client.isConnected) {
      try {
        await this.flush();
      } catch (error) {
        // Nobody is left to be told.
        asBlockError(error);
      }
    }
    this.client.close();
  }

  private change(
    command: number,
    flags: number,
    offset: number,
    bytes: number,
    data: Uint8Array | undefined,
  ): Promise<void> {
    const { unflushed } = this;
    const done = this.request(command, flags, offset, bytes, data);
    if (!unflushed) return done;
    return done.then(() => {
      unflushed.note({ command, flags, offset, length: bytes, data });
      return unflushed.isFull ? this.flush() : undefined;
    });
  }

  private request(
    command: number,
    flags: number,
    offset: number,
    bytes: number,
    data: Uint8Array | undefined,
  ): Promise<void> {
    return new Promise((resolve, reject) => {
      const settle = ({ error }: ClientRequest): void => (error ? reject(error) : resolve());
      this.client.submit(new ClientRequest(command, flags, offset, bytes, data, settle));
    });
  }

  /** What the server says of the first of `bytes`. */
  private status(offset: number, bytes: number): Promise<{ bytes: number; flags: number }> {
    return new Promise((resolve, reject) => {
      // A reply without an error has it.
      const settle = ({ error, status }: ClientRequest): void => (error ? reject(error) : resolve(status!));
      const { blockStatus } = Command;
      const { reqOne } = CommandFlag;
      this.client.submit(new ClientRequest(blockStatus, reqOne, offset, bytes, undefined, settle));
    });
  }
}
