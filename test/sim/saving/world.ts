/**
 * A disk that guests write to while points in time of it are kept: by backups, or by a copy-before-write node of its own.
 * Somebody may read them back meanwhile. Disk, targets and spill file are files of a simulation; targets are slow and fail.
 *
 * The model of a point in time is an array of bytes. Whatever a reader gets, and whatever a target holds in the end, is
 * held against that. What guests read in the end is held against what they wrote.
 */
import { BlockError } from '../../../host/base/errors.ts';
import { bitmapsOf } from '../../../host/bitmaps/node-bitmaps.ts';
import { BlockBackend } from '../../../host/block/backend.ts';
import { createImage } from '../../../host/block/create.ts';
import { Perm } from '../../../host/block/permissions.ts';
import { statusAbove } from '../../../host/block/status.ts';
import { humanMonitor } from '../../../host/cli/hmp/monitor.ts';
import { drivers } from '../../../host/drivers.ts';
import { CopyBeforeWrite } from '../../../host/filters/copy-before-write/driver.ts';
import { InsertedFilter } from '../../../host/jobs/filter-insertion.ts';
import type { FaultRule, Simulation } from '../../../host/platform/sim/index.ts';
import { commands } from '../../../host/qmp/commands/index.ts';
import { QmpServer } from '../../../host/qmp/server.ts';
import { attach, readWrite } from '../../support/attach.ts';
import type { Seeded } from '../../support/seeded.ts';
import { kib } from '../../support/units.ts';

export const diskBytes = 1100 * kib + 512;
export const clusterBytes = 64 * kib;
const sectorBytes = 512;
const guestPauseNs = 40_000;
/** What takes more time than this hangs. */
export const longestNs = 200e9;

interface Range {
  start: number;
  end: number;
}

export class SavingWorld {
  readonly server: QmpServer;
  /** What guests have written. */
  readonly content = new Uint8Array(diskBytes);
  /** Since `written` was emptied. */
  readonly written = new Set<number>();
  failedWrites = 0;
  events: string[] = [];
  private readonly busy = new Set<Range>();
  private guest: BlockBackend | undefined;
  private guests: Promise<void>[] = [];
  private readers: Promise<void>[] = [];
  private isQuiet = true;
  private isClosing = false;
  /** By readers. */
  reads = 0;
  private readonly faults: (() => void)[] = [];

  constructor(
    readonly simulation: Simulation,
    readonly random: Seeded,
  ) {
    this.server = new QmpServer({
      platform: simulation.platform,
      drivers,
      commands: [...commands, humanMonitor],
    });
    const { emit } = this.server.graph;
    Object.assign(this.server.graph, {
      emit: (event: { name: string }) => {
        this.events.push(event.name);
        emit(event as never);
      },
    });
  }

  async execute<T>(name: string, args: object = {}): Promise<T> {
    return (await this.server.runLocally(name, () => args)) as T;
  }

  wait(ns: number): Promise<void> {
    return new Promise((resolve) => void this.simulation.platform.clock.setTimer(ns, resolve));
  }

  fail(rule: FaultRule): void {
    this.faults.push(this.simulation.fail(rule));
  }

  /** Nothing fails any more. */
  repair(): void {
    for (const repair of this.faults.splice(0)) repair();
  }

  /** A disk of some format with something everywhere, and a guest on it. */
  async openDisk(kind: 'raw' | 'qcow2' | 'overlay'): Promise<void> {
    const format = kind === 'raw' ? 'raw' : 'qcow2';
    await this.createImage('/disk', format, kind === 'overlay' ? '/base' : undefined);
    await this.execute('blockdev-add', {
      driver: format,
      'node-name': 'disk',
      discard: 'unmap',
      file: { driver: 'file', filename: '/disk' },
    });
    this.guest = await BlockBackend.attach(this.server.graph.getNode('disk'), {
      name: 'root',
      description: 'the guest',
      perm: Perm.consistentRead | Perm.write,
      shared: Perm.consistentRead | Perm.writeUnchanged,
    });
    for (let i = 0; i < 12; i++) await this.request();
    await this.guest.read(0, this.content);
  }

