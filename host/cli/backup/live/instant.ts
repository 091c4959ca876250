/**
 * One instant of the disks of a running daemon, held for as long as it takes to read it (pull mode).
 *
 * In one transaction each disk gets
 *
 * - a bitmap of a new generation, which has what is written from then on, and beside it one at rest with a bit at the disk's end;
 * - when there is something to go on from, a copy of the bitmap that was started then: what was written until this instant;
 * - a backup job of sync=none: what guests overwrite goes to a scratch image first.
 *
 * Then `snapshot-access` above the job's filter shows the instant, and an NBD export serves it with the copied bitmap. No bitmap that
 * was there is changed: whatever happens, the next backup can go on from where this one would have.
 */
import { randomUUID } from 'node:crypto';
import { asBlockError, BlockError } from '../../../base/errors.ts';
import { withoutUndefined } from '../../../base/without-undefined.ts';
import { optionsOfName } from '../../../protocols/nbd/filename.ts';
import { bitmapName, endGranularity, endName } from '../../../store/bitmap-names.ts';
import type { DiskParent } from '../../../store/parent-disk.ts';
import { bitmapsIn, type LiveDisk, nodesOf } from './disks.ts';
import type { LiveMonitor } from './monitor.ts';
import { partName, partNames } from './names.ts';
import { endBitmap, type Scratch } from './scratch.ts';
import { dropBitmap, takeDown } from './take-down.ts';

/** A disk at the instant. */
export interface InstantDisk {
  readonly disk: LiveDisk;
  /** Undefined: all of it has to be read. */
  readonly parent: DiskParent | undefined;
  /** What has been written from the instant on is in it. Undefined: the disk has none. */
  readonly bitmap: { readonly name: string; readonly generation: string } | undefined;
  /** Options of an NBD node by which it is read. */
  readonly export: Readonly<Record<string, unknown>>;
  /** Of the export: where `parent` is not what the disk was. */
  readonly changes: string;
}

interface InstantSettings {
  readonly disks: readonly LiveDisk[];
  readonly parents: ReadonlyMap<string, DiskParent>;
  /** Id of the repository. */
  readonly repository: string;
  readonly scratch: Scratch;
  /** Of an NBD server that the daemon has already. Undefined: it is to start one. */
  readonly server: string | undefined;
}

interface Action {
  readonly type: string;
  readonly data: object;
}

export class Instant {
  private hasServer = false;
  private beginning: Promise<unknown> = Promise.resolve();
  private isEnding = false;
  private readonly bitmaps: readonly (InstantDisk['bitmap'] | undefined)[];

  constructor(
    private readonly monitor: LiveMonitor,
    private readonly settings: InstantSettings,
  ) {
    this.bitmaps = settings.disks.map(({ isReadOnly, bytes }) => {
      if (isReadOnly || bytes === 0) return undefined;
      const generation = randomUUID();
      return { name: bitmapName(settings.repository, generation), generation };
    });
  }

  /** Its disks can be read then. After an error, as after anything else, `end` has to be called, which may be before this has settled. */
  begin(): Promise<readonly InstantDisk[]> {
    const beginning = this.make();
    this.beginning = beginning.catch(() => {});
    return beginning;
  }

  /** Nothing more is made once it is to end. */
  private async run(command: string, args: object): Promise<void> {
    if (this.isEnding) throw new BlockError('ECANCELED');
    await this.monitor.run(command, args);
  }

  private async make(): Promise<readonly InstantDisk[]> {
    const { disks, scratch } = this.settings;
    for (const i of disks.keys())
      await this.run('blockdev-add', {
        ...{ driver: 'qcow2', 'node-name': partName(i, 'scratch') },
        file: { driver: 'file', filename: scratch.imageOf(i) },
      });
    const actions = disks.flatMap((disk, i) => [...this.bitmapActions(disk, i), backupAction(disk, i)]);
    await this.run('transaction', { actions });
    const parents = await this.checkedParents();
    await this.startServer();
    const found: InstantDisk[] = [];
    for (const [i, disk] of disks.entries()) {
      const parent = parents.get(disk.name);
      found.push({ disk, parent, bitmap: this.bitmaps[i], ...(await this.export(disk, i)) });
    }
    return found;
  }

  /** Errors: the instant is lost: a job that has kept it is over. */
  async checkHeld(): Promise<void> {
    const jobs = (await this.monitor.run('query-jobs')) as unknown as readonly {
      id: string;
      status: string;
    }[];
    for (const [i, { name }] of this.settings.disks.entries()) {
      const status = jobs.find(({ id }) => id === partName(i, 'job'))?.status;
      if (status !== 'running' && status !== 'paused')
        throw new BlockError('EIO', `the instant of '${name}' is lost: its job is ${status ?? 'gone'}`);
    }
  }

