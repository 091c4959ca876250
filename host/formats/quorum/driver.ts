/**
 * The `quorum` driver: one disk on several children, which vote on what is on it (specification: graph, section 5).
 *
 * Writes and flushes go to all children and succeed when at least `vote-threshold` of them do. A read asks all of them
 * too, and gives the version that most agree on if those are as many as the threshold; children that say something else
 * are told of, and with `rewrite-corrupted` written over. With read-pattern `fifo` the first child that can be read
 * decides. In `blkverify` mode there are two children, and a difference ends the program.
 *
 * Children can be added and removed while it is open. It is no filter: none of its children is what it shows. It cannot
 * be resized, and discards nothing.
 */
import { firstDifference } from '../../base/difference.ts';
import { asBlockError, BlockError, invalid } from '../../base/errors.ts';
import { sectorBytes, wholeSectors } from '../../base/sectors.ts';
import { withoutUndefined } from '../../base/without-undefined.ts';
import { allocatedBytes } from '../../block/allocated-bytes.ts';
import type {
  Driver,
  DriverDefinition,
  Extent,
  Limits,
  VariableChildren,
  WriteFlags,
  ZeroFlags,
} from '../../block/driver.ts';
import type { Edge } from '../../block/edge.ts';
import type { BlockNode } from '../../block/node.ts';
import type { OpenContext } from '../../block/open-context.ts';
import { Perm, type Permissions } from '../../block/permissions.ts';
import { statusAbove } from '../../block/status.ts';
import { bool, enumeration, int, optional, struct, type TypeOf, worded } from '../../qapi/types.ts';
import { commonError, countVotes, isSameData, winnerOf } from './votes.ts';

const readPatterns = ['quorum', 'fifo'] as const;

const optionsType = struct('BlockdevOptionsQuorum', {
  blkverify: optional(bool),
  'vote-threshold': worded(int, { missing: "Parameter 'vote-threshold' expects a value >= 1" }),
  'rewrite-corrupted': optional(bool),
  'read-pattern': optional(
    worded(enumeration('QuorumReadPattern', readPatterns), {
      refused: () => 'Please set read-pattern as fifo or quorum',
    }),
  ),
});

type Options = TypeOf<typeof optionsType>;

interface Range {
  offset: number;
  bytes: number;
}

/** What one child answered to a read. */
interface Answer {
  child: Edge;
  data: Uint8Array;
}

class Quorum implements Driver, VariableChildren {
  readonly variableChildren: VariableChildren = this;
  private readonly threshold: number;
  /** Without votes there is nothing to verify or to correct. */
  private readonly votes: boolean;
  private nextIndex: number;
  private length: number | undefined;

  constructor(
    private readonly node: BlockNode,
    private readonly context: OpenContext,
    private readonly options: Options,
  ) {
    this.threshold = options['vote-threshold'];
    this.votes = options['read-pattern'] !== 'fifo';
    this.nextIndex = node.children.size;
  }

  get limits(): Partial<Limits> {
    const wanted = this.children.map((child) => child.node.driver.limits?.requestAlignment ?? 1);
    return { requestAlignment: Math.max(1, ...wanted) };
  }

  private get children(): Edge[] {
    return [...this.node.children.values()];
  }

  /** Children must agree when it is opened. Later, while they do not, it stays as long as it was. */
  async getLength(): Promise<number> {
    // In whole sectors, as the children read: the files may end within one.
    const lengths = await Promise.all(
      this.children.map(async (child) => wholeSectors(await child.getByteLength())),
    );
    const [first] = lengths;
    if (lengths.every((length) => length === first)) this.length = first;
    else if (this.length === undefined) throw new BlockError('EIO');
    return this.length!; // there is a child at least, and so a first length
  }

  // Reading.

  read(offset: number, buffer: Uint8Array): Promise<void> {
    return this.votes ? this.readByVote(offset, buffer) : this.readFirst(offset, buffer);
  }

  private async readFirst(offset: number, buffer: Uint8Array): Promise<void> {
    let failure: BlockError | undefined;
    for (const child of this.children) {
      failure = await this.attempt('read', child, { offset, bytes: buffer.length }, () =>
        child.read(offset, buffer),
      );
      if (!failure) return;
    }
    throw failure!; // there is at least one child
  }

