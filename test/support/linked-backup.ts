/**
 * One backup of two disks under load, from nothing to the proof, on any platform.
 *
 * A writer appends linked records to both disks while two drive-backups start at a moment that the seed chooses; how
 * the disks and the backups are made is chosen by it too. The backups are then read in a server of their own, and
 * nothing but their content says whether they show one instant.
 */
import type { BlockBackend } from '../../host/block/backend.ts';
import { createImage } from '../../host/block/create.ts';
import { Perm } from '../../host/block/permissions.ts';
import { drivers } from '../../host/drivers.ts';
import {
  proveOneInstant,
  type RecordDisk,
  RecordWriter,
  recordBytes,
} from '../../host/emulator/guest/linked-records.ts';
import type { Platform } from '../../host/platform/platform.ts';
import type { QmpClient, QmpEvent } from '../../host/qmp/client.ts';
import { commands } from '../../host/qmp/commands/index.ts';
import { QmpServer } from '../../host/qmp/server.ts';
import { attach, attachAlone, readWrite } from './attach.ts';
import { connectClient } from './local-client.ts';
import type { Seeded } from './seeded.ts';
import { kib } from './units.ts';

const names = ['A', 'B'] as const;
type Name = (typeof names)[number];
type Format = 'raw' | 'qcow2';

export interface BackupPlan {
  diskBytes: number;
  /** Where records go; the rest holds data from before. */
  recordAreaBytes: number;
  source: { format: Format; clusterBytes: number; backing: boolean };
  target: { format: Format; mode: 'absolute-paths' | 'existing'; clusterBytes: number };
  sync: 'full' | 'top' | 'none';
  completionMode: 'individual' | 'grouped' | undefined;
  speed: number;
  maxWorkers: number;
  /** Records on each disk when the backups are started. */
  recordsBefore: number;
  /** How the backups are started: by one transaction, or by a command each. */
  start: 'transaction' | 'separately';
}

/** Slow backups take a second or two, so the area must have room for what the writer does in some of that. */
export function choosePlan(
  random: Seeded,
  recordAreaBytes: number,
  start: BackupPlan['start'] = 'transaction',
): BackupPlan {
  const sync = random.pick(['full', 'full', 'full', 'top', 'none'] as const);
  return {
    diskBytes: recordAreaBytes + random.pick([0, 64 * kib, 512 * kib, 1024 * kib + 1536]),
    recordAreaBytes,
    source: {
      // Only qcow2 has a layer below or can be seen through.
      format: sync === 'top' ? 'qcow2' : random.pick(['qcow2', 'qcow2', 'raw']),
      clusterBytes: random.pick([512, 4 * kib, 64 * kib, 256 * kib]),
      backing: sync === 'top',
    },
    target: {
      format: sync === 'full' ? random.pick(['qcow2', 'raw']) : 'qcow2',
      mode: sync === 'full' ? random.pick(['absolute-paths', 'existing']) : 'absolute-paths',
      clusterBytes: random.pick([512, 64 * kib, 128 * kib]),
    },
    sync,
    completionMode: random.pick([undefined, 'individual', 'grouped']),
    speed: random.pick([0, 0, 0, recordAreaBytes, 16 * recordAreaBytes]),
    maxWorkers: random.pick([64, 64, 1, 2]),
    recordsBefore: random.below(120),
    start,
  };
}

export interface BackupOutcome {
  /** Records in backup A and in backup B. */
  records: [number, number];
  violations: string[];
  /** Records on disk A when the backups were asked for, when that was answered, and at the end. */
  written: { before: number; answered: number; end: number };
}

/** Runs `plan` with files whose names start with `prefix`. Errors: any that a command or a job reports. */
export async function backUpUnderLoad(
  platform: Platform,
  prefix: string,
  plan: BackupPlan,
  random: Seeded,
): Promise<BackupOutcome> {
  const server = new QmpServer({ platform, drivers, commands });
  const qmp = await connectClient(server);
  const disks = [] as BlockBackend[];
  if (plan.target.mode === 'existing') await makeTargets(server, prefix, plan);
  for (const name of names) disks.push(await makeDisk(server, qmp, prefix, name, plan));
  const areas = disks.map((disk) => recordArea(disk, plan)) as [RecordDisk, RecordDisk];
  const writer = new RecordWriter(areas, platform.clock);
  const writing = writer.run();
  await goneOn(platform, writer, plan, plan.recordsBefore);
  await pause(platform, random.below(100_000));

  const jobs = watchJobs(qmp);
  const written = { before: writer.written[0], answered: 0, end: 0 };
  await startBackups(platform, qmp, prefix, plan, random);
  written.answered = writer.written[0];
  if (plan.sync === 'none') {
    // The backups see through to the disks: those must stand still before nothing is saved any more.
    await pause(platform, random.below(3_000_000));
    await goneOn(platform, writer, plan, written.answered + 1);
    writer.stop();
    await writing;
    // One job of a group takes the other along.
    const grouped = plan.start === 'transaction' && plan.completionMode === 'grouped';
    for (const name of grouped ? names.slice(0, 1) : names)
      await qmp.run('block-job-cancel', { device: `backup-${name}` });
  }
  await jobs.finished;
  await goneOn(platform, writer, plan, written.answered + 1);
  writer.stop();
  await writing;
  written.end = writer.written[0];
  const wanted = plan.sync === 'none' ? 'BLOCK_JOB_CANCELLED' : 'BLOCK_JOB_COMPLETED';
  const wrong = jobs.ends.filter(({ event, data }) => event !== wanted || data['error'] !== undefined);
  if (wrong.length > 0) throw new Error(`jobs ended with ${JSON.stringify(wrong)}`);
  for (const disk of disks) await disk.close();
  await server.stop();
  await server.close();
  return { ...(await prove(platform, prefix, plan)), written };
}

