/**
 * Disks in a graph that changes all the time: guests write while snapshots are taken and jobs copy, commit, stream and
 * pivot, are cancelled, and run into failing storage. What every guest sees is what it wrote; what a copy holds is what
 * its disk held at the copy's instant.
 */
import { BlockError } from '../../../host/base/errors.ts';
import { BlockBackend } from '../../../host/block/backend.ts';
import { createImage } from '../../../host/block/create.ts';
import { filenameOf } from '../../../host/block/filename.ts';
import type { BlockNode } from '../../../host/block/node.ts';
import { Perm } from '../../../host/block/permissions.ts';
import { drivers } from '../../../host/drivers.ts';
import type { Job } from '../../../host/jobs/job.ts';
import type { Simulation } from '../../../host/platform/sim/index.ts';
import { commands } from '../../../host/qmp/commands/index.ts';
import { QmpServer } from '../../../host/qmp/server.ts';
import { lastingViolations } from '../../qmp/fuzz/invariants.ts';
import type { Seeded } from '../../support/seeded.ts';
import { GuestDisk, sectorBytes } from './guest-disk.ts';

const diskSectors = 1024;
const guestPauseNs = 20_000;
/** What guests ask for in a hurry after each step. */
const busyRequests = 400;

interface Attached {
  disk: GuestDisk;
  backend: BlockBackend;
  loops: Promise<void>[];
}

/** An image that must hold this for ever. */
export interface Copy {
  path: string;
  content: Uint8Array;
  kind: 'backup' | 'mirror';
}

/** What is known across the lives of the process. */
export interface State {
  disks: GuestDisk[];
  /** Where each disk's top image is. */
  tops: string[];
  copies: Copy[];
  files: number;
  done: Record<string, number>;
  /** While a job may pivot, a killed process leaves one or the other. */
  pivots: { disk: number; path: string }[];
}

export class GraphWorld {
  private readonly server: QmpServer;
  private readonly attached: Attached[] = [];
  /** How many need the guests to be quiet; one more until they are started. */
  private quiet = 1;
  /** Since the step began. */
  private requests = 0;
  private readonly active = new Set<Promise<void>>();
  private jobs = 0;

  constructor(
    private readonly simulation: Simulation,
    private readonly random: Seeded,
    private readonly state: State,
  ) {
    this.server = new QmpServer({ platform: simulation.platform, drivers, commands });
  }

  private async execute(name: string, args: object): Promise<void> {
    await this.server.runLocally(name, () => args);
  }

  private has(command: string): boolean {
    return this.server.commands.find(command) !== undefined;
  }

  private async image(size: number, backing?: string): Promise<string> {
    const filename = `/image${this.state.files++}.qcow2`;
    await createImage(this.server.graph, {
      filename,
      format: 'qcow2',
      size,
      quiet: true,
      values: { cluster_size: this.random.pick([4096, 65536]) },
      ...(backing === undefined ? {} : { backingFile: backing, backingFormat: 'qcow2' }),
    });
    return filename;
  }

  /** Makes the disks on the first life, and opens them on every one. */
  async open(afterKill: boolean): Promise<void> {
    const { state, random } = this;
    if (state.disks.length === 0) {
      const numbers = { next: 0 };
      for (let i = 0; i < 2; i++) {
        state.disks.push(new GuestDisk(`disk ${i}`, diskSectors, random, numbers));
        const base = await this.image(diskSectors * sectorBytes);
        state.tops.push(random.oneIn(2) ? base : await this.image(diskSectors * sectorBytes, base));
      }
    }
    for (const [i, disk] of state.disks.entries()) await this.attach(i, disk, afterKill);
    state.pivots = [];
  }