  private async readByVote(offset: number, buffer: Uint8Array): Promise<void> {
    const range = { offset, bytes: buffer.length };
    const answers: Answer[] = this.children.map((child) => ({ child, data: new Uint8Array(buffer.length) }));
    const failures = await Promise.all(
      answers.map(({ child, data }) => this.attempt('read', child, range, () => child.read(offset, data))),
    );
    this.checkEnough(failures, range);
    const given = answers.filter((_, index) => !failures[index]);
    const versions = countVotes(given, isSameData);
    if (this.options.blkverify && versions.length > 1) this.endForMismatch(range, given);
    const winner = winnerOf(versions);
    if (versions.length > 1) {
      if (winner.votes.length < this.threshold) {
        this.reportFailure(range);
        throw new BlockError('EIO');
      }
      await this.denounce(
        range,
        given.filter((answer) => !winner.votes.includes(answer)),
        winner.answer.data,
      );
    }
    buffer.set(winner.answer.data);
  }

  private endForMismatch({ offset, bytes }: Range, [a, b]: readonly Answer[]): never {
    const at = firstDifference(a!.data, b!.data); // there are two versions
    return this.context.platform.console.fatal(
      `quorum: offset=${offset} bytes=${bytes} contents mismatch at offset ${offset + at}`,
    );
  }

  /** Tells of children that were outvoted, and corrects them. */
  private async denounce(range: Range, losers: readonly Answer[], right: Uint8Array): Promise<void> {
    for (const { child } of losers) this.report('read', child, range);
    if (!this.options['rewrite-corrupted']) return;
    // An attempt: what cannot be corrected is outvoted again next time.
    await Promise.allSettled(losers.map(({ child }) => child.write(range.offset, right)));
  }

  // Writing.

  write(offset: number, buffer: Uint8Array, flags: WriteFlags): Promise<void> {
    return this.changeAll({ offset, bytes: buffer.length }, (child) => child.write(offset, buffer, flags));
  }

  /** With `noFallback` it is enough that one child needs no data: all have to stay alike. */
  async writeZeroes(offset: number, bytes: number, flags: ZeroFlags): Promise<void> {
    const range = { offset, bytes };
    let unable = 0;
    await this.changeAll(range, async (child) => {
      try {
        await child.writeZeroes(offset, bytes, flags);
      } catch (error) {
        if (!flags.noFallback || asBlockError(error).errno !== 'ENOTSUP') throw error;
        unable++;
      }
    });
    if (unable === this.children.length) throw new BlockError('ENOTSUP');
    if (unable > 0)
      await this.changeAll(range, (child) =>
        child.writeZeroes(offset, bytes, { ...flags, noFallback: false }),
      );
  }

  private async changeAll(range: Range, act: (child: Edge) => Promise<void>): Promise<void> {
    const failures = await Promise.all(
      this.children.map((child) => this.attempt('write', child, range, () => act(child))),
    );
    this.checkEnough(failures, range);
  }

  async flushChildren(): Promise<void> {
    const failures = await Promise.all(
      this.children.map((child) =>
        this.attempt('flush', child, { offset: 0, bytes: 0 }, () => child.flush()),
      ),
    );
    this.checkEnough(failures);
  }

  // Failures.

  private async attempt(
    type: 'read' | 'write' | 'flush',
    child: Edge,
    range: Range,
    act: () => Promise<void>,
  ): Promise<BlockError | undefined> {
    try {
      await act();
      return undefined;
    } catch (error) {
      if (!(error instanceof BlockError)) throw error;
      this.report(type, child, range, error);
      return error;
    }
  }

  /** Throws what most failed with when fewer than the threshold succeeded. */
  private checkEnough(outcomes: readonly (BlockError | undefined)[], range?: Range): void {
    const failures = outcomes.filter((failure) => failure !== undefined);
    if (outcomes.length - failures.length >= this.threshold) return;
    if (range) this.reportFailure(range);
    throw commonError(failures);
  }

