/**
 * A process with one disk, a monitor and a guest: what a history happens to. It can be stopped in order, or killed at
 * any moment, and another one goes on with what is on the storage.
 */
import { expect } from 'vitest';
import { bitmapsOf } from '../../../host/bitmaps/node-bitmaps.ts';
import { BlockBackend } from '../../../host/block/backend.ts';
import { Perm } from '../../../host/block/permissions.ts';
import { drivers } from '../../../host/drivers.ts';
import type { Platform } from '../../../host/platform/platform.ts';
import { commands } from '../../../host/qmp/commands/index.ts';
import { QmpServer } from '../../../host/qmp/server.ts';
import type { Seeded } from '../../support/seeded.ts';

export const diskPath = '/disk.qcow2';
export const diskBytes = 1 << 20;
const sectorBytes = 512;
const guestPauseNs = 30_000;

export interface Disk {
  readonly node: string;
  readonly format: 'qcow2' | 'raw';
}

/** One life of the process. */
export class Machine {
  readonly server: QmpServer;
  /** What the guest reads, as far as it knows: kept in step with every write that has been answered. */
  readonly content = new Uint8Array(diskBytes);
  private backend!: BlockBackend;
  private guest: Promise<void> | undefined;
  private guestStops = false;

  private constructor(
    readonly platform: Platform,
    private readonly random: Seeded,
    private readonly pattern: { next: number },
  ) {
    this.server = new QmpServer({ platform, drivers, commands });
  }

  static async start(platform: Platform, random: Seeded, pattern: { next: number }): Promise<Machine> {
    const machine = new Machine(platform, random, pattern);
    await machine.execute('blockdev-add', {
      driver: 'qcow2',
      'node-name': 'disk',
      discard: 'unmap',
      file: { driver: 'file', filename: diskPath },
    });
    machine.backend = await BlockBackend.attach(machine.server.graph.getNode('disk'), {
      name: 'root',
      description: 'the guest',
      perm: Perm.consistentRead | Perm.write,
      shared: Perm.consistentRead | Perm.writeUnchanged,
    });
    await machine.backend.read(0, machine.content);
    return machine;
  }

  async execute(name: string, args: object): Promise<void> {
    await this.server.runLocally(name, () => args);
  }

  /** The guest goes on writing until it is told to stop. */
  startGuest(): void {
    this.guestStops = false;
    this.guest = this.runGuest();
  }

  /** Settles when nothing of the guest is in flight. */
  async stopGuest(): Promise<void> {
    this.guestStops = true;
    await this.guest;
    this.guest = undefined;
  }

  private async runGuest(): Promise<void> {
    while (!this.guestStops) {
      await this.guestRequest();
      await new Promise<void>((resolve) => void this.platform.clock.setTimer(guestPauseNs, resolve));
    }
  }

  async guestRequest(): Promise<void> {
    const { random, backend, content } = this;
    const sectors = diskBytes / sectorBytes;
    const count = 1 + random.below(random.oneIn(4) ? 256 : 16);
    const first = random.below(sectors - count + 1);
    const [offset, bytes] = [first * sectorBytes, count * sectorBytes];
    switch (random.below(10)) {
      case 0:
        await backend.writeZeroes(offset, bytes, { mayUnmap: random.oneIn(2) });
        content.fill(0, offset, offset + bytes);
        return;
      case 1:
        await backend.flush();
        return;
      default: {
        const data = new Uint8Array(bytes).fill(1 + (this.pattern.next++ % 255));
        await backend.write(offset, data);
        content.set(data, offset);
      }
    }
  }

  /** The error of the job when it is over, undefined when it succeeded. It must be one that waits to be dismissed. */
  async jobEnded(id: string): Promise<string | undefined> {
    for (;;) {
      const job = this.server.jobs.get(id);
      if (job.status === 'concluded') {
        const error = job.error?.message;
        await this.execute('job-dismiss', { id });
        return error;
      }
      await new Promise<void>((resolve) => void this.platform.clock.setTimer(guestPauseNs, resolve));
    }
  }

  bitmapState(name: string): 'absent' | 'usable' | 'inconsistent' {
    const bitmap = bitmapsOf(this.server.graph.getNode('disk')).find(name);
    if (!bitmap) return 'absent';
    return bitmap.inconsistent ? 'inconsistent' : 'usable';
  }

  /** The end in order: everything is written back. */
  async shutDown(): Promise<void> {
    await this.stopGuest();
    const read = new Uint8Array(diskBytes);
    await this.backend.read(0, read);
    expect(sameBytes(read, this.content)).toBe(true);
    await this.server.stop();
    await this.backend.close();
    await this.server.close();
  }
}

export function sameBytes(a: Uint8Array, b: Uint8Array): boolean {
  return Buffer.compare(a, b) === 0;
}
