/**
 * Moves data from the source of a mirror to its target: dirty stretches in the background, and with
 * copy-mode=write-blocking guests' writes while they are made (specification: jobs, section 8).
 *
 * Every piece is claimed first, so that no two requests for the same bytes are ever on their way to the target, and
 * cleaned before its source is looked at. What fails becomes dirty again; the error policy says what else happens. A
 * guest's write waits for no copy of the background: where one is under way it goes to the source alone, and the background
 * comes again.
 */
import { assert } from '../../base/assert.ts';
import { asBlockError, type BlockError } from '../../base/errors.ts';
import { roundDown } from '../../base/sectors.ts';
import type { WorkProgress } from '../../base/work-progress.ts';
import type { BlockBackend } from '../../block/backend.ts';
import type { Edge } from '../../block/edge.ts';
import type { ErrorAction } from '../../block/error-policy.ts';
import { type BlockStatus, statusAbove } from '../../block/status.ts';
import { BufferPool } from '../../copy/buffer-pool.ts';
import type { Claim } from '../../copy/claims.ts';
import type { CopyPacer } from '../../copy/copy-pacer.ts';
import type { RateLimiter } from '../../copy/rate-limiter.ts';
import type { AskStatus } from '../../copy/status-runs.ts';
import type { Traffic } from '../../copy/traffic.ts';
import type { Area } from '../../core/bitmap.ts';
import { copyPiece } from '../../trace/events.ts';
import { measure } from '../../trace/measure.ts';
import type { DirtyMap } from './dirty-map.ts';
import type { WriteCopier } from './mirror-top.ts';

/** Most requests in flight. */
const maxRequests = 16;
/** A request for data is at most the buffer size divided by the number of requests, or this if it is more. */
const minRequestLimitBytes = 1 << 20;

interface MirrorCopierOptions {
  map: DirtyMap;
  source: Edge;
  target: BlockBackend;
  traffic: Traffic;
  limiter: RateLimiter;
  pacer: CopyPacer;
  /** Most data in flight, and the longest stretch that is gone through without a stop. */
  bufferBytes: number;
  /** Zeros may take no space. */
  unmap: boolean;
  /** Zeros cost nothing of the speed limit. */
  zeroesAreCheap: boolean;
  progress: WorkProgress;
  /** Says what is done about an error, and tells the client. */
  onError(operation: 'read' | 'write', error: BlockError): ErrorAction;
}

type Content = 'data' | 'zero' | 'unspecified';

export class MirrorCopier implements WriteCopier {
  /** The first error that ends the job. */
  failure: BlockError | undefined;
  /** Something has failed that is to be tried again, but not at once. */
  hasToRest = false;
  private readonly pool = new BufferPool();
  private readonly requestBytes: number;
  /** How often it has gone through the disk, with the one that it is at. */
  rounds = 1;
  private cursor = 0;
  /** End of the stretch that the speed limit was asked about. */
  private admittedEnd = 0;

  constructor(private readonly options: MirrorCopierOptions) {
    const { bufferBytes, map } = options;
    const limit = Math.max(Math.floor(bufferBytes / maxRequests), minRequestLimitBytes);
    const { unitBytes } = map.units;
    this.requestBytes = Math.max(unitBytes, roundDown(limit, unitBytes));
  }

  /** In the middle of a stretch that is gone through without a stop: what was asked for at its start holds. */
  get isWithinRun(): boolean {
    const { map } = this.options;
    return !this.failure && map.isDirty(this.cursor, this.admittedEnd);
  }

  /**
   * Starts one request for something dirty, or waits for whatever is in the way; there must be something dirty.
   * Never rejects: see `failure`.
   */
  async step(): Promise<void> {
    const { map, traffic, limiter, pacer } = this.options;
    const inFlightBytes = pacer.inFlightBytes(this.options.bufferBytes);
    if (traffic.requests >= maxRequests || traffic.bytes >= inFlightBytes) return traffic.whenChanged();
    // A guest that has come makes what is left of the run shorter, too.
    this.admittedEnd = Math.min(this.admittedEnd, this.cursor + inFlightBytes);
    const goesOn = this.isWithinRun;
    const run = this.nextRun(goesOn ? this.admittedEnd - this.cursor : inFlightBytes);
    if (!goesOn) {
      const delayNs = limiter.delay(0);
      if (delayNs > 0) return traffic.sleep(delayNs);
      this.admittedEnd = run.offset + run.bytes;
    }
    const free = map.freeBytes(run.offset, run.bytes);
    const bytes = map.units.whole(run.offset, Math.min(free, run.bytes));
    if (bytes === 0) {
      void map.whenFree(run.offset, map.units.unitBytes).then(() => traffic.wake());
      return traffic.whenChanged();
    }
    const claim = map.claims.begin(run.offset, bytes);
    map.clean(run.offset, bytes);
    const content = await this.look(claim);
    if (content === 'data') {
      while (traffic.requests > 0 && traffic.bytes + claim.bytes > inFlightBytes) await traffic.whenChanged();
    }
    this.cursor = claim.offset + claim.bytes;
    limiter.delay(content === 'data' || !this.options.zeroesAreCheap ? claim.bytes : 0);
    void this.copy(claim, content);
  }

