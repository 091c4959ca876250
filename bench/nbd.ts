/**
 * An NBD server's work, ours next to `qemu-nbd` and `nbdkit file`: random requests and large reads by fio, and whole
 * disks by nbdcopy, all through a unix socket.
 *
 * The images are on tmpfs where there is one, so that no disk decides. Each side is one process that serves for the whole
 * measurement; the sides take turns, round by round. Its processor time is counted from outside, so the client's is not in it.
 */
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { judged, summary } from './compare.ts';
import { runFio } from './fio.ts';
import { makeImage, memoryFolder } from './images.ts';
import { Server, socketOf } from './nbd-server.ts';
import type { Report } from './report.ts';
import { type Command, median, ours, run, theirs } from './side.ts';

const imageBytes = 512 << 20;
const seconds = 2;

type Format = 'raw' | 'qcow2';

interface Work {
  readonly name: string;
  readonly fio: readonly string[];
  /** How many times the other's rate ours is to be; by the others' names. */
  readonly aims: Readonly<Record<Format, Aims>>;
}

interface Aims {
  readonly 'qemu-nbd'?: number;
  readonly nbdkit?: number;
}

const works: readonly Work[] = [
  {
    name: '4 KiB random read, depth 32',
    fio: ['--rw=randread', '--bs=4k', '--iodepth=32'],
    aims: { raw: { nbdkit: 1 }, qcow2: { 'qemu-nbd': 2.5 } },
  },
  {
    name: '4 KiB random write, depth 32',
    fio: ['--rw=randwrite', '--bs=4k', '--iodepth=32'],
    aims: { raw: { 'qemu-nbd': 2, nbdkit: 0.9 }, qcow2: { 'qemu-nbd': 2 } },
  },
  {
    name: '4 KiB random read, depth 1',
    fio: ['--rw=randread', '--bs=4k', '--iodepth=1'],
    aims: { raw: { nbdkit: 1.5 }, qcow2: {} },
  },
  {
    name: '4 KiB random write, depth 1',
    fio: ['--rw=randwrite', '--bs=4k', '--iodepth=1'],
    aims: { raw: { nbdkit: 1.5 }, qcow2: {} },
  },
  {
    name: '1 MiB read, depth 4',
    fio: ['--rw=read', '--bs=1m', '--iodepth=4'],
    aims: { raw: { nbdkit: 1 }, qcow2: {} },
  },
];

interface Measured {
  /** Requests, or MiB, in a second. */
  readonly value: number;
  /** Processor time of the server for each, in µs. */
  readonly cpuUs: number;
}

/** Who can serve images of this format here; ours comes first. */
function servers(format: Format, image: string): Map<string, Command> {
  const socket = socketOf(image);
  const options = ['-t', '-e', '0', '-f', format, '--cache=writeback', '-k', socket, image];
  const found = new Map([['blockyard', ours('nbd', ...options)]]);
  const qemu = theirs('qemu-nbd', ...options);
  if (qemu) found.set('qemu-nbd', qemu);
  const nbdkit = format === 'raw' ? theirs('nbdkit', '-f', '-U', socket, 'file', image) : undefined;
  if (nbdkit) found.set('nbdkit', nbdkit);
  return found;
}

export async function benchNbd(report: Report, rounds: number): Promise<void> {
  if (!theirs('fio')) {
    report.heading('NBD: not measured, fio is not installed');
    return;
  }
  const folder = memoryFolder();
  try {
    const raw = join(folder, 'disk');
    makeImage(raw, imageBytes);
    for (const format of ['raw', 'qcow2'] as const) {
      report.heading(`NBD server, ${format}, 512 MiB`);
      await benchFormat(report, rounds, folder, raw, format);
    }
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

async function benchFormat(
  report: Report,
  rounds: number,
  folder: string,
  raw: string,
  format: Format,
): Promise<void> {
  const running: Server[] = [];
  try {
    for (const name of servers(format, '').keys()) {
      // Each has an image of its own: none is disturbed by another's writes or locks.
      const image = join(folder, `${name}.${format}`);
      await run(ours('img', 'convert', '-f', 'raw', '-O', format, raw, image));
      const command = servers(format, image).get(name)!; // the same names as before
      running.push(await Server.start(name, image, command));
    }
    for (const { name, fio, aims } of works)
      await compareServers(report, running, rounds, name, 'IOPS', aims[format], (server) =>
        requests(server, fio),
      );
    if (!theirs('nbdcopy')) return;
    const aims: Aims = format === 'raw' ? { nbdkit: 1 } : {};
    const copies = [
      ['nbdcopy out', (server: Server) => copy(server, server.uri, 'null:')],
      ['nbdcopy in', (server: Server) => copy(server, raw, server.uri)],
    ] as const;
    for (const [name, measure] of copies)
      await compareServers(report, running, rounds, name, 'MiB/s', aims, measure);
  } finally {
    for (const server of running) await server.stop();
    for (const { image } of running) rmSync(image);
  }
}

/** All servers in turn, `rounds` times; the medians of their rates, and of the ratios of those of each round. */
async function compareServers(
  report: Report,
  servers: readonly Server[],
  rounds: number,
  name: string,
  unit: string,
  aims: Aims,
  measure: (server: Server) => Promise<Measured>,
): Promise<void> {
  const all = new Map<string, Measured[]>(servers.map((server) => [server.name, []]));
  for (let round = 0; round < rounds; round++)
    for (const server of servers) all.get(server.name)!.push(await measure(server)); // it was made of the same
  const mine = all.get('blockyard')!; // always served
  const cpuOf = (samples: readonly Measured[]): number => median(samples.map(({ cpuUs }) => cpuUs));
  const cpu = { name: '  processor time for each', unit: 'µs', ours: cpuOf(mine) };
  const row = { name, unit, ours: summary(mine) };
  if (servers.length === 1) report.addRow(row);
  for (const [rival, theirs] of all) {
    if (theirs === mine) continue;
    const aim = aims[rival as keyof Aims];
    report.addRow({ ...row, rival, theirs: summary(theirs), ...judged(mine, theirs, 'higher', rival, aim) });
    report.add({ ...cpu, rival, theirs: cpuOf(theirs), ratio: cpuOf(theirs) / cpu.ours });
  }
}

async function requests(server: Server, options: readonly string[]): Promise<Measured> {
  const before = server.cpuSeconds();
  const { rate, requests } = await runFio(server.uri, options, seconds);
  return { value: rate, cpuUs: ((server.cpuSeconds() - before) * 1e6) / requests };
}

async function copy(server: Server, from: string, to: string): Promise<Measured> {
  const before = server.cpuSeconds();
  const { seconds: taken } = await run({ program: 'nbdcopy', args: [from, to] });
  const mebibytes = imageBytes / (1 << 20);
  return { value: mebibytes / taken, cpuUs: ((server.cpuSeconds() - before) * 1e6) / mebibytes };
}