/** Settles when there are so many records. Errors: they do not fit. */
async function goneOn(
  { clock }: Platform,
  { written }: RecordWriter,
  { recordAreaBytes }: BackupPlan,
  records: number,
): Promise<void> {
  const room = recordAreaBytes / recordBytes;
  if (records > room) throw new Error(`the writer has filled its ${room} slots too early`);
  while (written[1] < records) await clock.yield();
}

function pause(platform: Platform, ns: number): Promise<void> {
  return new Promise((resolve) => void platform.clock.setTimer(ns, resolve));
}

async function makeDisk(
  server: QmpServer,
  qmp: QmpClient,
  prefix: string,
  name: Name,
  { source, diskBytes, recordAreaBytes }: BackupPlan,
): Promise<BlockBackend> {
  const { graph } = server;
  const filename = `${prefix}disk-${name}`;
  const base = `${prefix}base-${name}`;
  const own = { filename, format: source.format, size: diskBytes, quiet: true };
  if (source.backing) {
    await createImage(graph, { ...own, filename: base });
    const below = await attachAlone(await graph.openFile(base, { format: source.format }), readWrite);
    await fill(below, recordAreaBytes, 1);
    await below.close();
  }
  await createImage(graph, {
    ...own,
    ...(source.format === 'qcow2' ? { values: { cluster_size: source.clusterBytes } } : {}),
    ...(source.backing ? { backingFile: base, backingFormat: source.format } : {}),
  });
  await qmp.run('blockdev-add', {
    driver: source.format,
    'node-name': `disk${name}`,
    file: { driver: 'file', filename },
  });
  const disk = await attach(graph.getNode(`disk${name}`), readWrite);
  if (!source.backing) await fill(disk, recordAreaBytes, 2);
  return disk;
}

async function makeTargets(
  { graph }: QmpServer,
  prefix: string,
  { target, diskBytes }: BackupPlan,
): Promise<void> {
  for (const name of names) {
    await createImage(graph, {
      filename: `${prefix}backup-${name}`,
      format: target.format,
      size: diskBytes,
      quiet: true,
      ...(target.format === 'qcow2' ? { values: { cluster_size: target.clusterBytes } } : {}),
    });
  }
}

async function fill(disk: BlockBackend, from: number, value: number): Promise<void> {
  const bytes = disk.length - from;
  if (bytes > 0) await disk.write(from, new Uint8Array(bytes).fill(value));
}

function recordArea(disk: BlockBackend, { recordAreaBytes }: BackupPlan): RecordDisk {
  return {
    length: recordAreaBytes,
    read: (offset, buffer) => disk.read(offset, buffer),
    write: (offset, buffer) => disk.write(offset, buffer),
  };
}

function watchJobs(qmp: QmpClient): { finished: Promise<void>; ends: QmpEvent[] } {
  const ends: QmpEvent[] = [];
  let left = names.length;
  const finished = new Promise<void>((resolve) => {
    qmp.on('*', (event) => {
      if (event.event === 'BLOCK_JOB_COMPLETED' || event.event === 'BLOCK_JOB_CANCELLED') ends.push(event);
      if (event.data['status'] === 'null' && --left === 0) resolve();
    });
  });
  return { finished, ends };
}

async function startBackups(
  platform: Platform,
  qmp: QmpClient,
  prefix: string,
  plan: BackupPlan,
  random: Seeded,
): Promise<void> {
  const { target } = plan;
  const actions = [];
  for (const name of names) {
    const filename = `${prefix}backup-${name}`;
    const data = {
      'job-id': `backup-${name}`,
      device: `disk${name}`,
      target: filename,
      format: target.format,
      mode: target.mode,
      sync: plan.sync,
      speed: plan.speed,
      'x-perf': { 'max-workers': plan.maxWorkers },
    };
    actions.push({ type: 'drive-backup', data });
  }
  if (plan.start === 'transaction') {
    const properties =
      plan.completionMode === undefined ? {} : { properties: { 'completion-mode': plan.completionMode } };
    await qmp.run('transaction', { actions, ...properties });
  } else {
    for (const { type, data } of actions) {
      await qmp.run(type, data);
      await pause(platform, random.below(1_000_000));
    }
  }
}

async function prove(platform: Platform, prefix: string, plan: BackupPlan) {
  const server = new QmpServer({ platform, drivers, commands });
  const copies: BlockBackend[] = [];
  for (const name of names) {
    const node = await server.graph.openFile(`${prefix}backup-${name}`, {
      format: plan.target.format,
      flags: { readOnly: true },
    });
    copies.push(await attachAlone(node, Perm.consistentRead));
  }
  const areas = copies.map((copy) => recordArea(copy, plan)) as [RecordDisk, RecordDisk];
  const proof = await proveOneInstant(areas);
  for (const copy of copies) {
    const bytes = copy.length - plan.recordAreaBytes;
    const rest = new Uint8Array(bytes);
    if (bytes > 0) await copy.read(plan.recordAreaBytes, rest);
    const value = plan.source.backing ? 1 : 2;
    if (rest.some((byte) => byte !== value)) proof.violations.push('old data is not what it was');
    await copy.close();
  }
  return proof;
}