  /**
   * Everything is as it was, but for bitmaps: when `isKept`, those of the new generation stay, and else they go. Errors: what could not
   * be taken away.
   */
  async end(isKept: boolean): Promise<void> {
    const { monitor, settings } = this;
    this.isEnding = true;
    await this.beginning;
    const names = partNames(settings.disks.length);
    await takeDown(monitor, (name) => names.includes(name), { stopsServer: this.hasServer });
    this.hasServer = false;
    if (isKept) return;
    for (const node of await nodesOf(monitor))
      for (const { name } of bitmapsIn(node))
        if (this.hasStarted(name)) await dropBitmap(monitor, node['node-name'], name);
  }

  /** Whether a bitmap is of this instant's generation. */
  hasStarted(name: string): boolean {
    return this.bitmaps.some((bitmap) => bitmap && (name === bitmap.name || name === endName(bitmap.name)));
  }

  private bitmapActions({ node, keepsBitmaps, bitmaps, name }: LiveDisk, i: number): Action[] {
    const started = this.bitmaps[i];
    if (!started) return [];
    const end = endName(started.name);
    const since = this.settings.parents.get(name)?.bitmap;
    const granularity = bitmaps.find((bitmap) => bitmap.name === since)?.granularity;
    const fromScratch = { node: partName(i, 'scratch'), name: endBitmap };
    return [
      add({ node, name: started.name, persistent: keepsBitmaps }),
      add({ node, name: end, persistent: keepsBitmaps, disabled: true, granularity: endGranularity }),
      merge({ node, target: end, bitmaps: [fromScratch] }),
      ...(since === undefined
        ? []
        : [
            add({ node, name: partName(i, 'changes'), disabled: true, ...withoutUndefined({ granularity }) }),
            merge({ node, target: partName(i, 'changes'), bitmaps: [since] }),
          ]),
    ];
  }

  /** No disk changes its length any more: those that have been cut since their parent's instant have none. */
  private async checkedParents(): Promise<ReadonlyMap<string, DiskParent>> {
    const { disks, parents } = this.settings;
    const nodes = await nodesOf(this.monitor);
    const isWhole = ({ node, name }: LiveDisk): boolean => {
      const info = nodes.find((one) => one['node-name'] === node);
      const parent = parents.get(name);
      if (!info || !parent) return false;
      const bitmaps = bitmapsIn(info);
      const end = bitmaps.find((bitmap) => bitmap.name === endName(parent.bitmap));
      return end !== undefined && end.count > 0;
    };
    return new Map(disks.filter(isWhole).map(({ name }) => [name, parents.get(name)!])); // it has one
  }

  private async startServer(): Promise<void> {
    const { server, scratch } = this.settings;
    if (server !== undefined) return;
    try {
      await this.run('nbd-server-start', { addr: { type: 'unix', data: { path: scratch.socket } } });
    } catch (error) {
      const { errno, message } = asBlockError(error);
      throw new BlockError(errno, message, { hint: 'One that is running already is to be named: use --nbd' });
    }
    this.hasServer = true;
  }

  private async export(disk: LiveDisk, i: number): Promise<Pick<InstantDisk, 'export' | 'changes'>> {
    const { settings } = this;
    const access = partName(i, 'access');
    await this.run('blockdev-add', {
      ...{ driver: 'snapshot-access', 'node-name': access, 'read-only': true },
      file: partName(i, 'filter'),
    });
    const name = `blockyard-${randomUUID()}`;
    const changes = partName(i, 'changes');
    const bitmaps = settings.parents.has(disk.name) ? [{ node: disk.node, name: changes }] : [];
    await this.run('block-export-add', {
      ...{ type: 'nbd', id: partName(i, 'export'), 'node-name': access, name, bitmaps },
    });
    const server =
      settings.server === undefined ? { path: settings.scratch.socket } : optionsOfName(settings.server);
    return { export: { driver: 'nbd', ...server, export: name }, changes: `qemu:dirty-bitmap:${changes}` };
  }
}

function add(data: object): Action {
  return { type: 'block-dirty-bitmap-add', data };
}

function merge(data: object): Action {
  return { type: 'block-dirty-bitmap-merge', data };
}

function backupAction({ node }: LiveDisk, i: number): Action {
  return {
    type: 'blockdev-backup',
    data: {
      ...{ device: node, target: partName(i, 'scratch'), sync: 'none' },
      ...{ 'job-id': partName(i, 'job'), 'filter-node-name': partName(i, 'filter') },
    },
  };
}