  private report(type: string, child: Edge, range: Range, failure?: BlockError): void {
    this.node.graph.emit({
      name: 'QUORUM_REPORT_BAD',
      data: {
        type,
        ...withoutUndefined({ error: failure?.message }),
        'node-name': child.node.name,
        ...sectorsOf(range),
      },
    });
  }

  private reportFailure(range: Range): void {
    const { graph } = this.node;
    graph.emit({
      name: 'QUORUM_FAILURE',
      data: { reference: graph.deviceOrNodeName(this.node), ...sectorsOf(range) },
    });
  }

  // What is known without reading.

  /** Zero where all children are; how far data goes on, the child with most of it says. */
  async map(offset: number, bytes: number, options?: { wantZero: boolean }): Promise<Extent> {
    let zero = bytes;
    let data = 0;
    for (const child of this.children) {
      const status = await statusAbove(child.node, undefined, offset, bytes, options?.wantZero);
      if (status.zero) zero = Math.min(zero, status.bytes);
      else data = Math.max(data, status.bytes);
    }
    return data > 0 ? { type: 'own', bytes: data, zero: false } : { type: 'zero', bytes: zero };
  }

  async getAllocatedBytes(): Promise<number | undefined> {
    let total = 0;
    for (const child of this.children) {
      const bytes = await allocatedBytes(child.node);
      if (bytes === undefined) return undefined;
      total += bytes;
    }
    return total;
  }

  // Children.

  childPermissions(_child: Edge, { perm, shared }: Permissions): Permissions {
    const reading = Perm.consistentRead | Perm.writeUnchanged;
    // Wrong versions are written over while others only read.
    if (this.votes && this.options['rewrite-corrupted'] && this.node.parents.size > 0) perm |= Perm.write;
    return { perm, shared: (shared & reading) | Perm.writeUnchanged };
  }

  nextName(): string {
    if (this.votes && this.options.blkverify)
      throw invalid('Cannot add a child to a quorum in blkverify mode');
    return `children.${this.nextIndex}`;
  }

  added(): void {
    this.nextIndex++;
  }

  checkRemoval(): void {
    if (this.node.children.size > this.threshold) return;
    throw invalid(`The number of children cannot be lower than the vote threshold ${this.threshold}`);
  }

  removed(name: string): void {
    if (name === `children.${this.nextIndex - 1}`) this.nextIndex--;
  }

  async close(): Promise<void> {}
}

function sectorsOf({ offset, bytes }: Range): { 'sector-num': number; 'sectors-count': number } {
  const first = Math.floor(offset / sectorBytes);
  return { 'sector-num': first, 'sectors-count': Math.ceil((offset + bytes) / sectorBytes) - first };
}

function checkOptions(options: Options, children: number): void {
  const threshold = options['vote-threshold'] as number | undefined;
  if (children < 1) throw invalid('Number of provided children must be 1 or more');
  if (threshold === undefined || threshold < 1)
    throw invalid("Parameter 'vote-threshold' expects a value >= 1");
  if (threshold > children) throw invalid('threshold may not exceed children count');
  const pattern = options['read-pattern'];
  if (pattern !== undefined && !readPatterns.includes(pattern))
    throw invalid('Please set read-pattern as fifo or quorum');
  if (!options.blkverify || pattern === 'fifo') return;
  if (children !== 2 || threshold !== 2) {
    throw invalid('blkverify=on can only be set if there are exactly two files and vote-threshold is 2');
  }
  if (options['rewrite-corrupted']) throw invalid('rewrite-corrupted=on cannot be used with blkverify=on');
}

export const quorum: DriverDefinition<Options> = {
  name: 'quorum',
  kind: 'format',
  options: optionsType,
  children: [{ name: 'children', list: true }],
  strongOptions: ['vote-threshold', 'blkverify', 'rewrite-corrupted', 'read-pattern'],
  async open(context: OpenContext, options: Options): Promise<Driver> {
    const names = context.childNames('children');
    checkOptions(options, names.length);
    let node: BlockNode | undefined;
    for (const name of names) node = (await context.openChild(name, 'image')).parent as BlockNode;
    return new Quorum(node!, context, options); // there is at least one child
  },
};
