/**
 * A story of three machines: a daemon with a disk, guests elsewhere that have it over NBD, and a store that takes copies. Jobs run on
 * the daemon or where the guests are; anything may be slow, fail, be cut off or be killed.
 *
 * A copy that is finished is of the instant at which it began, or ended for a mirror; the disk is what the guests were answered; what is
 * flushed is still there when everybody has lost power; and everything comes to an end.
 */
import { createImage } from '../../../host/block/create.ts';
import type { Job } from '../../../host/jobs/job.ts';
import type { SimStorage } from '../../../host/platform/sim/index.ts';
import { attach, readWrite } from '../../support/attach.ts';
import type { Seeded } from '../../support/seeded.ts';
import { kib } from '../../support/units.ts';
import { allocatedSectors, contentOf, dirtySectors, diskBytes } from './content.ts';
import { Guests, type Numbers } from './guest.ts';
import type { End, Machine, World } from './machines.ts';
import { type Instant, RemoteModel, sectorBytes } from './model.ts';
import type { Plan } from './plan.ts';

/** What is saved at least of what a guest overwrites. */
const savedSectors = (4 * kib) / sectorBytes;
/** What takes more time than this hangs. */
const longestNs = 300e9;
const maxDownNs = 1_500_000_000;
const pollNs = 20_000_000;

/** What a job copies, and what it must come to. */
interface Work {
  readonly job: Job;
  readonly machine: Machine;
  readonly instant: Instant;
  /** How often the disk had forgotten something when the job began. */
  readonly forgotten: number;
  /** Sectors that are to be there, for a backup of part of the disk. */
  counts(sector: number): boolean;
}

export class Story {
  private daemon!: Machine;
  private store: Machine | undefined;
  /** Seconds for which a job waits for the store. */
  private storeDelay = 0;
  private groups = 0;
  /** How often the disk has become what it was before, for whoever reads it over NBD. */
  private timesForgotten = 0;
  /** For the message when it does not come to an end. */
  private doing = 'The start';
  private guests!: Guests;
  private readonly model = new RemoteModel(Math.ceil(diskBytes / sectorBytes));
  private readonly numbers: Numbers = { next: 0, requests: 0, reads: 0, failures: 0 };
  private readonly random: Seeded;

  constructor(
    private readonly world: World,
    private readonly plan: Plan,
    private readonly count: (what: string, by?: number) => void,
  ) {
    this.random = world.random;
  }

  async tell(): Promise<void> {
    const { random, world } = this;
    world.simulation.platform.clock.setTimer(longestNs, () => {
      throw new Error(`${this.doing} does not come to an end`);
    });
    await this.startDaemon(await this.world.prepare((machine) => this.createDisks(machine)));
    this.guests = await this.startGuests();
    for (let rounds = 1 + random.below(2); rounds > 0; rounds--) await this.round();
    await this.end();
    const { requests, reads, failures } = this.numbers;
    this.count('requests', requests);
    this.count('reads of a view', reads);
    this.count('failed requests', failures);
  }

  // Machines.

  private async startDaemon(storage: SimStorage): Promise<void> {
    const { plan } = this;
    const daemon = this.world.start(storage);
    this.daemon = daemon;
    const format = plan.disk === 'raw' ? 'raw' : 'qcow2';
    await daemon.execute('blockdev-add', {
      driver: format,
      'node-name': 'disk',
      discard: 'unmap',
      file: { driver: 'file', filename: '/disk' },
    });
    await daemon.listen('/daemon');
    await daemon.execute('block-export-add', {
      type: 'nbd',
      id: 'disk',
      'node-name': 'disk',
      writable: true,
      writethrough: plan.isWritethrough,
    });
  }

  private async createDisks(machine: Machine): Promise<void> {
    const { disk } = this.plan;
    const { graph } = machine.server;
    const cluster_size = this.random.pick([4096, 65536]);
    const common = { size: diskBytes, quiet: true };
    const qcow2 = { ...common, format: 'qcow2', values: { cluster_size } };
    if (disk === 'raw') await createImage(graph, { ...common, filename: '/disk', format: 'raw' });
    else if (disk === 'qcow2') await createImage(graph, { ...qcow2, filename: '/disk' });
    else {
      await createImage(graph, { ...qcow2, filename: '/base' });
      await createImage(graph, { ...qcow2, filename: '/disk', backingFile: '/base', backingFormat: 'qcow2' });
    }
  }

  private async startGuests(): Promise<Guests> {
    const { world, plan, model, numbers } = this;
    const machine = world.start(undefined);
    return Guests.start(world, machine, model, numbers, {
      'reconnect-delay': plan.reconnectDelay,
      'open-timeout': 30,
      'x-connections': plan.connections,
    });
  }