  /** The next dirty stretch behind the last request, or else from the start. */
  private nextRun(maxBytes: number): Area {
    const { map } = this.options;
    let found = map.next(this.cursor, maxBytes);
    if (!found) {
      this.rounds++;
      this.cursor = this.admittedEnd = 0;
      found = map.next(0, maxBytes);
    }
    assert(found, 'a mirror without anything to copy');
    return map.units.widen(found);
  }

  /** What kind of content the start of the claim has; the claim is shortened to that. */
  private async look(claim: Claim): Promise<Content> {
    const { map, source, pacer } = this.options;
    const { unitBytes } = map.units;
    const pieceBytes = Math.min(claim.bytes, pacer.pieceBytes(this.requestBytes, unitBytes));
    const ask: AskStatus<BlockStatus> = (at, rest) => statusAbove(source.node, undefined, at, rest);
    let found: { kind: Content | undefined; bytes: number };
    try {
      found = await map.units.firstOfAKind({ offset: claim.offset, bytes: pieceBytes }, ask, kindOf);
      // What is not read may be longer.
      if (found.bytes === pieceBytes && found.kind !== 'data')
        found = await map.units.firstOfAKind(claim, ask, kindOf);
    } catch {
      // Reading says what is wrong.
      found = { kind: 'data', bytes: Math.min(unitBytes, claim.bytes) };
    }
    map.shorten(claim, found.bytes);
    return found.kind ?? 'data';
  }

  private async copy(claim: Claim, content: Content): Promise<void> {
    const { map, traffic, progress } = this.options;
    const { offset, bytes } = claim;
    const heldBytes = content === 'data' ? bytes : 0;
    traffic.begin(heldBytes);
    try {
      const told = { node: this.options.target.node.name, offset, bytes, content };
      await measure(copyPiece, told, () => this.move(claim, content));
      progress.advance(bytes);
    } catch {
      map.set(offset, bytes);
    } finally {
      map.claims.end(claim);
      traffic.end(heldBytes);
    }
  }

  private move({ offset, bytes }: Claim, content: Content): Promise<void> {
    const { target, unmap } = this.options;
    if (content === 'data') return this.copyData(offset, bytes);
    return this.attempt('write', () =>
      content === 'zero'
        ? target.writeZeroes(offset, bytes, { mayUnmap: unmap })
        : target.discard(offset, bytes),
    );
  }

  private async copyData(offset: number, bytes: number): Promise<void> {
    const { source, target } = this.options;
    const buffer = this.pool.take(bytes);
    const data = buffer.subarray(0, bytes);
    try {
      await this.attempt('read', () => source.read(offset, data));
      await this.attempt('write', () => target.write(offset, data));
    } finally {
      this.pool.give(buffer);
    }
  }

  /** Rejects as `act`, after the error policy was applied. */
  private async attempt(operation: 'read' | 'write', act: () => Promise<void>): Promise<void> {
    try {
      await act();
    } catch (error) {
      const failure = asBlockError(error);
      const action = this.options.onError(operation, failure);
      if (action === 'report') this.failure ??= failure;
      else if (action === 'ignore') this.hasToRest = true;
      throw failure;
    }
  }

  // Guests' writes, when they bring their data along.

  copyWrite(offset: number, buffer: Uint8Array, toSource: () => Promise<void>): Promise<void> {
    const { target } = this.options;
    return this.copyAlong(offset, buffer.length, toSource, () => target.write(offset, buffer));
  }

  copyZeroes(offset: number, bytes: number, mayUnmap: boolean, toSource: () => Promise<void>): Promise<void> {
    const { target } = this.options;
    return this.copyAlong(offset, bytes, toSource, () => target.writeZeroes(offset, bytes, { mayUnmap }));
  }

  /** Rejects when the source does; the target's errors are the job's affair. */
  private async copyAlong(
    offset: number,
    bytes: number,
    toSource: () => Promise<void>,
    toTarget: () => Promise<void>,
  ): Promise<void> {
    const { map, progress, traffic } = this.options;
    const { unitBytes } = map.units;
    // The rest of a unit may be in the source only: the background brings it along.
    if (unitBytes > map.granularity && map.units.widen({ offset, bytes }).bytes !== bytes) return toSource();
    // As long as the background is at work there, the target is not in step anyway: it comes again.
    if (map.claims.freeBytes(offset, bytes) < bytes) return this.leaveToBackground(toSource);
    while (map.writeClaims.freeBytes(offset, bytes) < bytes) await map.writeClaims.whenFree(offset, bytes);
    if (map.claims.freeBytes(offset, bytes) < bytes) return this.leaveToBackground(toSource);
    const claim = map.writeClaims.begin(offset, bytes);
    map.clean(offset, bytes);
    const unexpect = map.expect(offset, bytes);
    try {
      await toSource();
      await this.attempt('write', toTarget).catch(() => map.set(offset, bytes));
      progress.advance(bytes);
      progress.expectMore(bytes);
    } catch (error) {
      map.set(offset, bytes);
      throw error;
    } finally {
      unexpect();
      map.writeClaims.end(claim);
      traffic.wake();
    }
  }

  private async leaveToBackground(toSource: () => Promise<void>): Promise<void> {
    const { map, traffic } = this.options;
    map.unmarkedWrites++;
    try {
      await toSource();
    } finally {
      map.unmarkedWrites--;
      traffic.wake();
    }
  }
}

function kindOf({ data, zero }: BlockStatus): Content {
  if (zero) return 'zero';
  return data ? 'data' : 'unspecified';
}
