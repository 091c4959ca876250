/**
 * `blockyard demo`: the main job, from nothing and on real files.
 *
 * Two qcow2 disks, a writer that appends linked records to both without a pause, one QMP transaction that starts a
 * backup of each, and the proof from the two backups alone that they show one instant. Then a transaction whose second
 * action cannot start, and that nothing of the first is left. At last both disks are backed up into a repository, again and again, and lost;
 * and the writer goes on from there, before anything is restored.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { constants, tmpdir } from 'node:os';
import { join } from 'node:path';
import { BlockBackend } from '../../block/backend.ts';
import { createImage } from '../../block/create.ts';
import type { BlockGraph } from '../../block/graph.ts';
import type { BlockNode } from '../../block/node.ts';
import { Perm } from '../../block/permissions.ts';
import { drivers } from '../../drivers.ts';
import {
  type LinkedRecordProof,
  proveOneInstant,
  RecordWriter,
} from '../../emulator/guest/linked-records.ts';
import { joinedConnections } from '../../platform/joined-connections.ts';
import { nodePlatform } from '../../platform/node/index.ts';
import { formatJson } from '../../qapi/json-output.ts';
import { QmpClient, type QmpError, type QmpEvent } from '../../qmp/client.ts';
import { commands } from '../../qmp/commands/index.ts';
import { QmpServer } from '../../qmp/server.ts';
import { optionTexts } from '../manual/option-texts.ts';
import { fromSpecs, helpText } from '../manual/options.ts';
import { endingSignals } from '../shared/daemon.ts';
import { ExitStatus } from '../shared/exit-status.ts';
import { describeUsageError, OptionReader, type OptionSpec, UsageError } from '../shared/getopt.ts';
import { streamOf } from '../shared/terminal.ts';
import { runTool, Tool } from '../shared/tool.ts';
import { DemoRepository } from './repository.ts';

const MiB = 1 << 20;
const diskBytes = 768 * MiB;
/** Where the writer appends; what lies behind is data that was there before. */
const recordBytes = 512 * MiB;
const filledBytes = 192 * MiB;
const warmUpNs = 300_000_000;
const pollNs = 50_000_000;
const names = ['A', 'B'] as const;
/** Of the disks with those names. */
const nodes = ['diskA', 'diskB'] as const;
const repositoryBackups = 3;
const betweenBackupsNs = 500_000_000;

const { clock } = nodePlatform;
/** The demo tells its own story: the lines that creating an image prints are left out. */
const platform = { ...nodePlatform, console: { ...nodePlatform.console, stdout: () => {} } };
const say = (line: string): void => void streamOf(1).write(`${line}\n`);
const sleep = (ns: number): Promise<void> => new Promise((resolve) => void clock.setTimer(ns, resolve));

const removeAttempts = 10;

interface JobInfo {
  device: string;
  len: number;
  offset: number;
}

export async function main(argv: string[], programName: string): Promise<number> {
  const tool = new Tool(programName);
  return runTool(tool, async () => {
    await takeOptions(tool, argv);
    const folder = mkdtempSync(join(tmpdir(), 'blockyard-demo-'));
    const remove = (): void => removeWhole(folder);
    const leave = (signal: NodeJS.Signals): void => {
      remove();
      // At once: what runs would find its disks gone. The status is what shells say of a program that a signal has ended.
      process.exit(128 + constants.signals[signal]);
    };
    for (const signal of endingSignals) process.once(signal, leave);
    try {
      return await run(folder);
    } finally {
      for (const signal of endingSignals) process.off(signal, leave);
      remove();
    }
  });
}

/** Requests that are under way may still make files in it: nobody begins another one, so a few attempts meet them all. */
function removeWhole(folder: string): void {
  for (let left = removeAttempts; ; left--) {
    try {
      rmSync(folder, { recursive: true, force: true });
      return;
    } catch (error) {
      if (left === 0 || (error as NodeJS.ErrnoException).code !== 'ENOTEMPTY') throw error;
    }
  }
}

export const specs: readonly OptionSpec[] = [
  { short: 'h', long: 'help' },
  { short: 'T', long: 'trace', argument: true },
];

const usage = `Usage: blockyard demo [OPTIONS]

Backs up two live disks at one instant, and proves it from the backups alone; then loses them, and runs from a backup.

${helpText(fromSpecs(specs, optionTexts.demo))}`;