  private async startStore(storage: SimStorage): Promise<void> {
    const { plan, world } = this;
    const store = world.start(storage);
    this.store = store;
    await this.addTargetNode(store, { driver: 'file', filename: '/target' }, plan.target);
    await store.listen('/store');
    await store.execute('block-export-add', {
      type: 'nbd',
      id: 'target',
      'node-name': 'target',
      writable: true,
    });
  }

  /** The image that a copy goes to. */
  private async createTarget(machine: Machine, fill: Uint8Array | undefined): Promise<void> {
    const { target } = this.plan;
    const { graph } = machine.server;
    await createImage(graph, { filename: '/target', format: target, size: diskBytes, quiet: true });
    if (!fill) return;
    const node = await graph.openFile('/target', { format: target, flags: { readOnly: false } });
    const user = await attach(node, readWrite);
    await user.write(0, fill);
    await user.close();
    await graph.unref(node);
  }

  /** Slow, as the plan has it. */
  private async addTargetNode(machine: Machine, file: object, format: string): Promise<void> {
    const group = `speed-${++this.groups}`;
    const limits = { 'bps-total': this.plan.bytesPerSecond };
    await machine.execute('object-add', { 'qom-type': 'throttle-group', id: group, limits });
    const throttle = { driver: 'throttle', 'throttle-group': group, file };
    await machine.execute('blockdev-add', { driver: format, 'node-name': 'target', file: throttle });
  }

  /** Where the job is to run there is a node `target` then. */
  private async prepareTarget(machine: Machine, fill: Uint8Array | undefined): Promise<void> {
    const { plan } = this;
    if (!plan.isTargetRemote) {
      await this.createTarget(machine, fill);
      await this.addTargetNode(machine, { driver: 'file', filename: '/target' }, plan.target);
      return;
    }
    await this.startStore(await this.world.prepare((one) => this.createTarget(one, fill)));
    await machine.execute('blockdev-add', {
      driver: 'nbd',
      'node-name': 'target',
      server: { type: 'unix', path: '/store' },
      export: 'target',
      'reconnect-delay': this.storeDelay,
      'x-connections': plan.connections,
    });
  }

  private async restartDaemon(end: End): Promise<void> {
    this.doing = 'Another daemon';
    const storage = this.daemon.kill(end);
    if (forgets(end, this.plan.disk)) {
      const isToldAgain = this.plan.reconnectDelay > 0;
      this.model.powerLost(isToldAgain);
      if (!isToldAgain) this.timesForgotten++;
    }
    await this.pause();
    await this.startDaemon(storage);
    this.count(`daemon killed: ${end}`);
  }

  private async restartGuests(): Promise<void> {
    this.doing = 'Another machine of guests';
    this.guests.machine.kill('program');
    this.model.clientLost();
    this.guests = await this.startGuests();
    this.settle(await this.guests.content());
    this.count('guests killed');
  }

  private async restartStore(): Promise<void> {
    this.doing = 'Another store';
    if (!this.store?.isAlive) return;
    const end = this.random.oneIn(2) ? 'power' : 'program';
    // Who does not wait for another connection does not know what there was to tell again.
    if (this.storeDelay === 0 && forgets(end, this.plan.target)) return;
    const storage = this.store.kill(end);
    await this.pause();
    await this.startStore(storage);
    this.count(`store killed: ${end}`);
  }

  private pause(): Promise<void> {
    return this.world.wait(this.random.below(this.random.pick([1_000_000, maxDownNs])));
  }

  /** Errors: a guest would see what it has not written. */
  private settle(content: Uint8Array): void {
    const wrong = this.model.complaint(0, content);
    if (wrong) throw new Error(`The disk is wrong: ${wrong}`);
    this.model.settle(content);
  }

  // Rounds.

  private async round(): Promise<void> {
    const { plan, guests, random, model } = this;
    guests.begin(2, 6);
    await guests.rest();
    let before: Uint8Array | undefined;
    if (plan.work === 'bitmap') {
      await guests.reach();
      before = await contentOf(this.daemon, 'disk');
      await this.daemon.execute('block-dirty-bitmap-add', { node: 'disk', name: 'bits', granularity: 65536 });
      guests.begin(2, 3);
      await guests.rest();
    }
    this.storeDelay = random.pick([0, 60]);
    const machine = plan.at === 'daemon' ? this.daemon : guests.machine;
    if (plan.work !== 'nothing') await this.prepareTarget(machine, before);
    if (!plan.isQuiet) guests.begin(1 + random.below(3), 12);
    await guests.reach();
    const work = plan.work === 'nothing' ? undefined : await this.begin(machine, before);
    if (work && plan.isRead) await this.addView(work);
    model.watch();
    guests.begin(1 + random.below(4), 4 + random.below(16));
    for (let steps = 1 + random.below(4); steps > 0; steps--) await this.disturb(work);
    for (const one of [this.daemon, this.guests.machine, this.store]) one?.repair();
    if (work?.machine.isAlive) await this.finish(work);
    else if (work) this.count('jobs lost');
    await this.guests.rest();
    await this.guests.stopReader();
    await this.tidy(machine);
  }