  private async attach(index: number, disk: GuestDisk, afterKill: boolean): Promise<void> {
    const { state } = this;
    const candidates = [
      state.tops[index]!,
      ...state.pivots.filter((p) => p.disk === index).map((p) => p.path),
    ];
    const complaints: string[] = [];
    for (const path of candidates) {
      await this.execute('blockdev-add', {
        driver: 'qcow2',
        'node-name': `top${index}`,
        discard: 'unmap',
        file: { driver: 'file', filename: path },
      });
      const backend = await BlockBackend.attach(this.server.graph.getNode(`top${index}`), {
        name: 'root',
        description: `guest ${index}`,
        perm: Perm.consistentRead | Perm.write,
        shared: Perm.consistentRead | Perm.writeUnchanged,
      });
      const content = new Uint8Array(diskSectors * sectorBytes);
      const wrong = await disk.verify(async (buffer) => {
        await backend.read(0, buffer);
        content.set(buffer);
      }, afterKill);
      if (wrong === undefined) {
        disk.settle(content);
        state.tops[index] = path;
        this.attached.push({ disk, backend, loops: [] });
        return;
      }
      complaints.push(`${path}: ${wrong}`);
      await backend.close();
      await this.execute('blockdev-del', { 'node-name': `top${index}` });
    }
    throw new Error(complaints.join('; '));
  }

  /** Guests write when nobody needs them to be quiet any more. */
  startGuests(): void {
    if (--this.quiet > 0) return;
    for (const { disk, backend, loops } of this.attached) {
      for (let i = 0; i < 2; i++) loops.push(this.runGuest(disk, backend));
    }
  }

  private async runGuest(disk: GuestDisk, backend: BlockBackend): Promise<void> {
    while (this.quiet === 0) {
      await disk.request(backend);
      // Nobody catches up with guests that never rest, and waiting for that shows nothing new.
      const isCalm = ++this.requests > busyRequests;
      await this.wait(this.random.below(guestPauseNs) * (isCalm ? 50 : 1));
    }
  }

  private async stopGuests(): Promise<void> {
    this.quiet++;
    for (const attached of this.attached) {
      await Promise.all(attached.loops);
      attached.loops = [];
    }
  }

  wait(ns: number): Promise<void> {
    return new Promise((resolve) => void this.simulation.platform.clock.setTimer(ns, resolve));
  }

  /** One thing that a management program may do. What the graph refuses is fine. */
  async step(): Promise<void> {
    const { random } = this;
    this.requests = 0;
    const index = random.below(this.attached.length);
    const attached = this.attached[index]!;
    const what = random.pick([
      'snapshot',
      'internal',
      'backup',
      'backup',
      'mirror',
      'mirror',
      'commit',
      'active',
      'stream',
      'fault',
      'pause',
      'rest',
    ] as const);
    try {
      switch (what) {
        case 'snapshot':
          await this.snapshot(attached);
          break;
        case 'internal':
          await this.execute('blockdev-snapshot-internal-sync', {
            device: this.top(attached).name,
            name: `s${this.state.files++}`,
          });
          break;
        case 'backup':
          await this.backup(attached);
          break;
        case 'mirror':
          await this.mirror(index, attached);
          break;
        case 'commit':
          await this.commit(index, attached, false);
          break;
        case 'active':
          await this.commit(index, attached, true);
          break;
        case 'stream':
          await this.stream(attached);
          break;
        case 'fault':
          await this.fault();
          break;
        case 'pause':
          await this.pause();
          break;
        case 'rest':
          await this.rest();
          break;
      }
      this.state.done[what] = (this.state.done[what] ?? 0) + 1;
    } catch (error) {
      if (!(error instanceof BlockError)) throw error;
      this.state.done[`${what} refused`] = (this.state.done[`${what} refused`] ?? 0) + 1;
    }
    await this.wait(random.below(300_000));
    await this.checkGraph();
  }

  private top({ backend }: Attached): BlockNode {
    return backend.node;
  }

  private chain(attached: Attached): BlockNode[] {
    const chain: BlockNode[] = [];
    for (
      let node: BlockNode | undefined = this.top(attached).skipFilters();
      node;
      node = node.backing()?.skipFilters()
    ) {
      chain.push(node);
    }
    return chain;
  }

  private async snapshot(attached: Attached): Promise<void> {
    const number = this.state.files++;
    await this.execute('blockdev-snapshot-sync', {
      'node-name': this.top(attached).name,
      'snapshot-file': `/image${number}.qcow2`,
      'snapshot-node-name': `overlay${number}`,
    });
    this.noteTops();
  }