async function takeOptions(tool: Tool, argv: readonly string[]): Promise<void> {
  const reader = new OptionReader(argv, specs);
  try {
    for (const { name, value } of reader.options()) {
      if (name === 'trace') (await tool.trace()).take(value);
      else {
        tool.out(usage);
        throw new ExitStatus(0);
      }
    }
  } catch (error) {
    if (!(error instanceof UsageError)) throw error;
    tool.fail(describeUsageError(error));
  }
  const [operand] = reader.operands;
  if (operand !== undefined) tool.fail(`unexpected argument '${operand}'; it takes none`);
  (await tool.trace()).begin();
}

async function run(folder: string): Promise<number> {
  const server = new QmpServer({ platform, drivers, commands });
  say('1. Two qcow2 disks, a storage daemon, and a writer that never pauses');
  for (const name of names) {
    await createImage(server.graph, {
      filename: join(folder, `${name}.qcow2`),
      format: 'qcow2',
      size: diskBytes,
    });
  }
  const [ours, theirs] = joinedConnections();
  server.connect(theirs);
  const qmp = await QmpClient.connect(ours);
  for (const name of names) {
    await qmp.run('blockdev-add', {
      driver: 'qcow2',
      'node-name': `disk${name}`,
      file: { driver: 'file', filename: join(folder, `${name}.qcow2`) },
    });
  }
  const disks = [
    await attach(server.graph.getNode('diskA')),
    await attach(server.graph.getNode('diskB')),
  ] as const;
  for (const disk of disks) await fill(disk);
  const writer = new RecordWriter([recordArea(disks[0]), recordArea(disks[1])], clock);
  const writing = writer.run();
  await sleep(warmUpNs);
  say(
    `   each disk holds ${filledBytes / MiB} MiB of data; the writer appended ${writer.written[0]} records to each`,
  );
  const before = writer.intervalsNs.length;

  const ok = await backUp(folder, qmp, writer, before);
  const undone = await rollBack(folder, qmp, writer);
  const repository = await backUpAgainAndAgain(folder, server.graph, qmp);
  writer.stop();
  await writing;
  for (const disk of disks) await disk.close();
  await server.stop();
  await server.close();
  const ran = await runFrom(repository, folder);
  say(ok && undone && ran ? '\nAll of it holds.' : '\nFAILED: see above.');
  return ok && undone && ran ? 0 : 1;
}

/** The transaction while the writer goes on, and the proof. */
async function backUp(
  folder: string,
  qmp: QmpClient,
  writer: RecordWriter,
  before: number,
): Promise<boolean> {
  say('\n2. One transaction, two backups, while the writer goes on');
  const targets = names.map((name) => join(folder, `backup-${name}.qcow2`));
  const actions = names.map((name, i) => ({
    type: 'drive-backup',
    data: {
      device: `disk${name}`,
      'job-id': `backup-${name}`,
      target: targets[i],
      format: 'qcow2',
      sync: 'full',
    },
  }));
  const failures: string[] = [];
  let left = actions.length;
  const finished = new Promise<void>((resolve) => {
    qmp.on('*', ({ event, data }) => {
      if (event !== 'BLOCK_JOB_COMPLETED' && event !== 'BLOCK_JOB_CANCELLED') return;
      if (data['error'] !== undefined || event !== 'BLOCK_JOB_COMPLETED') failures.push(JSON.stringify(data));
      if (--left === 0) resolve();
    });
  });
  const start = clock.nowNs();
  await qmp.run('transaction', { actions });
  const progress = showProgress(qmp, () => left > 0);
  await finished;
  const seconds = (clock.nowNs() - start) / 1e9;
  await progress;
  const during = writer.intervalsNs.slice(before);
  const [rateBefore, rateDuring] = [rateOf(writer.intervalsNs.slice(0, before)), rateOf(during)];
  const copied = (2 * filledBytes) / MiB;
  say(`   ${copied} MiB in ${seconds.toFixed(2)} s: ${Math.round(copied / seconds)} MiB/s`);
  say(`   the writer: ${rateBefore} records/s before, ${rateDuring} during; ${describeLatency(during)}`);
  for (const failure of failures) say(`   FAILED: ${failure}`);
  const proof = await prove(targets);
  say(`   backup A has ${proof.records[0]} records, backup B ${proof.records[1]}; the disks go on past them`);
  for (const violation of proof.violations.slice(0, 5)) say(`   VIOLATION: ${violation}`);
  const same = proof.violations.length === 0 && proof.records[0] > 0;
  if (same) say('   no record names one that the other backup lacks: both show one instant');
  return same && failures.length === 0 && during.length > 0;
}