  /** Nothing is left of the job and its target. */
  private async tidy(machine: Machine): Promise<void> {
    this.doing = 'Tidying up';
    if (machine.isAlive) {
      if (this.plan.work === 'bitmap')
        await machine.execute('block-dirty-bitmap-remove', { node: 'disk', name: 'bits' });
      const { graph, jobs } = machine.server;
      if (jobs.find('job')) await machine.execute('job-dismiss', { id: 'job' });
      if (graph.findNode('target')) await machine.execute('blockdev-del', { 'node-name': 'target' });
    }
    if (this.store?.isAlive) this.store.kill('power');
  }

  private async begin(machine: Machine, before: Uint8Array | undefined): Promise<Work> {
    this.doing = 'The start of a job';
    const { plan, model, random } = this;
    const isMirror = /mirror/.test(plan.work);
    // An image that is there already holds what the bitmap does not say.
    const isWhole = before !== undefined || plan.work === 'full' || isMirror;
    const top = plan.work === 'top' ? await allocatedSectors(machine) : undefined;
    const instant = model.begin();
    await machine.execute(isMirror ? 'blockdev-mirror' : 'blockdev-backup', {
      'job-id': 'job',
      device: 'disk',
      target: 'target',
      'filter-node-name': 'filter',
      'on-target-error': plan.onError,
      'on-source-error': plan.onError,
      'auto-dismiss': false,
      ...(isMirror
        ? {
            sync: 'full',
            'copy-mode': plan.work === 'mirror' ? 'background' : 'write-blocking',
            granularity: random.pick([4096, 65536]),
          }
        : {
            sync: plan.work,
            ...(plan.work === 'bitmap' && { bitmap: 'bits', 'bitmap-mode': 'always' }),
            'x-perf': { 'max-workers': random.pick([1, 4, 64]) },
            ...plan.buffer,
          }),
    });
    model.end(instant);
    const counts = (sector: number): boolean => isWhole || (top ? top.has(sector) : this.isSaved(sector));
    return { job: machine.server.jobs.get('job'), machine, instant, forgotten: this.timesForgotten, counts };
  }

  private async addView({ machine, instant }: Work): Promise<void> {
    const node = { driver: 'snapshot-access', 'node-name': 'view', file: 'filter' };
    await machine.execute('blockdev-add', node);
    await machine.execute('block-export-add', { type: 'nbd', id: 'view', 'node-name': 'view' });
    await this.guests.startReader(instant);
  }

  private async removeView(machine: Machine): Promise<void> {
    await this.guests.stopReader();
    await machine.execute('block-export-del', { id: 'view', mode: 'hard' });
    while (await this.isExported(machine)) await this.world.wait(pollNs);
    await machine.execute('blockdev-del', { 'node-name': 'view' });
  }

  private async isExported(machine: Machine): Promise<boolean> {
    const all = await machine.execute<{ id: string }[]>('query-block-exports');
    return all.some(({ id }) => id === 'view');
  }

  /** Of a job that saves only what guests overwrite. */
  private isSaved(sector: number): boolean {
    const first = sector - (sector % savedSectors);
    const { touched } = this.model;
    return Array.from({ length: savedSectors }, (_, at) => touched.has(first + at)).includes(true);
  }

  /** Something happens that everything must survive. */
  private async disturb(work: Work | undefined): Promise<void> {
    const { random, daemon, guests, world } = this;
    await world.wait(random.below(random.pick([100_000, 3_000_000, 30_000_000])));
    const machine = work?.machine.isAlive ? work.machine : undefined;
    switch (random.below(12)) {
      case 0:
      case 1:
        world.network.cut();
        this.count('cuts');
        break;
      case 2:
        await this.restartDaemon('program');
        break;
      case 3:
        await this.restartDaemon('power');
        break;
      case 4:
        await this.restartGuests();
        break;
      case 5:
      case 6:
        await this.restartStore();
        break;
      case 7: {
        const owner = this.plan.isTargetRemote ? this.store : machine;
        const errno = random.pick(['EIO', 'ENOSPC'] as const);
        owner?.fail({ errno, type: 'write', path: '/target', times: 1 + random.below(3) });
        this.count('target faults');
        break;
      }
      case 8: {
        const type = random.pick(['write', 'read', 'flush'] as const);
        daemon.fail({ errno: 'EIO', type, path: '/disk', after: random.below(10), times: 1 });
        this.count('disk faults');
        break;
      }
      case 9:
        if (work && machine && work.job.status === 'running' && !work.job.userPaused) work.job.pause();
        break;
      case 10: {
        const node = random.pick((machine ?? guests.machine).server.graph.nodes());
        await node.drainBegin();
        await world.wait(random.below(300_000));
        node.drainEnd();
        break;
      }
      default:
    }
  }

