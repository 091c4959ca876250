/**
 * The `blkdebug` filter: makes requests to its `image` fail, or wait, at chosen points (specification: graph,
 * section 4).
 *
 * Formats above tell it what they are doing (block/debug-events.ts). Its rules then say which of the requests that
 * follow fail, and with what (rules.ts); breakpoints hold the request that came to an event. Its options can
 * also narrow the limits of the image, and change the permissions that it takes and shares.
 *
 * A read that starts or ends between two units of `align`, like every request past a limit, is put together or taken
 * apart by the dispatcher; write-zeroes and discard are taken apart here, where they would cross a preferred unit.
 */
import { asBlockError, BlockError, invalid } from '../../base/errors.ts';
import { roundDown, roundUp, sectorBytes } from '../../base/sectors.ts';
import type { DebugEvent } from '../../block/debug-events.ts';
import type { Driver, DriverDefinition, Limits, WriteFlags, ZeroFlags } from '../../block/driver.ts';
import type { Edge } from '../../block/edge.ts';
import type { BlockNode } from '../../block/node.ts';
import type { OpenContext } from '../../block/open-context.ts';
import { defaultChildPermissions, Perm, type Permissions } from '../../block/permissions.ts';
import type { Platform } from '../../platform/platform.ts';
import { DebugBreakpoints } from './breakpoints.ts';
import {
  type BlkdebugOptions,
  blkdebugOptions,
  checkLimits,
  type DebugLimits,
  makeRules,
} from './options.ts';
import { type IoType, RuleMachine } from './rules.ts';

/** Longest configuration file: an image can name any file as one. */
const maxConfigBytes = 1 << 20;
const zeroBufferBytes = 64 << 10;

class Blkdebug implements Driver {
  readonly limits: Partial<Limits>;
  readonly breakpoints: DebugBreakpoints;

  constructor(
    private readonly image: Edge,
    private readonly context: OpenContext,
    private readonly rules: RuleMachine,
    private readonly debugLimits: DebugLimits,
    private readonly permissions: Permissions,
  ) {
    const { align, maxTransfer } = debugLimits;
    const requestAlignment = align || childAlignment(image);
    this.limits = { requestAlignment, maxTransfer };
    this.breakpoints = new DebugBreakpoints(context.platform.console);
  }

  /** A write that the image makes durable itself is no flush that a rule could fail. */
  get supportsFua(): 'data' | false {
    return this.image.node.driver.supportsFua ? 'data' : false;
  }

  getLength(): Promise<number> {
    return this.image.getByteLength();
  }

  debugEvent(event: DebugEvent): Promise<void> | undefined {
    this.rules.handle(event);
    return this.breakpoints.hit(event);
  }

  async read(offset: number, buffer: Uint8Array): Promise<void> {
    await this.check('read', offset, buffer.length);
    await this.image.read(offset, buffer);
  }

  async write(offset: number, buffer: Uint8Array, flags: WriteFlags): Promise<void> {
    await this.check('write', offset, buffer.length);
    await this.image.write(offset, buffer, flags);
  }

  async writeZeroes(offset: number, bytes: number, flags: ZeroFlags): Promise<void> {
    const { optWriteZero, maxWriteZero } = this.debugLimits;
    const unit = Math.max(this.limits.requestAlignment!, optWriteZero); // the constructor has set it
    for (const piece of pieces(offset, bytes, unit, maxWriteZero)) {
      if (piece.isWhole) {
        await this.check('write-zeroes', piece.offset, piece.bytes);
        await this.image.writeZeroes(piece.offset, piece.bytes, flags);
      } else if (flags.noFallback) {
        throw new BlockError('ENOTSUP');
      } else {
        await this.writeZeroBuffers(piece.offset, piece.bytes, flags);
      }
    }
  }

  private async writeZeroBuffers(offset: number, bytes: number, flags: WriteFlags): Promise<void> {
    const limit = this.limits.maxTransfer || bytes;
    const pieceBytes = Math.min(zeroBufferBytes, limit);
    for (let done = 0; done < bytes; done += pieceBytes) {
      await this.write(offset + done, new Uint8Array(Math.min(pieceBytes, bytes - done)), flags);
    }
  }

  /** What is not aligned to requests keeps its data: discard is a hint. */
  async discard(offset: number, bytes: number): Promise<void> {
    const { optDiscard, maxDiscard } = this.debugLimits;
    const alignment = this.limits.requestAlignment!; // the constructor has set it
    const start = roundUp(offset, alignment);
    const end = roundDown(offset + bytes, alignment);
    const unit = Math.max(sectorBytes, alignment, optDiscard);
    for (const piece of pieces(start, Math.max(0, end - start), unit, maxDiscard)) {
      await this.check('discard', piece.offset, piece.bytes);
      await this.image.discard(piece.offset, piece.bytes);
    }
  }

