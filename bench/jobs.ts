/**
 * Block jobs with nothing beside them, on the disk and on tmpfs: a transaction that backs up two drives, and a mirror, an active
 * commit and a stream of 512 MiB. Measured from the command to the event, in a process that was ready. The floor is `cp`.
 */
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { type Compare, comparison, timed } from './compare.ts';
import { makeImage, type Place } from './images.ts';
import { QmpChild } from './qmp.ts';
import type { Report, Sample } from './report.ts';
import { type Command, ours, run, theirs } from './side.ts';

const imageBytes = 512 << 20;
const machine = ['-machine', 'none', '-nodefaults', '-display', 'none', '-qmp', 'stdio'];
const monitor = ['--chardev', 'stdio,id=c', '--monitor', 'chardev=c'];

type Path = (name: string) => string;

const qcow2 = (name: string, filename: string): object => ({
  driver: 'qcow2',
  'node-name': name,
  file: { driver: 'file', filename },
});

interface Job {
  readonly name: string;
  /** Files that it starts with; made anew for each. */
  readonly files: (path: Path) => Promise<unknown>;
  readonly nodes: (path: Path) => readonly object[];
  readonly start: (qmp: QmpChild, path: Path) => Promise<unknown>;
  readonly done: (qmp: QmpChild) => Promise<unknown>;
  readonly isSystem?: boolean;
  readonly copies?: number;
  readonly headline?: string;
}

const created = (path: string, ...backing: string[]): Promise<unknown> =>
  run(ours('img', 'create', '-q', '-f', 'qcow2', ...backing, path, `${imageBytes}`));

const jobs: readonly Job[] = [
  {
    name: 'two drives, drive-backup in a transaction',
    files: async () => {},
    nodes: (path) => [qcow2('drive0', path('first')), qcow2('drive1', path('second'))],
    start: (qmp, path) =>
      qmp.run('transaction', {
        actions: [0, 1].map((i) => ({
          type: 'drive-backup',
          data: {
            device: `drive${i}`,
            target: path(`out${i}`),
            sync: 'full',
            format: 'qcow2',
            'job-id': `j${i}`,
          },
        })),
      }),
    done: (qmp) => qmp.jobsCompleted(2),
    isSystem: true,
    copies: 2,
    headline: 'two drives backed up by one transaction',
  },
  {
    name: 'mirror',
    files: (path) => created(path('out0')),
    nodes: (path) => [qcow2('disk', path('first')), qcow2('target', path('out0'))],
    start: (qmp) =>
      qmp.run('blockdev-mirror', { 'job-id': 'j', device: 'disk', target: 'target', sync: 'full' }),
    done: (qmp) => qmp.event('BLOCK_JOB_READY'),
  },
  {
    name: 'active commit',
    files: async (path) => {
      await created(path('out1'));
      await run({ program: 'cp', args: [path('first'), path('out0')] });
      await run(ours('img', 'rebase', '-u', '-f', 'qcow2', '-b', path('out1'), '-F', 'qcow2', path('out0')));
    },
    nodes: (path) => [qcow2('disk', path('out0'))],
    start: (qmp) => qmp.run('block-commit', { 'job-id': 'j', device: 'disk' }),
    done: (qmp) => qmp.event('BLOCK_JOB_READY'),
  },
  {
    name: 'stream',
    files: (path) => created(path('out0'), '-b', path('first'), '-F', 'qcow2'),
    nodes: (path) => [qcow2('disk', path('out0'))],
    start: (qmp) => qmp.run('block-stream', { 'job-id': 'j', device: 'disk' }),
    done: (qmp) => qmp.jobsCompleted(1),
  },
];

export async function benchJobs(report: Report, rounds: number, places: readonly Place[]): Promise<void> {
  const compare = comparison(report, rounds);
  for (const place of places) await benchPlace(report, compare, place);
}

async function benchPlace(report: Report, compare: Compare, { name, folder }: Place): Promise<void> {
  report.heading(`jobs, 512 MiB of data each, on ${name}`);
  const path: Path = (file) => join(folder, file);
  const clear = (): void => {
    for (const file of ['out0', 'out1']) rmSync(path(file), { force: true });
  };
  makeImage(path('raw'), imageBytes);
  for (const file of ['first', 'second'])
    await run(ours('img', 'convert', '-f', 'raw', '-O', 'qcow2', path('raw'), path(file)));
  for (const job of jobs) {
    const measure = (command: Command) => async (): Promise<Sample> => {
      clear();
      return await runJob(job, command, path);
    };
    const real = job.isSystem
      ? theirs('qemu-system-x86_64', ...machine)
      : theirs('qemu-storage-daemon', ...monitor);
    const copy = `for i in $(seq 0 ${(job.copies ?? 1) - 1}); do cp "$0" "$1$i"; done`;
    await compare(job.name, 's', 'lower', {
      ours: measure(ours('storage-daemon', ...monitor)),
      theirs: real && measure(real),
      floor: {
        name: 'cp',
        measure: timed({ program: 'sh', args: ['-c', copy, path('raw'), path('out')] }, clear),
      },
      aim: 1,
      headline: job.headline && `${job.headline}, on ${name}`,
    });
  }
  clear();
  for (const file of ['raw', 'first', 'second']) rmSync(path(file));
}

async function runJob(job: Job, command: Command, path: Path): Promise<Sample> {
  await job.files(path);
  const qmp = await QmpChild.start(command);
  for (const node of job.nodes(path)) await qmp.run('blockdev-add', node);
  const done = job.done(qmp);
  const cpuBefore = qmp.cpuSeconds();
  const start = process.hrtime.bigint();
  await job.start(qmp, path);
  await done;
  const sample = {
    value: Number(process.hrtime.bigint() - start) / 1e9,
    cpuSeconds: qmp.cpuSeconds() - cpuBefore,
    peakMiB: qmp.peakMiB(),
  };
  await qmp.quit();
  return sample;
}