  private async createImage(filename: string, format: string, backing?: string): Promise<void> {
    const { graph } = this.server;
    if (backing !== undefined) {
      await this.createImage(backing, 'qcow2');
      const node = await graph.openFile(backing, { format: 'qcow2', flags: { readOnly: false } });
      const user = await attach(node, readWrite);
      for (let at = 0; at < diskBytes; at += 200 * kib) {
        await user.write(at, new Uint8Array(Math.min(100 * kib, diskBytes - at)).fill(at / kib + 1));
      }
      await user.close();
      await graph.unref(node);
    }
    await createImage(graph, {
      filename,
      format,
      size: diskBytes,
      quiet: true,
      ...(format === 'qcow2' && { values: { cluster_size: this.random.pick([512, 4096, 65536]) } }),
      ...(backing === undefined ? {} : { backingFile: backing, backingFormat: 'qcow2' }),
    });
  }

  /** A new image behind a filter that keeps it slow. `fill`: what it holds already. */
  async addTarget(name: string, format: string, bytesPerSecond: number, fill?: Uint8Array): Promise<void> {
    await this.createImage(`/${name}`, format);
    const group = `${name}-speed`;
    await this.execute('object-add', {
      'qom-type': 'throttle-group',
      id: group,
      limits: { 'bps-total': bytesPerSecond },
    });
    await this.execute('blockdev-add', {
      driver: format,
      'node-name': name,
      file: {
        driver: 'throttle',
        'throttle-group': group,
        file: { driver: 'file', filename: `/${name}` },
      },
    });
    if (!fill) return;
    const user = await attach(this.server.graph.getNode(name), readWrite);
    await user.write(0, fill);
    await user.close();
  }

  async contentOf(name: string): Promise<Uint8Array> {
    const user = await attach(this.server.graph.getNode(name), readWrite);
    const content = new Uint8Array(diskBytes);
    await user.read(0, content);
    await user.close();
    return content;
  }

  /** Which clusters the disk's own image holds anything of. */
  async allocatedClusters(): Promise<Set<number>> {
    const disk = this.server.graph.getNode('disk');
    const found = new Set<number>();
    for (let at = 0; at < diskBytes; ) {
      const bytes = Math.min(clusterBytes - (at % clusterBytes), diskBytes - at);
      const status = await statusAbove(disk, disk.backing(), at, bytes, false);
      if (status.allocated) found.add(Math.floor(at / clusterBytes));
      at += status.bytes;
    }
    return found;
  }

  /** A copy-before-write node between the guest and its disk. */
  insertFilter(options: object): Promise<InsertedFilter> {
    return InsertedFilter.above(this.server.graph.getNode('disk'), {
      driver: 'copy-before-write',
      driverClass: CopyBeforeWrite,
      options: { file: 'disk', target: 'target', ...options },
      flags: { discard: true, readOnly: false },
      nodeName: 'filter',
      isImplicit: false,
    });
  }

  // Guests.

  startGuests(count: number): void {
    this.isQuiet = false;
    for (let i = 0; i < count; i++) this.guests.push(this.runGuest());
  }

  /** Settles when nothing of theirs is in flight: `content` is what the disk holds. */
  async stopGuests(): Promise<void> {
    this.isQuiet = true;
    const { clock } = this.simulation.platform;
    let fail: (error: Error) => void = () => {};
    const late = new Promise<never>((_, reject) => (fail = reject));
    const timer = clock.setTimer(longestNs, () => fail(new Error('guests wait for ever')));
    await Promise.race([Promise.all(this.guests.splice(0)), late]);
    timer.cancel();
  }

  private async runGuest(): Promise<void> {
    const pauseNs = this.random.pick([0, guestPauseNs, 20 * guestPauseNs]);
    while (!this.isQuiet) {
      await this.request();
      await this.wait(1 + this.random.below(pauseNs + 1000));
    }
  }