  private async until(work: Work, reached: () => boolean): Promise<void> {
    while (!reached()) await this.goOn(work);
  }

  /** Time passes, and a job that has stopped for an error does not stand still. */
  private async goOn({ job }: Work): Promise<void> {
    if (job.userPaused && ['running', 'paused', 'ready', 'standby'].includes(job.status)) job.resume();
    await this.world.wait(pollNs);
  }

  private async finish(work: Work): Promise<void> {
    this.doing = 'A job';
    const { plan, model } = this;
    const { job, machine } = work;
    const isOver = (): boolean => job.status === 'concluded';
    let { instant } = work;
    if (/mirror/.test(plan.work)) {
      await this.until(work, () => isOver() || job.status === 'ready');
      await this.guests.rest();
      await this.guests.reach();
      instant = model.begin();
      model.end(instant);
      if (!isOver()) await job.cancelAnyway(plan.isCancelled);
    } else if (plan.work === 'none') {
      await this.guests.rest();
      await this.untilDrained(work);
      if (!isOver()) this.compare('drained', work, instant, await contentOf(machine, 'target'));
      if (!isOver()) await job.cancelAnyway(true);
    } else if (plan.isCancelled) {
      await job.cancelAnyway(true);
    }
    await this.until(work, isOver);
    await this.guests.rest();
    if (plan.isRead) await this.removeView(machine);
    if (plan.work === 'bitmap') {
      const dirty = dirtySectors(machine);
      const counts = (sector: number): boolean => !dirty.has(sector);
      this.compare('bitmaps', { ...work, counts }, instant, await contentOf(machine, 'target'));
    }
    if (job.error) {
      this.count(`failed: ${job.error.message}`);
      return;
    }
    if (plan.work === 'none') return;
    this.compare(`complete at ${plan.at}: ${plan.work}`, work, instant, await contentOf(machine, 'target'));
    if (plan.isTargetRemote) await this.compareStored(work, instant);
  }

  private async untilDrained(work: Work): Promise<void> {
    // One that has given up may not have ended yet.
    for (;;) {
      await this.goOn(work);
      const [saving] =
        await work.machine.execute<{ fill?: { buffered: number; spilled: number } }[]>('x-query-cbw');
      const fill = saving?.fill;
      if (work.job.status === 'concluded' || (fill?.buffered === 0 && fill.spilled === 0)) return;
    }
  }

  private compare(what: string, work: Work, instant: Instant, content: Uint8Array): void {
    // What the job had not read yet is not there any more.
    if (this.plan.at === 'guests' && work.forgotten !== this.timesForgotten) return;
    const wrong = instant.complaint(content, work.counts);
    if (wrong) throw new Error(`The copy is wrong: ${wrong}`);
    this.count(what);
  }

  /** Once nobody uses a target any more, it is safe. */
  private async compareStored(work: Work, instant: Instant): Promise<void> {
    await work.machine.execute('blockdev-del', { 'node-name': 'target' });
    await this.startStore(this.store!.kill('power')); // the plan has one
    this.compare('stored', work, instant, await contentOf(this.store!, 'target'));
  }

  private async end(): Promise<void> {
    this.doing = 'The end';
    const { guests, random } = this;
    this.settle(await guests.content());
    await guests.flush();
    if (random.oneIn(2)) {
      guests.machine.kill('power');
      this.model.clientLost();
      await this.restartDaemon('power');
      this.settle(await contentOf(this.daemon, 'disk'));
      return;
    }
    await guests.close();
    for (const machine of [guests.machine, this.daemon]) {
      await machine.shutDown();
      if (machine.simulation.openFiles.length > 0) throw new Error(`${machine.simulation.openFiles} is open`);
    }
    this.count('shut down');
  }
}

/** Whether something is lost that was written and not flushed: what a program keeps of an image in memory is lost with it. */
function forgets(end: End, format: string): boolean {
  return end === 'power' || format !== 'raw';
}