  async flush(): Promise<void> {
    if (!this.context.flags.noFlush) await this.check('flush', 0, 0);
  }

  /** Unknown: protocols do not say what is below them. */
  async getAllocatedBytes(): Promise<undefined> {
    return undefined;
  }

  checkStatus(offset: number, bytes: number): Promise<void> {
    return this.check('block-status', offset, bytes);
  }

  private async check(ioType: IoType, offset: number, bytes: number): Promise<void> {
    const rule = this.rules.match(ioType, offset, bytes);
    if (!rule) return;
    if (!rule.immediately) await this.context.platform.clock.yield();
    throw new BlockError(rule.errno);
  }

  childPermissions(child: Edge, cumulative: Permissions): Permissions {
    const { perm, shared } = defaultChildPermissions(child.parent as BlockNode, child, cumulative);
    return { perm: perm | this.permissions.perm, shared: shared & ~this.permissions.shared };
  }

  async reopen(): Promise<object> {
    return {};
  }

  async close(): Promise<void> {
    this.breakpoints.close();
  }
}

function childAlignment(image: Edge): number {
  return image.node.driver.limits?.requestAlignment ?? 1;
}

interface Piece {
  offset: number;
  bytes: number;
  /** Starts and ends at a unit. */
  isWhole: boolean;
}

/** Head and tail outside of whole units, and what is between in pieces of at most `max` bytes (0: any). */
function* pieces(offset: number, bytes: number, unit: number, max: number): Generator<Piece> {
  const end = offset + bytes;
  const first = Math.min(end, roundUp(offset, unit));
  const last = Math.max(first, roundDown(end, unit));
  if (offset < first) yield { offset, bytes: first - offset, isWhole: false };
  for (let at = first; at < last; ) {
    const part = Math.min(last - at, max || last - at);
    yield { offset: at, bytes: part, isWhole: true };
    at += part;
  }
  if (last < end) yield { offset: last, bytes: end - last, isWhole: false };
}

async function readConfig(platform: Platform, path: string): Promise<string> {
  try {
    const file = await platform.files.open(path, { write: false });
    try {
      const size = await file.getSize();
      if (size > maxConfigBytes) throw invalid(`it is longer than ${maxConfigBytes} bytes`);
      const bytes = new Uint8Array(size);
      await file.read(0, bytes);
      return new TextDecoder().decode(bytes);
    } finally {
      await file.close();
    }
  } catch (error) {
    throw asBlockError(error).within('Could not read blkdebug config file');
  }
}

type PermissionName = NonNullable<BlkdebugOptions['take-child-perms']>[number];

const permissionBits: Record<PermissionName, number> = {
  'consistent-read': Perm.consistentRead,
  write: Perm.write,
  'write-unchanged': Perm.writeUnchanged,
  resize: Perm.resize,
};

function maskOf(names: readonly PermissionName[] = []): number {
  return names.reduce((mask, name) => mask | permissionBits[name], 0);
}

export const blkdebug: DriverDefinition<BlkdebugOptions> = {
  name: 'blkdebug',
  kind: 'filter',
  options: blkdebugOptions,
  children: [{ name: 'image' }],
  strongOptions: [
    'config',
    'inject-error',
    'set-state',
    'align',
    'max-transfer',
    'opt-write-zero',
    'max-write-zero',
    'opt-discard',
    'max-discard',
  ],
  filenamePrefix: 'blkdebug',
  parseFilename(filename) {
    const match = /^blkdebug:([^:]*):(.*)$/s.exec(filename);
    if (!match) throw invalid('blkdebug requires both config file and image path');
    const [, config, image] = match;
    return { ...(config === '' ? {} : { config }), image: { filename: image } };
  },
  exactFilename({ config = '', ...others }, childName) {
    const image = childName('image');
    const isNameEnough = Object.keys(others).length === 0;
    return image !== undefined && isNameEnough ? `blkdebug:${config}:${image}` : undefined;
  },
  async open(context: OpenContext, options: BlkdebugOptions): Promise<Driver> {
    const config =
      options.config === undefined ? undefined : await readConfig(context.platform, options.config);
    const rules = new RuleMachine(makeRules(options, config));
    const image = await context.openChild('image', 'filtered');
    const limits = checkLimits(options, childAlignment(image));
    const permissions = {
      perm: maskOf(options['take-child-perms']),
      shared: maskOf(options['unshare-child-perms']),
    };
    return new Blkdebug(image, context, rules, limits, permissions);
  },
};