/** A transaction that cannot start, and what it leaves. */
async function rollBack(folder: string, qmp: QmpClient, writer: RecordWriter): Promise<boolean> {
  say('\n3. A transaction whose second action cannot start');
  const nodesBefore = await nodeNames(qmp);
  const events: QmpEvent[] = [];
  const endListening = qmp.on('*', (event) => void events.push(event));
  const answer = qmp.run('transaction', {
    actions: names.map((name, i) => ({
      type: 'drive-backup',
      data: {
        device: `disk${name}`,
        'job-id': `again-${name}`,
        target: i === 0 ? join(folder, 'again.qcow2') : join(folder, 'missing', 'again.qcow2'),
        format: 'qcow2',
        sync: 'full',
      },
    })),
  });
  const refusal = await answer.then(
    () => undefined,
    (error: QmpError) => error,
  );
  endListening();
  say(`   <- ${describeAnswer(refusal).replaceAll(folder, '…')}`);
  say(`   events: ${events.map(({ data }) => `${String(data['id'])} ${String(data['status'])}`).join(', ')}`);
  const jobs = (await qmp.run('query-block-jobs')) as unknown as JobInfo[];
  const nodes = await nodeNames(qmp);
  const written = writer.written[0];
  await sleep(pollNs);
  const goesOn = writer.written[0] > written;
  const clean = jobs.length === 0 && nodes === nodesBefore;
  say(
    `   left behind: ${jobs.length} jobs, ${clean ? 'no' : 'SOME'} nodes; the writer ${goesOn ? 'goes on' : 'STOPPED'}`,
  );
  return refusal !== undefined && clean && goesOn;
}

/** Backups into a repository, a while apart, while the writer goes on. */
async function backUpAgainAndAgain(
  folder: string,
  graph: BlockGraph,
  qmp: QmpClient,
): Promise<DemoRepository> {
  say('\n4. A repository as restic has them, and backups into it while the writer goes on');
  const repository = await DemoRepository.make(platform, join(folder, 'repository'));
  for (let i = 0; i < repositoryBackups; i++) {
    const start = clock.nowNs();
    const { snapshot, newBytes } = await repository.backUp(graph, qmp, nodes, folder);
    const seconds = ((clock.nowNs() - start) / 1e9).toFixed(2);
    say(
      `   snapshot ${snapshot.slice(0, 8)}: ${(newBytes / MiB).toFixed(1)} MiB that were new, in ${seconds} s`,
    );
    await sleep(betweenBackupsNs);
  }
  return repository;
}

/** Both disks are gone. The writer goes on where the last backup was. */
async function runFrom(repository: DemoRepository, folder: string): Promise<boolean> {
  say('\n5. The disks are destroyed; the machine starts again from the repository, with nothing restored');
  for (const name of names) rmSync(join(folder, `${name}.qcow2`));
  const server = new QmpServer({ platform, drivers, commands });
  const [ours, theirs] = joinedConnections();
  server.connect(theirs);
  const qmp = await QmpClient.connect(ours);
  const start = clock.nowNs();
  for (const node of nodes)
    await repository.run(server.graph, qmp, node, join(folder, `${node}.overlay.qcow2`));
  const ms = ((clock.nowNs() - start) / 1e6).toFixed(0);
  const disks = [
    await attach(server.graph.getNode(nodes[0])),
    await attach(server.graph.getNode(nodes[1])),
  ] as const;
  const areas = [recordArea(disks[0]), recordArea(disks[1])] as const;
  const { records, violations } = await proveOneInstant(areas);
  say(`   both disks were there after ${ms} ms: ${records[0]} records on A, ${records[1]} on B`);
  for (const violation of violations.slice(0, 5)) say(`   VIOLATION: ${violation}`);
  const writer = new RecordWriter(areas, clock);
  [writer.written[0], writer.written[1]] = records;
  const writing = writer.run();
  await sleep(warmUpNs);
  writer.stop();
  await writing;
  const after = await proveOneInstant(areas);
  const more = after.records[0] - records[0];
  for (const violation of after.violations.slice(0, 5)) say(`   VIOLATION: ${violation}`);
  const same = violations.length === 0 && after.violations.length === 0 && records[0] > 0 && more > 0;
  if (same) say(`   they show one instant; the writer went on from there, and appended ${more} records`);
  for (const disk of disks) await disk.close();
  await server.stop();
  await server.close();
  return same;
}

