/**
 * What jobs cost the guest and the monitor.
 *
 * The server runs in this process, and a guest with it: 4 KiB writes at random places, four at a time, on a disk that a
 * job works on. Their latencies are compared with those of the same guest when no job runs. The monitor is asked from
 * another process over a unix socket, as a management program would, while two backups, a mirror and a guest at full
 * speed run together. What the guest costs a job is told, too: how long that takes alone, and beside the guest.
 */
import { fork } from 'node:child_process';
import { existsSync, mkdirSync, rmSync } from 'node:fs';
import { createConnection } from 'node:net';
import { join, resolve } from 'node:path';
import { createInterface } from 'node:readline';
import { BlockBackend } from '../host/block/backend.ts';
import { Perm } from '../host/block/permissions.ts';
import { listen } from '../host/cli/chardev/socket.ts';
import { drivers } from '../host/drivers.ts';
import { nodePlatform } from '../host/platform/node/index.ts';
import { commands } from '../host/qmp/commands/index.ts';
import { QmpServer } from '../host/qmp/server.ts';
import type { Report } from './report.ts';
import { ours, run } from './side.ts';

const diskBytes = 256 << 20;
const requestBytes = 4096;
const depth = 4;
const idleSeconds = 3;
/** A job is given up after that: nothing promises that a background mirror overtakes a guest that never rests. */
const longestSeconds = 10;
const monitorAimMs = 10;

interface Latencies {
  requests: number;
  p50Us: number;
  p99Us: number;
  maxMs: number;
}

/** A guest that writes until it is stopped. */
class Guest {
  private stopping = false;
  private readonly latenciesNs: number[] = [];
  private readonly loops: Promise<void>[] = [];

  constructor(private readonly disk: BlockBackend) {
    for (let i = 0; i < depth; i++) this.loops.push(this.loop(i));
  }

  private async loop(seed: number): Promise<void> {
    const buffer = new Uint8Array(requestBytes).fill(seed + 1);
    const blocks = diskBytes / requestBytes;
    let state = seed + 1;
    let turn = process.hrtime.bigint();
    while (!this.stopping) {
      state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
      const start = process.hrtime.bigint();
      await this.disk.write((state % blocks) * requestBytes, buffer);
      const end = process.hrtime.bigint();
      this.latenciesNs.push(Number(end - start));
      // A guest runs its processor in between: here it leaves the event loop its turn.
      if (end - turn > 1_000_000n) {
        await nodePlatform.clock.yield();
        turn = process.hrtime.bigint();
      }
    }
  }

  async stop(): Promise<Latencies> {
    this.stopping = true;
    await Promise.all(this.loops);
    const sorted = Float64Array.from(this.latenciesNs).sort();
    const at = (share: number): number => sorted[Math.floor((sorted.length - 1) * share)] ?? 0;
    return { requests: sorted.length, p50Us: at(0.5) / 1e3, p99Us: at(0.99) / 1e3, maxMs: at(1) / 1e6 };
  }
}

/** A server with one disk on an overlay, so that every kind of job has something to do. */
class World {
  readonly server = new QmpServer({
    platform: { ...nodePlatform, console: { ...nodePlatform.console, stdout: () => {} } },
    drivers,
    commands,
  });
  private readonly ended = new Map<string, () => void>();

  constructor(private readonly folder: string) {
    const { server } = this;
    const emit = server.graph.emit;
    const watch = ({ name, data }: { name: string; data?: object }): void => {
      const { id, status } = (data ?? {}) as { id?: string; status?: string };
      if (name === 'JOB_STATUS_CHANGE' && (status === 'null' || status === 'ready'))
        this.ended.get(id ?? '')?.();
    };
    Object.assign(server.jobs, {
      emit: (event: { name: string; data?: object }) => {
        emit(event);
        watch(event);
      },
    });
  }

  path(name: string): string {
    return join(this.folder, name);
  }

  async execute(name: string, args: object): Promise<void> {
    await this.server.runLocally(name, () => args);
  }

  /** Settles when the job is gone, or ready, or has been given all the time that there is. */
  reached(id: string): Promise<void> {
    return new Promise((done) => {
      const giveUp = setTimeout(done, longestSeconds * 1000);
      this.ended.set(id, () => {
        clearTimeout(giveUp);
        done();
      });
    });
  }

