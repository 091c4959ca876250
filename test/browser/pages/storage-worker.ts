/**
 * The side of the storage tests that runs in a dedicated worker: tasks by name, each with one argument and one result, as
 * messages `{id, task, argument}` and `{id, result}` or `{id, error}`. Disks that tasks open stay open until `close`.
 */
import { BlockError } from '../../../host/base/errors.ts';
import { BlockBackend } from '../../../host/block/backend.ts';
import { createImage } from '../../../host/block/create.ts';
import type { BlockNode } from '../../../host/block/node.ts';
import { Perm } from '../../../host/block/permissions.ts';
import { browserDrivers } from '../../../host/drivers-browser.ts';
import { createGraph } from '../../../host/graph.ts';
import { makeBrowserPlatform } from '../../../host/platform/browser/index.ts';
import type { Codec } from '../../../host/platform/platform.ts';
import { Prng } from '../../../host/platform/sim/prng.ts';
import {
  checkAgainstModel,
  checkBounds,
  checkExtents,
  checkReopening,
  checkZeroes,
  type DiskTraits,
  diskBytes,
  must,
} from '../../conformance/checks.ts';
import { crashDisk, type RoundRange, verifyRounds, writeRounds } from './crash-rounds.ts';

type Options = Record<string, unknown>;

interface Stack extends DiskTraits {
  options: Options;
  /** File to make first, and its format. */
  file?: string;
  format?: string;
}

const platform = makeBrowserPlatform();
const graph = createGraph({ platform, drivers: browserDrivers });
const disks = new Map<string, BlockBackend>();

async function open(options: Options): Promise<BlockBackend> {
  return attach(await graph.open({ discard: 'unmap', ...options }), options['read-only'] === true);
}

async function attach(node: BlockNode, readOnly: boolean): Promise<BlockBackend> {
  try {
    return await BlockBackend.attach(node, {
      name: 'root',
      description: 'the test',
      perm: readOnly ? Perm.consistentRead : Perm.consistentRead | Perm.write | Perm.resize,
      shared: readOnly ? Perm.all & ~Perm.write : Perm.consistentRead,
    });
  } finally {
    await graph.unref(node);
  }
}

function disk(name: string): BlockBackend {
  const found = disks.get(name);
  if (!found) throw new Error(`No disk ${name}`);
  return found;
}

const tasks = {
  async conforms(stack: Stack) {
    const make = async (): Promise<void> => {
      const { file, format } = stack;
      if (file !== undefined && format !== undefined)
        await createImage(graph, { filename: file, format, size: diskBytes, quiet: true });
    };
    const on = async (check: (disk: BlockBackend) => Promise<void>): Promise<void> => {
      await make();
      const opened = await open(stack.options);
      await check(opened);
      await opened.close();
      must(graph.nodes().length === 0, 'nodes are left');
    };
    await on(checkBounds);
    await on((opened) => checkExtents(opened, stack));
    if (stack.writable) return;
    await on((opened) => checkZeroes(opened, stack));
    for (let seed = 1; seed <= 4; seed++) await on((opened) => checkAgainstModel(opened, new Prng(seed)));
    await make();
    if (stack.file !== undefined) await checkReopening(() => open(stack.options));
  },

  async create({ filename, format, size }: { filename: string; format: string; size: number }) {
    await createImage(graph, { filename, format, size, quiet: true });
  },

  async open({ name, options }: { name: string; options: Options }) {
    disks.set(name, await open(options));
  },

  async close(name: string) {
    await disk(name).close();
    disks.delete(name);
  },

  async setReadOnly({ name, readOnly }: { name: string; readOnly: boolean }) {
    await graph.setReadOnly(disk(name).node, readOnly);
  },

  async write({
    name,
    offset,
    bytes,
    value,
  }: {
    name: string;
    offset: number;
    bytes: number;
    value: number;
  }) {
    await disk(name).write(offset, new Uint8Array(bytes).fill(value));
    await disk(name).flush();
  },

  /** The values in a range, each once. */
  async values({ name, offset, bytes }: { name: string; offset: number; bytes: number }) {
    const buffer = new Uint8Array(bytes);
    await disk(name).read(offset, buffer);
    return [...new Set(buffer)];
  },

  async length(name: string) {
    return disk(name).length;
  },

  async resize({ name, size }: { name: string; size: number }) {
    await disk(name).truncate(size, { preallocation: 'off' });
  },

  async registerBlob({ name, blob }: { name: string; blob: Blob }) {
    platform.blobs.register(name, blob);
  },

  async stat(path: string) {
    const { type, size } = await platform.files.stat(path);
    return { type, size };
  },

  async unlink(path: string) {
    await platform.files.unlink(path);
  },

  async openFile({ path, create }: { path: string; create?: 'exclusive' }) {
    const file = await platform.files.open(path, { write: create !== undefined, ...(create && { create }) });
    await file.close();
  },

  async compress({ codec, input }: { codec: 'deflate' | 'zstd'; input: Uint8Array }) {
    return [...((await platform.codecs[codec].compress(input, input.length)) ?? [])];
  },

  async decompress({ codec, input, bytes }: { codec: 'deflate' | 'zstd'; input: number[]; bytes: number }) {
    const output = new Uint8Array(bytes);
    const chosen: Codec = platform.codecs[codec];
    await chosen.decompress(Uint8Array.from(input), output);
    return [...output];
  },

  /** The delays of timers, in milliseconds, in the order of ringing; those that rang early too; one was cancelled. */
  async timers() {
    const { clock } = platform;
    const startNs = clock.nowNs();
    const rung: number[] = [];
    const early: number[] = [];
    const ring = (delayMs: number): Promise<void> =>
      new Promise((resolve) => {
        clock.setTimer(delayMs * 1e6, () => {
          rung.push(delayMs);
          if (clock.nowNs() - startNs < delayMs * 1e6) early.push(delayMs);
          resolve();
        });
      });
    clock.setTimer(5e6, () => rung.push(5)).cancel();
    clock.setTimer(0, () => rung.push(0)).cancel();
    await Promise.all([30, 10].map(ring));
    await ring(0.1);
    return { rung, early };
  },

  crashDisk: () => crashDisk(graph),

  async writeRounds(range: RoundRange) {
    await writeRounds(await open(crashOptions), range, (round) => postMessage({ acknowledged: round }));
  },

  async verifyRounds(range: RoundRange) {
    const checked = await graph.openFile('crash/top.qcow2', {
      format: 'qcow2',
      flags: { check: true, readOnly: true },
    });
    const { corruptions, checkErrors } = await checked.definition.check!(checked.driver, {
      fix: { leaks: false, errors: false },
      report: () => {},
    });
    await graph.unref(checked);
    const opened = await open(crashOptions);
    const verified = await verifyRounds(opened, range);
    await opened.close();
    return { corruptions, checkErrors, ...verified };
  },
};

const crashOptions: Options = { driver: 'qcow2', file: { driver: 'opfs', filename: 'crash/top.qcow2' } };

self.onmessage = ({ data: { id, task, argument } }: MessageEvent) => {
  const act = tasks[task as keyof typeof tasks] as (argument: unknown) => Promise<unknown>;
  act(argument).then(
    (result) => postMessage({ id, result }),
    (error: unknown) => {
      const text = error instanceof BlockError ? `${error.errno} ${error.message}` : String(error);
      const hint = error instanceof BlockError && error.hint !== undefined ? ` | ${error.hint}` : '';
      postMessage({ id, error: text + hint });
    },
  );
};
postMessage({ id: 0 });