/** As it comes over the wire. */
function describeAnswer(refusal: QmpError | undefined): string {
  if (!refusal) return '{"return": {}}';
  return formatJson({ error: { class: refusal.errorClass, desc: refusal.message } });
}

async function nodeNames(qmp: QmpClient): Promise<string> {
  const nodes = (await qmp.run('query-named-block-nodes', { flat: true })) as unknown as {
    'node-name': string;
  }[];
  return nodes.map((node) => node['node-name']).join(' ');
}

function attach(node: BlockNode): Promise<BlockBackend> {
  return BlockBackend.attach(node, {
    name: 'root',
    description: 'the writer',
    perm: Perm.consistentRead | Perm.write,
    shared: Perm.all,
  });
}

function recordArea(disk: BlockBackend): { length: number } & Pick<BlockBackend, 'read' | 'write'> {
  return {
    length: recordBytes,
    read: (offset, buffer) => disk.read(offset, buffer),
    write: (offset, buffer) => disk.write(offset, buffer),
  };
}

async function fill(disk: BlockBackend): Promise<void> {
  const chunk = new Uint8Array(MiB);
  nodePlatform.random.fill(chunk);
  for (let offset = recordBytes; offset < recordBytes + filledBytes; offset += MiB)
    await disk.write(offset, chunk);
}

async function prove(targets: readonly string[]): Promise<LinkedRecordProof> {
  const server = new QmpServer({ platform, drivers, commands });
  const copies: BlockBackend[] = [];
  for (const target of targets) {
    const node = await server.graph.openFile(target, { format: 'qcow2', flags: { readOnly: true } });
    copies.push(
      await BlockBackend.attach(node, {
        name: 'root',
        description: 'the proof',
        perm: Perm.consistentRead,
        shared: Perm.all,
      }),
    );
    await server.graph.unref(node);
  }
  const proof = await proveOneInstant([recordArea(copies[0]!), recordArea(copies[1]!)]); // of two targets
  for (const copy of copies) await copy.close();
  return proof;
}

/** A bar per job, redrawn in place on a terminal, otherwise one line now and then. */
async function showProgress(qmp: QmpClient, running: () => boolean): Promise<void> {
  const output = streamOf(1);
  const inPlace = output.isTTY === true;
  let polls = 0;
  for (; running(); polls++) {
    const jobs = (await qmp.run('query-block-jobs')) as unknown as JobInfo[];
    if (jobs.length > 0) {
      const bars = [...jobs]
        .reverse()
        .map(({ device, len, offset }) => `${device} ${bar(len === 0 ? 1 : offset / len)}`);
      if (inPlace) output.write(`\r   ${bars.join('   ')}`);
      else if (polls % 4 === 0) say(`   ${bars.join('   ')}`);
    }
    await sleep(pollNs);
  }
  if (inPlace) output.write('\r\x1b[K');
}

const barCells = 20;

function bar(done: number): string {
  const filled = Math.round(done * barCells);
  return `[${'#'.repeat(filled)}${'.'.repeat(barCells - filled)}] ${String(Math.floor(done * 100)).padStart(3)}%`;
}

function rateOf(intervalsNs: readonly number[]): number {
  const total = intervalsNs.reduce((sum, ns) => sum + ns, 0);
  return total === 0 ? 0 : Math.round((intervalsNs.length / total) * 1e9);
}

function describeLatency(intervalsNs: readonly number[]): string {
  const sorted = [...intervalsNs].sort((a, b) => a - b);
  const at = (share: number): string =>
    `${((sorted[Math.floor(sorted.length * share)] ?? 0) / 1e6).toFixed(2)} ms`;
  return `99 % of records within ${at(0.99)}, the slowest ${((sorted.at(-1) ?? 0) / 1e6).toFixed(1)} ms`;
}