  /** Where the disks are now, for whoever opens them after a kill. */
  private noteTops(): void {
    for (const [i, attached] of this.attached.entries()) {
      this.state.tops[i] = filenameOf(this.top(attached).skipFilters());
    }
  }

  private track(work: Promise<void>): void {
    const tracked = work.finally(() => this.active.delete(tracked));
    // What goes wrong in it is thrown when everything is waited for.
    tracked.catch(() => {});
    this.active.add(tracked);
  }

  private async newTarget(): Promise<{ path: string; node: string }> {
    const path = await this.image(diskSectors * sectorBytes);
    const node = `target${this.state.files++}`;
    await this.execute('blockdev-add', {
      driver: 'qcow2',
      'node-name': node,
      file: { driver: 'file', filename: path },
    });
    return { path, node };
  }

  private async backup(attached: Attached): Promise<void> {
    const { path, node } = await this.newTarget();
    const id = `job${this.jobs++}`;
    await this.stopGuests();
    const exact = attached.disk.failureCount === 0;
    const content = attached.disk.expected();
    try {
      await this.execute('blockdev-backup', {
        'job-id': id,
        device: this.top(attached).name,
        target: node,
        sync: 'full',
        'auto-dismiss': false,
        speed: this.random.pick([0, 0, 16 << 20]),
      });
    } catch (error) {
      await this.execute('blockdev-del', { 'node-name': node });
      throw error;
    } finally {
      this.startGuests();
    }
    const job = this.server.jobs.get(id);
    this.track(
      this.finish(job, node, async () => {
        if (exact) this.state.copies.push({ path, content, kind: 'backup' });
      }),
    );
    if (this.random.oneIn(4)) this.track(this.cancelLater(job));
  }

  private async cancelLater(job: Job): Promise<void> {
    await this.wait(this.random.below(3_000_000));
    try {
      if (job.status !== 'null') await job.cancel(true);
    } catch (error) {
      if (!(error instanceof BlockError)) throw error;
    }
  }

  /** Waits for the end of the job, whatever it is, dismisses it and lets go of its target. */
  private async finish(job: Job, target: string | undefined, onSuccess: () => Promise<void>): Promise<void> {
    while (job.status !== 'concluded') await this.wait(100_000);
    const { error } = job;
    job.dismiss();
    this.noteTops();
    if (error === undefined) await onSuccess();
    if (target !== undefined)
      await this.execute('blockdev-del', { 'node-name': target }).catch(ignoreRefusal);
  }

  private async mirror(index: number, attached: Attached): Promise<void> {
    if (!this.has('blockdev-mirror')) return;
    const { path, node } = await this.newTarget();
    const id = `job${this.jobs++}`;
    try {
      await this.execute('blockdev-mirror', {
        'job-id': id,
        device: this.top(attached).name,
        target: node,
        sync: 'full',
        'auto-dismiss': false,
        'copy-mode': this.random.pick(['background', 'write-blocking']),
      });
    } catch (error) {
      await this.execute('blockdev-del', { 'node-name': node });
      throw error;
    }
    this.track(this.endMirror(index, attached, this.server.jobs.get(id), path, node));
  }

  private async endMirror(
    index: number,
    attached: Attached,
    job: Job,
    path: string,
    node: string,
  ): Promise<void> {
    const choice = this.random.below(4);
    if (choice === 0) {
      this.track(this.cancelLater(job));
      return this.finish(job, node, async () => {});
    }
    while (!job.isReady && job.status !== 'concluded') await this.wait(100_000);
    if (job.status === 'concluded') return this.finish(job, node, async () => {});
    await this.wait(this.random.below(2_000_000));
    if (choice === 1) {
      // A soft cancel leaves a copy of the moment; with the guests at rest it is known which.
      await this.stopGuests();
      const exact = attached.disk.failureCount === 0;
      const content = attached.disk.expected();
      try {
        await job.cancel(false);
        await this.finish(job, undefined, async () => {
          if (exact) this.state.copies.push({ path, content, kind: 'mirror' });
        });
      } catch (error) {
        ignoreRefusal(error);
      } finally {
        this.startGuests();
      }
      await this.execute('blockdev-del', { 'node-name': node }).catch(ignoreRefusal);
      return;
    }
    this.state.pivots.push({ disk: index, path });
    try {
      await job.complete();
    } catch (error) {
      ignoreRefusal(error);
    }
    await this.finish(job, node, async () => {});
  }

