/**
 * The part of the demo that loses the disks: backups of both into a repository while the writer goes on, and a machine that runs from
 * the repository at once, through the driver `store`, with what it writes in overlays.
 */
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { BlockBackend } from '../../block/backend.ts';
import { createImage } from '../../block/create.ts';
import type { BlockGraph } from '../../block/graph.ts';
import { objectTableOf } from '../../block/object-table.ts';
import { Perm } from '../../block/permissions.ts';
import type { Platform } from '../../platform/platform.ts';
import type { QmpClient } from '../../qmp/client.ts';
import { versionInfo } from '../../qmp/version.ts';
import { writeDisk } from '../../store/disk-writer.ts';
import { toHex } from '../../store/ids.ts';
import { chunkBytesOf, putMachine } from '../../store/machine.ts';
import { openStore } from '../../store/open-store.ts';
import { Repository, repositoryPlatform } from '../../store/repository.ts';
import { RepositoryWriter } from '../../store/repository-writer.ts';
import { diskSource } from '../backup/disk-source.ts';

const machine = 'demo';
const username = 'demo';
const secretId = 'repository';
const passwordBytes = 16;

/** What one backup came to. */
interface RepositoryBackup {
  readonly snapshot: string;
  readonly newBytes: number;
}

/** A new repository in `folder`, with a password that nobody else has. */
export class DemoRepository {
  private constructor(
    private readonly folder: string,
    private readonly password: string,
    private readonly repository: Repository,
  ) {}

  static async make(platform: Platform, folder: string): Promise<DemoRepository> {
    const random = new Uint8Array(passwordBytes);
    platform.random.fill(random);
    const password = toHex(random);
    const store = await openStore(folder, platform);
    const owner = { username, hostname: machine };
    const repository = await Repository.init(repositoryPlatform(platform), store, password, owner);
    return new DemoRepository(folder, password, repository);
  }

  /**
   * The disks at one instant, which is that of the transaction: what is overwritten afterwards is kept in `folder` until it has been
   * read.
   */
  async backUp(
    graph: BlockGraph,
    qmp: QmpClient,
    disks: readonly string[],
    folder: string,
  ): Promise<RepositoryBackup> {
    const kept = disks.map((disk) => ({
      disk,
      node: `kept-${disk}`,
      file: join(folder, `${disk}.kept.qcow2`),
    }));
    for (const { disk, node, file } of kept) {
      const size = graph.getNode(disk).length;
      await createImage(graph, { filename: file, format: 'qcow2', size, quiet: true });
      const image = { driver: 'qcow2', 'node-name': node, file: { driver: 'file', filename: file } };
      await qmp.run('blockdev-add', { ...image, backing: disk });
    }
    const actions = kept.map(({ disk, node }) => ({
      type: 'blockdev-backup',
      data: { device: disk, target: node, 'job-id': node, sync: 'none' },
    }));
    await qmp.run('transaction', { actions });
    try {
      return await this.read(graph, kept);
    } finally {
      for (const { node, file } of kept) {
        const isOver = new Promise<void>((resolve) => {
          const endListening = qmp.on('JOB_STATUS_CHANGE', ({ data }) => {
            if (data['id'] !== node || data['status'] !== 'null') return;
            endListening();
            resolve();
          });
        });
        await qmp.run('block-job-cancel', { device: node });
        await isOver;
        await qmp.run('blockdev-del', { 'node-name': node });
        rmSync(file);
      }
    }
  }

  private async read(
    graph: BlockGraph,
    kept: readonly { disk: string; node: string }[],
  ): Promise<RepositoryBackup> {
    const writer = await RepositoryWriter.start(this.repository);
    const stored = [];
    for (const { disk, node } of kept) {
      const image = await BlockBackend.attach(graph.getNode(node), {
        name: 'root',
        description: 'the backup',
        perm: Perm.consistentRead,
        shared: Perm.all,
      });
      try {
        const chunkBytes = chunkBytesOf(image.length);
        const content = await writeDisk(writer, diskSource(image), { chunkBytes });
        stored.push({ name: disk, size: image.length, chunkBytes, format: 'qcow2', content });
      } finally {
        await image.close();
      }
    }
    const program = `blockyard ${versionInfo.package}`;
    const snapshot = await putMachine(this.repository, writer, machine, stored, { username, program });
    return { snapshot, newBytes: writer.statistics.newBytes };
  }

  /** Adds a node `disk` to `graph`'s monitor: an overlay at `filename` on the disk as the last backup has it. */
  async run(graph: BlockGraph, qmp: QmpClient, disk: string, filename: string): Promise<void> {
    objectTableOf(graph).set(secretId, { secret: new TextEncoder().encode(this.password) });
    await qmp.run('blockdev-add', {
      ...{ driver: 'store', 'node-name': `stored-${disk}`, 'read-only': true },
      ...{ repository: this.folder, disk: `${machine}/${disk}`, 'password-secret': secretId },
    });
    const size = graph.getNode(`stored-${disk}`).length;
    await createImage(graph, { filename, format: 'qcow2', size, quiet: true });
    await qmp.run('blockdev-add', {
      ...{ driver: 'qcow2', 'node-name': disk, backing: `stored-${disk}` },
      file: { driver: 'file', filename },
    });
  }
}
