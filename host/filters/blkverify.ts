/**
 * The `blkverify` filter: does everything with two children, `test` and `raw`, and ends the program when they differ
 * (specification: graph, section 3).
 *
 * `test` is what is tested, `raw` what it should be like. A mismatch of data or of success is told on standard error,
 * and the exit status is 1. Reads give what `test` gave. What a filter could pass to one child only is not passed:
 * zeros are written as data, discards do nothing. A flush is for `test`.
 */
import { firstDifference } from '../base/difference.ts';
import { BlockError, errnoNumbers, invalid } from '../base/errors.ts';
import type { Driver, DriverDefinition, WriteFlags } from '../block/driver.ts';
import type { Edge } from '../block/edge.ts';
import type { BlockNode } from '../block/node.ts';
import type { OpenContext } from '../block/open-context.ts';
import { defaultChildPermissions, Perm, type Permissions } from '../block/permissions.ts';
import type { Console } from '../platform/platform.ts';
import { struct, type TypeOf } from '../qapi/types.ts';

const optionsType = struct('BlockdevOptionsBlkverify', {});

type Options = TypeOf<typeof optionsType>;

class Blkverify implements Driver {
  constructor(
    private readonly test: Edge,
    private readonly raw: Edge,
    private readonly console: Console,
  ) {}

  getLength(): Promise<number> {
    return this.test.getByteLength();
  }

  async read(offset: number, buffer: Uint8Array): Promise<void> {
    const expected = new Uint8Array(buffer.length);
    const request = `read offset=${offset} bytes=${buffer.length}`;
    await this.both(request, this.test.read(offset, buffer), this.raw.read(offset, expected));
    const at = firstDifference(buffer, expected);
    if (at >= 0) this.console.fatal(`blkverify: ${request} contents mismatch at offset ${offset + at}`);
  }

  async write(offset: number, buffer: Uint8Array, flags: WriteFlags): Promise<void> {
    const request = `write offset=${offset} bytes=${buffer.length}`;
    await this.both(request, this.test.write(offset, buffer, flags), this.raw.write(offset, buffer, flags));
  }

  /** Waits for both, which have to end alike. Errors: what both failed with. */
  private async both(request: string, test: Promise<void>, raw: Promise<void>): Promise<void> {
    const [tested, expected] = await Promise.all([failureOf(test), failureOf(raw)]);
    const [got, wanted] = [statusOf(tested), statusOf(expected)];
    if (got !== wanted) {
      this.console.fatal(`blkverify: ${request} return value mismatch ${got} != ${wanted}`);
    }
    if (tested) throw tested;
  }

  async writeZeroes(): Promise<void> {
    throw new BlockError('ENOTSUP');
  }

  async discard(): Promise<void> {}

  flushChildren(): Promise<void> {
    return this.test.flush();
  }

  /** Unknown: protocols do not say what is below them. */
  async getAllocatedBytes(): Promise<undefined> {
    return undefined;
  }

  /** `test` may be of any format, which stores data as it likes. */
  childPermissions(child: Edge, cumulative: Permissions): Permissions {
    const node = child.parent as BlockNode;
    if (child === this.raw) return defaultChildPermissions(node, child, cumulative);
    let { perm } = cumulative;
    if (perm & Perm.writeUnchanged) perm |= Perm.write;
    if (perm & Perm.write) perm |= Perm.resize;
    if (node.readOnly) perm &= Perm.consistentRead;
    return { perm, shared: cumulative.shared & ~Perm.resize };
  }

  async close(): Promise<void> {}
}

async function failureOf(request: Promise<void>): Promise<BlockError | undefined> {
  try {
    await request;
    return undefined;
  } catch (error) {
    if (error instanceof BlockError) return error;
    throw error;
  }
}

function statusOf(failure: BlockError | undefined): number {
  return failure ? -errnoNumbers[failure.errno] : 0;
}

export const blkverify: DriverDefinition<Options> = {
  name: 'blkverify',
  kind: 'filter',
  options: optionsType,
  children: [{ name: 'test' }, { name: 'raw' }],
  filenamePrefix: 'blkverify',
  parseFilename(filename) {
    const match = /^blkverify:([^:]*):(.*)$/s.exec(filename);
    if (!match) throw invalid('blkverify requires raw copy and original image path');
    const [, raw, test] = match;
    // What is tested is in whichever format it is found to be.
    return { raw: { filename: raw }, test: { file: { filename: test } } } as Options;
  },
  exactFilename(_, childName) {
    const [raw, test] = [childName('raw'), childName('test')];
    return raw === undefined || test === undefined ? undefined : `blkverify:${raw}:${test}`;
  },
  async open(context: OpenContext): Promise<Driver> {
    const raw = await context.openChild('raw', 'filtered');
    const test = await context.openChild('test', 'image');
    return new Blkverify(test, raw, context.platform.console);
  },
};