  private async commit(index: number, attached: Attached, isActive: boolean): Promise<void> {
    if (!this.has('block-commit')) return;
    const chain = this.chain(attached);
    if (chain.length < (isActive ? 2 : 3)) return;
    const topAt = isActive ? 0 : 1 + this.random.below(chain.length - 2);
    const base = chain[topAt + 1 + this.random.below(chain.length - topAt - 1)]!;
    const id = `job${this.jobs++}`;
    await this.execute('block-commit', {
      'job-id': id,
      device: this.top(attached).name,
      ...(isActive ? {} : { 'top-node': chain[topAt]!.name }),
      'base-node': base.name,
      'auto-dismiss': false,
    });
    const job = this.server.jobs.get(id);
    if (isActive) this.state.pivots.push({ disk: index, path: filenameOf(base) });
    this.track(this.endCommit(job, isActive));
  }

  private async endCommit(job: Job, isActive: boolean): Promise<void> {
    if (this.random.oneIn(4)) this.track(this.cancelLater(job));
    if (isActive) {
      while (!job.isReady && job.status !== 'concluded') await this.wait(100_000);
      await this.wait(this.random.below(2_000_000));
      try {
        if (job.isReady) await job.complete();
      } catch (error) {
        ignoreRefusal(error);
      }
    }
    await this.finish(job, undefined, async () => {});
  }

  private async stream(attached: Attached): Promise<void> {
    if (!this.has('block-stream')) return;
    const chain = this.chain(attached);
    const top = this.random.below(chain.length);
    const base = this.random.oneIn(2) ? chain[top + 1 + this.random.below(chain.length)] : undefined;
    const id = `job${this.jobs++}`;
    await this.execute('block-stream', {
      'job-id': id,
      device: top === 0 ? this.top(attached).name : chain[top]!.name,
      ...(base ? { 'base-node': base.name } : {}),
      'auto-dismiss': false,
    });
    const job = this.server.jobs.get(id);
    if (this.random.oneIn(4)) this.track(this.cancelLater(job));
    this.track(this.finish(job, undefined, async () => {}));
  }

  /** Some storage fails for a while. */
  private async fault(): Promise<void> {
    const { random, simulation } = this;
    const path = `/image${random.below(this.state.files)}.qcow2`;
    const restore = simulation.fail({
      errno: random.pick(['EIO', 'ENOSPC']),
      type: random.pick(['read', 'write', 'flush']),
      path,
      after: random.below(10),
      times: 1 + random.below(4),
    });
    await this.wait(random.below(2_000_000));
    restore();
  }

  private async pause(): Promise<void> {
    const job = this.server.jobs.list()[0];
    if (!job) return;
    job.pause();
    await this.wait(this.random.below(1_000_000));
    if (job.status !== 'null') job.resume();
  }

  /** Everything comes to its end, and every disk is looked at in full. */
  async rest(): Promise<void> {
    while (this.active.size > 0) await Promise.all([...this.active]);
    await this.stopGuests();
    for (const { disk, backend } of this.attached) {
      const content = new Uint8Array(diskSectors * sectorBytes);
      const wrong = await disk.verify(async (buffer) => {
        await backend.read(0, buffer);
        content.set(buffer);
      }, false);
      if (wrong !== undefined) throw new Error(wrong);
      disk.settle(content);
    }
    this.startGuests();
  }

  private async checkGraph(): Promise<void> {
    const found = await lastingViolations(this.server, (ns) => this.wait(ns));
    if (found.length > 0) throw new Error(found.join('; '));
  }

  async close(): Promise<void> {
    await this.rest();
    await this.stopGuests();
    this.noteTops();
    await this.server.stop();
    for (const { backend } of this.attached) await backend.close();
    await this.server.close();
    const { openFiles } = this.simulation;
    if (openFiles.length > 0) throw new Error(`left open: ${openFiles.join(', ')}`);
  }
}

function ignoreRefusal(error: unknown): void {
  if (!(error instanceof BlockError)) throw error;
}
