/**
 * Guests whose disk is an export of another machine: they write, zero, flush and read, and hold what they read against what they were
 * answered. Their machine can be killed; another one has the same disk then.
 */
import { BlockError } from '../../../host/base/errors.ts';
import { BlockBackend } from '../../../host/block/backend.ts';
import { Perm } from '../../../host/block/permissions.ts';
import { attach } from '../../support/attach.ts';
import type { Machine, World } from './machines.ts';
import { type Instant, type RemoteModel, sectorBytes, type Written } from './model.ts';

/** What all guests of a story share. */
export interface Numbers {
  next: number;
  requests: number;
  reads: number;
  failures: number;
}

const longestPauseNs = 50_000;
/** Requests of one that reads a point in time. */
const longestReading = 100;
const diskPath = '/daemon';

export class Guests {
  private running: Promise<void>[] = [];
  private readers: Promise<void>[] = [];
  private isReading = false;
  private backend!: BlockBackend;

  private constructor(
    private readonly world: World,
    readonly machine: Machine,
    private readonly model: RemoteModel,
    private readonly numbers: Numbers,
  ) {}

  static async start(
    world: World,
    machine: Machine,
    model: RemoteModel,
    numbers: Numbers,
    options: object,
  ): Promise<Guests> {
    const guests = new Guests(world, machine, model, numbers);
    await machine.execute('blockdev-add', {
      driver: 'nbd',
      'node-name': 'disk',
      discard: 'unmap',
      server: { type: 'unix', path: diskPath },
      export: 'disk',
      ...options,
    });
    guests.backend = await BlockBackend.attach(machine.server.graph.getNode('disk'), {
      name: 'root',
      description: 'the guest',
      perm: Perm.consistentRead | Perm.write,
      shared: Perm.consistentRead | Perm.writeUnchanged,
    });
    return guests;
  }

  /** Some of them ask for so much each. */
  begin(count: number, requests: number): void {
    for (let i = 0; i < count; i++) this.running.push(this.run(requests));
  }

  /** Settles when all that was begun is over. */
  async rest(): Promise<void> {
    await Promise.all(this.running.splice(0));
  }

  /** Reads all of it. Requests that fail are made again: whatever keeps them from the disk has to end. */
  async content(): Promise<Uint8Array> {
    const content = new Uint8Array(this.model.sectors * sectorBytes);
    while (!(await this.succeeds(() => this.backend.read(0, content)))) await this.wait(1e9);
    return content;
  }

  /** All that the disk holds is safe afterwards. */
  async flush(): Promise<void> {
    const first = { first: 0, sectors: 1, number: ++this.numbers.next };
    while (!(await this.write(first, false))) await this.wait(1e9);
    while (!(await this.tryFlush())) await this.wait(1e9);
  }

  /** Settles when the disk can be reached, and has been told what it may have forgotten. */
  async reach(): Promise<void> {
    const sector = new Uint8Array(sectorBytes);
    while (!(await this.succeeds(() => this.backend.read(0, sector)))) await this.wait(1e9);
  }

  /** Reads a point in time that is exported as `view`, until it has had enough or is told to stop. */
  async startReader(instant: Instant): Promise<void> {
    const server = { type: 'unix', path: diskPath };
    await this.machine.execute('blockdev-add', {
      driver: 'nbd',
      'node-name': 'view',
      'read-only': true,
      server,
      export: 'view',
    });
    this.isReading = true;
    this.readers.push(this.read(instant));
  }

  async stopReader(): Promise<void> {
    this.isReading = false;
    await Promise.all(this.readers.splice(0));
  }

  async close(): Promise<void> {
    await this.backend.close();
  }

  private wait(ns: number): Promise<void> {
    return sleep(this.machine, ns);
  }

  private async read(instant: Instant): Promise<void> {
    const { random } = this.world;
    const user = await attach(this.machine.server.graph.getNode('view'), Perm.consistentRead);
    for (let count = 0; this.isReading && count < longestReading; count++) {
      const first = random.below(this.model.sectors);
      const sectors = Math.min(this.model.sectors - first, 1 + random.below(100));
      const part = new Uint8Array(sectors * sectorBytes);
      if (await this.succeeds(() => user.read(first * sectorBytes, part))) {
        const wrong = instant.complaintAt(first, part);
        if (wrong) throw new Error(`The view is wrong: ${wrong}`);
        this.numbers.reads++;
      }
      await this.wait(1 + random.below(4 * longestPauseNs));
    }
    await user.close();
    await this.machine.execute('blockdev-del', { 'node-name': 'view' });
  }

  private async run(requests: number): Promise<void> {
    const { random } = this.world;
    const pauseNs = random.pick([0, longestPauseNs, 10 * longestPauseNs]);
    for (let i = 0; i < requests; i++) {
      await this.request();
      await this.wait(1 + random.below(pauseNs + 1000));
    }
  }

  private async request(): Promise<void> {
    const { model, numbers } = this;
    const { random } = this.world;
    numbers.requests++;
    if (random.oneIn(10)) {
      await this.tryFlush();
      return;
    }
    const first = random.below(model.sectors);
    const longest = Math.min(model.sectors - first, random.pick([8, 8, 80, 300]));
    const isZero = random.oneIn(6);
    const written = { first, sectors: 1 + random.below(longest), number: isZero ? 0 : ++numbers.next };
    if (!model.reserve(written)) return;
    if (random.oneIn(4)) await this.check(written);
    else await this.write(written, isZero);
    model.release(written);
  }

  private async check({ first, sectors }: Written): Promise<void> {
    const part = new Uint8Array(sectors * sectorBytes);
    if (!(await this.succeeds(() => this.backend.read(first * sectorBytes, part)))) return;
    const wrong = this.model.complaint(first, part);
    if (wrong) throw new Error(`The guest reads what is wrong: ${wrong}`);
  }

  private async write(written: Written, isZero: boolean): Promise<boolean> {
    const { backend, model } = this;
    const { random } = this.world;
    const fua = random.oneIn(5);
    const [offset, bytes] = [written.first * sectorBytes, written.sectors * sectorBytes];
    model.begun(written);
    const isDone = await this.succeeds(() => {
      if (isZero) return backend.writeZeroes(offset, bytes, { fua, mayUnmap: random.oneIn(2) });
      const words = new Uint32Array(bytes / 4).fill(written.number);
      return backend.write(offset, new Uint8Array(words.buffer), { fua });
    });
    if (isDone) model.answered(written, fua);
    return isDone;
  }

  private async tryFlush(): Promise<boolean> {
    const done = this.model.flushBegun();
    const isDone = await this.succeeds(() => this.backend.flush());
    if (isDone) done();
    return isDone;
  }

  private async succeeds(act: () => Promise<void>): Promise<boolean> {
    if (await succeeds(act)) return true;
    this.numbers.failures++;
    return false;
  }
}

/** Of a request: false when it has failed. */
export async function succeeds(act: () => Promise<void>): Promise<boolean> {
  try {
    await act();
    return true;
  } catch (error) {
    if (!(error instanceof BlockError)) throw error;
    return false;
  }
}

/** In the time of a machine: a dead one waits for ever. */
export function sleep(machine: Machine, ns: number): Promise<void> {
  const { clock } = machine.simulation.platform;
  return new Promise((resolve) => void clock.setTimer(ns, resolve));
}