  private async request(): Promise<void> {
    const { random, content, busy } = this;
    const longest = random.pick([4 * kib, 4 * kib, 40 * kib, 300 * kib]);
    const start = random.below(diskBytes / sectorBytes) * sectorBytes;
    const end = Math.min(diskBytes, start + sectorBytes * (1 + random.below(longest / sectorBytes)));
    for (const other of busy) if (start < other.end && other.start < end) return;
    const range = { start, end };
    busy.add(range);
    try {
      const value = random.oneIn(5) ? 0 : 1 + random.below(255);
      await this.change(start, end - start, value);
      content.fill(value, start, end);
      this.noteWritten(range);
    } catch (error) {
      if (!(error instanceof BlockError)) throw error;
      this.failedWrites++;
      await this.lookAgain(start, end);
    } finally {
      busy.delete(range);
    }
  }

  /** A request that has failed may have changed some of its range, or nothing. */
  private async lookAgain(start: number, end: number): Promise<void> {
    try {
      await this.guest!.read(start, this.content.subarray(start, end)); // there are guests
    } catch (error) {
      if (!(error instanceof BlockError)) throw error;
      await this.wait(100_000);
      await this.lookAgain(start, end);
    }
  }

  private noteWritten({ start, end }: Range): void {
    for (let at = start; at < end; at += sectorBytes) this.written.add(Math.floor(at / clusterBytes));
  }

  private async change(offset: number, bytes: number, value: number): Promise<void> {
    const guest = this.guest!; // there are guests
    if (value === 0) return guest.writeZeroes(offset, bytes, { mayUnmap: this.random.oneIn(2) });
    await guest.write(offset, new Uint8Array(bytes).fill(value));
  }

  // Readers of a point in time.

  /** `expected`: what they must read as long as they may. */
  async startReader(filter: string, expected: Uint8Array): Promise<void> {
    const node = `${filter}-view`;
    await this.execute('blockdev-add', { driver: 'snapshot-access', 'node-name': node, file: filter });
    const reader = this.runReader(node, expected);
    // Thrown when everything is over.
    reader.catch(() => {});
    this.readers.push(reader);
  }

  private async runReader(name: string, expected: Uint8Array): Promise<void> {
    const node = this.server.graph.getNode(name);
    const user = await attach(node, Perm.consistentRead);
    while (!this.isClosing) {
      const start = this.random.below(diskBytes);
      const buffer = new Uint8Array(Math.min(diskBytes - start, 1 + this.random.below(100 * kib)));
      try {
        await user.read(start, buffer);
        const end = start + buffer.length;
        if (Buffer.compare(buffer, expected.subarray(start, end)) !== 0) {
          const at = buffer.findIndex((byte, i) => byte !== expected[start + i]);
          throw new Error(`${name} reads ${buffer[at]} at ${start + at} and not ${expected[start + at]}`);
        }
        this.reads++;
      } catch (error) {
        if (!(error instanceof BlockError)) throw error;
      }
      await this.wait(1 + this.random.below(200_000));
    }
    await user.close();
    await this.execute('blockdev-del', { 'node-name': name });
  }

  async stopReaders(): Promise<void> {
    this.isClosing = true;
    await Promise.all(this.readers.splice(0));
    this.isClosing = false;
  }

  // The end.

  /** Dirty clusters of a bitmap of the disk. */
  dirtyClusters(bitmap: string): Set<number> {
    const { bits } = bitmapsOf(this.server.graph.getNode('disk')).find(bitmap)!; // it was added
    const dirty = new Set<number>();
    for (let cluster = 0; cluster * clusterBytes < diskBytes; cluster++) {
      if (bits.nextDirty(cluster * clusterBytes, clusterBytes) >= 0) dirty.add(cluster);
    }
    return dirty;
  }

  async close(): Promise<void> {
    this.repair();
    await this.stopGuests();
    await this.stopReaders();
    const found = new Uint8Array(diskBytes);
    await this.guest!.read(0, found); // opened with the disk
    if (Buffer.compare(found, this.content) !== 0)
      throw new Error('the disk is not what guests have written');
    await this.server.stop();
    await this.guest!.close();
    await this.server.close();
  }
}