  async addDisk(name: string): Promise<BlockBackend> {
    const [base, top] = [this.path(`${name}-base.qcow2`), this.path(`${name}.qcow2`)];
    await run(ours('img', 'create', '-q', '-f', 'qcow2', base, `${diskBytes}`));
    await run(ours('io', '-f', 'qcow2', '-c', `write -q -P 7 0 ${diskBytes}`, base));
    await run(ours('img', 'create', '-q', '-f', 'qcow2', '-b', base, '-F', 'qcow2', top));
    await this.execute('blockdev-add', {
      driver: 'qcow2',
      'node-name': name,
      file: { driver: 'file', filename: top },
    });
    return BlockBackend.attach(this.server.graph.getNode(name), {
      name: 'root',
      description: 'the guest',
      perm: Perm.consistentRead | Perm.write,
      shared: Perm.consistentRead | Perm.writeUnchanged,
    });
  }

  async addTarget(name: string): Promise<void> {
    await run(ours('img', 'create', '-q', '-f', 'qcow2', this.path(`${name}.qcow2`), `${diskBytes}`));
    await this.execute('blockdev-add', {
      driver: 'qcow2',
      'node-name': name,
      file: { driver: 'file', filename: this.path(`${name}.qcow2`) },
    });
  }

  async close(disks: readonly BlockBackend[]): Promise<void> {
    await this.server.stop();
    for (const disk of disks) await disk.close();
    await this.server.close();
  }
}

interface JobCase {
  name: string;
  command: string;
  args: object;
  target?: boolean;
  /** What it copies is what has been written to the disk. */
  copiesWritten?: boolean;
}

const cases: readonly JobCase[] = [
  { name: 'backup', command: 'blockdev-backup', args: { target: 't', sync: 'full' }, target: true },
  { name: 'mirror', command: 'blockdev-mirror', args: { target: 't', sync: 'full' }, target: true },
  {
    name: 'mirror, write-blocking',
    command: 'blockdev-mirror',
    args: { target: 't', sync: 'full', 'copy-mode': 'write-blocking' },
    target: true,
  },
  { name: 'stream', command: 'block-stream', args: {} },
  { name: 'active commit', command: 'block-commit', args: {}, copiesWritten: true },
];

export async function benchGuest(report: Report, parent: string): Promise<void> {
  report.heading(`a guest that writes 4 KiB at random, ${depth} at a time, while a job runs on its disk`);
  const { latencies: idle } = await withGuest(parent, undefined);
  addRows(report, 'no job', idle, undefined);
  for (const job of cases) {
    const alone = await secondsAlone(parent, job);
    const { latencies, jobSeconds } = await withGuest(parent, job);
    addRows(report, job.name, latencies, idle);
    report.add({ name: `${job.name}: the job, alone`, unit: 's', ours: alone });
    // What has been given up has no time to tell.
    if (jobSeconds >= longestSeconds) continue;
    const ratio = alone / jobSeconds;
    report.add({ name: `${job.name}: the job, beside the guest`, unit: 's', ours: jobSeconds, ratio });
  }
  await benchMonitor(report, parent);
}

function addRows(report: Report, name: string, latencies: Latencies, idle: Latencies | undefined): void {
  const ratio = (mine: number, other: number | undefined): number | undefined =>
    other === undefined ? undefined : other / mine;
  report.add({
    name: `${name}: median`,
    unit: 'µs',
    ours: latencies.p50Us,
    ratio: ratio(latencies.p50Us, idle?.p50Us),
  });
  report.add({
    name: `${name}: 99 %`,
    unit: 'µs',
    ours: latencies.p99Us,
    ratio: ratio(latencies.p99Us, idle?.p99Us),
  });
  report.add({
    name: `${name}: slowest`,
    unit: 'ms',
    ours: latencies.maxMs,
    ratio: ratio(latencies.maxMs, idle?.maxMs),
  });
}

interface WithGuest {
  latencies: Latencies;
  jobSeconds: number;
}

function withGuest(parent: string, job: JobCase | undefined): Promise<WithGuest> {
  return withDisk(parent, job, async (world, disk) => {
    const guest = new Guest(disk);
    let jobSeconds = 0;
    if (job) jobSeconds = await secondsOf(world, job);
    else await sleep(idleSeconds * 1000);
    return { latencies: await guest.stop(), jobSeconds };
  });
}

