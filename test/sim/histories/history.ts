/**
 * A history of a disk and its backups, made by chance: guest writes all the time; full and incremental backups; targets
 * that fail, jobs that are cancelled; bitmaps that are disabled, merged and cleared on the side; processes that end
 * in order or are killed. What every backup must hold is what the guest saw at the moment it was started.
 */

import { createImage } from '../../../host/block/create.ts';
import { drivers } from '../../../host/drivers.ts';
import { createGraph } from '../../../host/graph.ts';
import type { Platform } from '../../../host/platform/platform.ts';
import type { Seeded } from '../../support/seeded.ts';
import { diskBytes, diskPath, Machine } from './machine.ts';

/** The world in which the process lives, and in which it can be killed. */
export interface World {
  platform: Platform;
  /** Lets writes to the path fail from the next but `after` on; returns what ends that. */
  failWrites(path: string, after: number): () => void;
  /** From now on the process may be gone at any moment. */
  mayKill(): void;
}

export interface Backup {
  path: string;
  content: Uint8Array;
}

export interface Outcome {
  backups: Backup[];
  incrementals: number;
  failures: number;
  kills: number;
  /** Chains that went on after the process had been killed. */
  survivals: number;
}

const bitmapName = 'changes';
const stepsPerHistory = 10;

export class History {
  readonly outcome: Outcome = { backups: [], incrementals: 0, failures: 0, kills: 0, survivals: 0 };
  private machine!: Machine;
  private readonly pattern = { next: 0 };
  private count = 0;
  private steps = 0;
  /** The newest backup of the chain that the bitmap belongs to. */
  private tip: string | undefined;
  /** A backup runs: if the process is killed, nobody knows how it ended. */
  private isBackingUp = false;
  private hasDisk = false;

  private world!: World;

  constructor(private readonly random: Seeded) {}

  /** The first life of the process, or the next after it was killed. Settles when the history is over. */
  async live(world: World): Promise<void> {
    const isReborn = this.hasDisk;
    this.world = world;
    if (!isReborn) await this.makeDisk();
    const before = this.tip;
    await this.start();
    if (isReborn) {
      this.outcome.kills++;
      if (before !== undefined && this.tip === before) this.outcome.survivals++;
    }
    world.mayKill();
    while (this.steps < stepsPerHistory) {
      this.steps++;
      await this.step();
    }
    await this.machine.shutDown();
  }

  private async makeDisk(): Promise<void> {
    await createImage(createGraph({ platform: this.world.platform, drivers }), {
      filename: diskPath,
      format: 'qcow2',
      size: diskBytes,
      quiet: true,
      values: { cluster_size: this.random.pick([4096, 65536]) },
    });
    this.hasDisk = true;
  }

  private async start(): Promise<void> {
    this.machine = await Machine.start(this.world.platform, this.random, this.pattern);
    for (const name of [bitmapName, 'side']) {
      const state = this.machine.bitmapState(name);
      const isOfNoUse = state === 'inconsistent' || name === 'side' || this.isBackingUp;
      if (state !== 'absent' && isOfNoUse) await this.bitmap('remove', name);
    }
    if (this.machine.bitmapState(bitmapName) === 'absent') this.tip = undefined;
    this.isBackingUp = false;
    this.machine.startGuest();
  }

  private async step(): Promise<void> {
    switch (this.random.below(10)) {
      case 0:
      case 1:
        return this.restart();
      case 2:
        return this.sideBitmap();
      case 3:
        this.tip = undefined;
        return this.backUp();
      default:
        return this.backUp();
    }
  }

  private async restart(): Promise<void> {
    await this.machine.shutDown();
    await this.start();
  }

  private bitmap(verb: string, name = bitmapName, more: object = {}): Promise<void> {
    return this.machine.execute(`block-dirty-bitmap-${verb}`, { node: 'disk', name, ...more });
  }

  /** Another bitmap comes, takes what the first has, and goes: the first must not be touched by it. */
  private async sideBitmap(): Promise<void> {
    const { machine, random } = this;
    const granularity = random.pick([512, 4096, 65536]);
    await this.bitmap('add', 'side', { granularity, persistent: random.oneIn(2), disabled: random.oneIn(2) });
    if (this.tip !== undefined) {
      await machine.execute('block-dirty-bitmap-merge', {
        node: 'disk',
        target: 'side',
        bitmaps: [bitmapName],
      });
    }
    await this.bitmap(random.pick(['enable', 'disable']), 'side');
    await this.bitmap('clear', 'side');
    await this.bitmap('remove', 'side');
  }

  private async backUp(): Promise<void> {
    const { machine, random, outcome } = this;
    const { platform } = this.world;
    const base = this.tip;
    const path = `/backup${this.count++}.qcow2`;
    await createImage(createGraph({ platform, drivers }), {
      filename: path,
      format: 'qcow2',
      size: diskBytes,
      quiet: true,
      ...(base === undefined ? {} : { backingFile: base, backingFormat: 'qcow2' }),
    });
    await machine.execute('blockdev-add', {
      driver: 'qcow2',
      'node-name': 'target',
      file: { driver: 'file', filename: path },
      ...(base === undefined ? {} : { backing: null }),
    });
    const isFailing = random.oneIn(5);
    const isCancelled = !isFailing && random.oneIn(6);
    const restore = isFailing ? this.world.failWrites(path, random.below(6)) : undefined;
    await machine.stopGuest();
    const content = machine.content.slice();
    this.isBackingUp = true;
    await this.startBackup(base);
    machine.startGuest();
    if (isCancelled) {
      await this.wait(random.below(2_000_000));
      await machine.execute('job-cancel', { id: 'job' }).catch(() => {});
    }
    const error = await machine.jobEnded('job');
    restore?.();
    await machine.execute('blockdev-del', { 'node-name': 'target' }).catch((failure: unknown) => {
      // What could not be written to it cannot be written when it is closed either.
      if (!isFailing) throw failure;
    });
    this.isBackingUp = false;
    if (error !== undefined) {
      outcome.failures++;
      // The bitmap of a full backup that failed stands for nothing.
      if (base === undefined && machine.bitmapState(bitmapName) === 'usable') await this.bitmap('remove');
      return;
    }
    if (base !== undefined) outcome.incrementals++;
    outcome.backups.push({ path, content });
    this.tip = path;
  }

  private async startBackup(base: string | undefined): Promise<void> {
    const { machine, random } = this;
    const common = { 'job-id': 'job', device: 'disk', target: 'target', 'auto-dismiss': false };
    const backup = (data: object) => ({ type: 'blockdev-backup', data: { ...common, ...data } });
    if (base !== undefined) {
      const [sync, mode] = random.pick([
        [{ sync: 'incremental' }, undefined],
        [{ sync: 'bitmap' }, 'on-success'],
      ] as const);
      const options = { ...sync, bitmap: bitmapName, ...(mode ? { 'bitmap-mode': mode } : {}) };
      await machine.execute('transaction', { actions: [backup(options)] });
      return;
    }
    const actions: object[] = [];
    if (machine.bitmapState(bitmapName) === 'usable') await this.bitmap('remove');
    const granularity = random.pick([512, 4096, 65536]);
    actions.push({
      type: 'block-dirty-bitmap-add',
      data: { node: 'disk', name: bitmapName, granularity, persistent: true },
    });
    await machine.execute('transaction', { actions: [...actions, backup({ sync: 'full' })] });
  }

  private wait(ns: number): Promise<void> {
    return new Promise((resolve) => void this.world.platform.clock.setTimer(ns, resolve));
  }
}
