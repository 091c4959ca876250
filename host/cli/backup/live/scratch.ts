/**
 * Images that what guests overwrite during a backup is kept in: one for each disk, in a folder that only we and the daemon, which runs as
 * the same user or as root, can look into.
 *
 * Each has a bitmap, `end`, with one bit, that of the disk's last byte: no command sets bits of a bitmap, but bits can be had from another.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { BlockError } from '../../../base/errors.ts';
import { sectorBytes } from '../../../base/sectors.ts';
import { bitmapsOf } from '../../../bitmaps/node-bitmaps.ts';
import { createImage } from '../../../block/create.ts';
import type { BlockGraph } from '../../../block/graph.ts';
import { fromSystemError } from '../../../platform/node/errors.ts';
import { endGranularity } from '../../../store/bitmap-names.ts';
import { openBackend } from '../../shared/open-image.ts';
import type { Tool } from '../../shared/tool.ts';
import type { LiveDisk } from './disks.ts';

export const scratchFolderStart = 'blockyard-backup-';
export const endBitmap = 'end';
const socketName = 'nbd.sock';

export function isScratchFile(name: string): boolean {
  return /^\d+\.qcow2$/.test(name) || name === socketName;
}

export class Scratch {
  private constructor(private readonly folder: string) {}

  /** Of mode 0700. `parent`: the folder for temporary files, by default. Errors: BlockError, and nothing is left. */
  static async make(
    tool: Tool,
    graph: BlockGraph,
    disks: readonly LiveDisk[],
    parent = tmpdir(),
  ): Promise<Scratch> {
    let folder: string;
    try {
      folder = mkdtempSync(join(resolve(parent), scratchFolderStart));
    } catch (error) {
      throw fromSystemError(error).within(`Could not make a folder in '${parent}'`);
    }
    const scratch = new Scratch(folder);
    try {
      for (const [i, { bytes }] of disks.entries()) await makeImage(tool, graph, scratch.imageOf(i), bytes);
    } catch (error) {
      scratch.remove();
      throw error;
    }
    return scratch;
  }

  /** Of a disk, by its number. */
  imageOf(disk: number): string {
    return join(this.folder, `${disk}.qcow2`);
  }

  get socket(): string {
    return join(this.folder, socketName);
  }

  remove(): void {
    rmSync(this.folder, { recursive: true, force: true });
  }
}

async function makeImage(tool: Tool, graph: BlockGraph, filename: string, size: number): Promise<void> {
  try {
    await createImage(graph, { filename, format: 'qcow2', size, quiet: true });
    if (size === 0) return;
    const image = await openBackend(graph, { name: filename, format: 'qcow2' }, { write: true }, tool);
    try {
      bitmapsOf(image.node).add(endBitmap, { granularity: endGranularity, persistent: true });
      await image.write(size - sectorBytes, new Uint8Array(sectorBytes));
    } finally {
      await image.close();
    }
  } catch (error) {
    throw error instanceof BlockError ? error.within(filename) : error;
  }
}