function secondsAlone(parent: string, job: JobCase): Promise<number> {
  return withDisk(parent, job, async (world, disk) => {
    if (job.copiesWritten) await disk.write(0, new Uint8Array(diskBytes).fill(1));
    return secondsOf(world, job);
  });
}

/** Until the job is over, or ready, or given up. */
async function secondsOf(world: World, { command, args }: JobCase): Promise<number> {
  const reached = world.reached('j');
  const startMs = performance.now();
  await world.execute(command, { 'job-id': 'j', device: 'disk', ...args });
  await reached;
  return (performance.now() - startMs) / 1000;
}

async function withDisk<T>(
  parent: string,
  job: JobCase | undefined,
  act: (world: World, disk: BlockBackend) => Promise<T>,
): Promise<T> {
  const folder = freshFolder(parent);
  const world = new World(folder);
  const disk = await world.addDisk('disk');
  if (job?.target) await world.addTarget('t');
  const result = await act(world, disk);
  await world.close([disk]);
  rmSync(folder, { recursive: true });
  return result;
}

async function benchMonitor(report: Report, parent: string): Promise<void> {
  report.heading('the monitor while two backups, a mirror and a guest run at full speed');
  const folder = freshFolder(parent);
  const world = new World(folder);
  const disks = [await world.addDisk('d0'), await world.addDisk('d1'), await world.addDisk('d2')];
  for (const target of ['t0', 't1', 't2']) await world.addTarget(target);
  const chardev = await listen(
    { type: 'unix', path: world.path('qmp') },
    { noDelay: false, telnet: false, webSocket: false, refused: () => {} },
  );
  chardev.serve((connection) => world.server.connect(connection));
  const guest = new Guest(disks[0]!); // three were added
  const started = ['j0', 'j1', 'j2'].map((id) => world.reached(id));
  const client = fork(resolve(import.meta.dirname, 'bench.js'), ['--ask', world.path('qmp')], {
    stdio: ['pipe', 'pipe', 'inherit', 'ipc'],
  });
  const answered = new Promise<number[]>((done) =>
    client.on('message', (message) => done(message as number[])),
  );
  await world.execute('blockdev-backup', { 'job-id': 'j0', device: 'd0', target: 't0', sync: 'full' });
  await world.execute('blockdev-backup', { 'job-id': 'j1', device: 'd1', target: 't1', sync: 'full' });
  await world.execute('blockdev-mirror', { 'job-id': 'j2', device: 'd2', target: 't2', sync: 'full' });
  await Promise.all(started);
  client.send('enough');
  const latenciesMs = Float64Array.from(await answered).sort();
  await guest.stop();
  chardev.close();
  await world.close(disks);
  rmSync(folder, { recursive: true });
  const at = (share: number): number =>
    latenciesMs[Math.floor((latenciesMs.length - 1) * share)] ?? Number.NaN;
  report.add({ name: `median of ${latenciesMs.length} answers`, unit: 'ms', ours: at(0.5) });
  report.add({
    name: '99 %',
    unit: 'ms',
    ours: at(0.99),
    aim: { text: `≤ ${monitorAimMs} ms`, met: at(0.99) <= monitorAimMs },
  });
  report.add({ name: 'slowest', unit: 'ms', ours: at(1) });
}

/** The other process: asks one question after the other until it is told that it is enough. */
export async function ask(path: string): Promise<void> {
  const socket = createConnection(path);
  const lines = createInterface({ input: socket });
  let answer = (): void => {};
  lines.on('line', (line) => {
    if (line.includes('"return"')) answer();
  });
  const latenciesMs: number[] = [];
  let enough = false;
  process.on('message', () => {
    enough = true;
  });
  const request = (command: string): Promise<void> =>
    new Promise((done) => {
      answer = done;
      socket.write(`{"execute": "${command}"}\n`);
    });
  await request('qmp_capabilities');
  while (!enough) {
    const start = process.hrtime.bigint();
    await request('query-block-jobs');
    latenciesMs.push(Number(process.hrtime.bigint() - start) / 1e6);
    await sleep(1);
  }
  process.send?.(latenciesMs, () => process.disconnect());
  socket.destroy();
}

function freshFolder(parent: string): string {
  const folder = join(parent, 'guest');
  if (existsSync(folder)) rmSync(folder, { recursive: true });
  mkdirSync(folder);
  return folder;
}

function sleep(ms: number): Promise<void> {
  return new Promise((done) => setTimeout(done, ms));
}
