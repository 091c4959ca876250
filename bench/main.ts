/**
 * `npm run bench [-- OPTIONS]`: everything that blockyard claims about speed, measured side by side with QEMU's tools in one run.
 *
 * Sides take turns, so that both meet the same machine; figures are medians of the rounds. Images on tmpfs and on the disk's
 * file system are in the page cache: results hold for that case.
 */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { benchBulk } from './bulk.ts';
import { benchCore } from './core.ts';
import { benchEmulator } from './emulator.ts';
import { described, environment, loadNow } from './environment.ts';
import { benchGrowth } from './growth.ts';
import { ask, benchGuest } from './guest.ts';
import { benchHttpBoot } from './http-boot.ts';
import { type Images, makeImages, memoryFolder, memoryRoot, type Place } from './images.ts';
import { benchJobs } from './jobs.ts';
import { benchNbd } from './nbd.ts';
import { benchNbdClient } from './nbd-client.ts';
import { benchNbdGuest } from './nbd-guest.ts';
import { benchRandomIo } from './random-io.ts';
import { Report, type Results } from './report.ts';
import { changes, readResults, table } from './results.ts';
import { benchSize } from './size.ts';
import { benchStart } from './start.ts';
import { benchStore } from './store.ts';

/** What a part is given. */
interface Run {
  readonly report: Report;
  readonly rounds: number;
  readonly seconds: number;
  /** On the disk; empty but for the images. */
  readonly folder: string;
  readonly places: readonly Place[];
  /** Made when the first part asks for them. */
  readonly images: () => Promise<Images>;
}

const parts: Readonly<Record<string, (run: Run) => Promise<void>>> = {
  core: ({ report }) => benchCore(report),
  io: async ({ report, rounds, folder, images }) => benchRandomIo(report, rounds, folder, await images()),
  bulk: ({ report, rounds, places }) => benchBulk(report, rounds, places),
  jobs: ({ report, rounds, places }) => benchJobs(report, rounds, places),
  store: ({ report, rounds, places }) => benchStore(report, rounds, places),
  start: async ({ report, rounds, images }) => benchStart(report, rounds, await images()),
  nbd: async ({ report, rounds }) => {
    await benchNbd(report, rounds);
    await benchNbdClient(report, rounds);
  },
  guest: async ({ report, folder, seconds }) => {
    await benchGuest(report, folder);
    await benchNbdGuest(report, seconds);
  },
  emulator: ({ report, folder }) => benchEmulator(report, folder),
  'http-boot': ({ report, folder }) => benchHttpBoot(report, folder),
  growth: ({ report, rounds, places }) => benchGrowth(report, rounds, places.at(-1)!.folder), // there is the disk
  size: ({ report }) => benchSize(report),
};

const { values: options } = parseArgs({
  options: {
    help: { type: 'boolean', short: 'h' },
    json: { type: 'string' },
    compare: { type: 'string' },
    table: { type: 'string' },
    rounds: { type: 'string', default: '7' },
    seconds: { type: 'string', default: '60' },
    only: { type: 'string', multiple: true },
    // How this program starts its own client: see guest.ts.
    ask: { type: 'string' },
  },
});

const usage = `Usage: npm run bench -- [OPTIONS]

Measures what blockyard claims about speed, side by side with QEMU's tools where they are installed.

  --only PART      ${Object.keys(parts).join(', ')}; may be given several times
  --rounds N       measure each N times, all sides in turn, and take the median (7)
  --seconds N      how long a guest over NBD is measured, alone and with a backup (60)
  --json FILE      write the results to a file, too
  --compare FILE   what changed since the run that wrote that file
  --table FILE     print the README's table of the run that wrote that file, and measure nothing`;

function numberOf(option: 'rounds' | 'seconds'): number {
  const number = Number(options[option]);
  if (!Number.isInteger(number) || number < 1)
    throw new Error(`--${option} takes a whole number from 1 on, not '${options[option]}'`);
  return number;
}

async function main(): Promise<void> {
  if (options.help) console.log(usage);
  else if (options.ask !== undefined) await ask(options.ask);
  else if (options.table !== undefined) console.log(table(readResults(options.table)));
  else await measure();
}

async function measure(): Promise<void> {
  const unknown = options.only?.find((part) => !Object.hasOwn(parts, part));
  if (unknown !== undefined)
    throw new Error(`there is no part '${unknown}': ${Object.keys(parts).join(', ')}`);
  const before = options.compare === undefined ? undefined : readResults(options.compare);
  const [rounds, seconds, report] = [numberOf('rounds'), numberOf('seconds'), new Report()];
  const folder = mkdtempSync(join(tmpdir(), 'blockyard-bench-'));
  const memory = memoryRoot && memoryFolder();
  try {
    const machine = environment();
    console.log(`${described(machine)}\nload before: ${machine.loadBefore}; medians of ${rounds} rounds`);
    console.log(`${''.padEnd(46)}  ${'blockyard'.padStart(16)}  ${'QEMU'.padStart(16)}`);
    let made: Promise<Images> | undefined;
    const run: Run = {
      ...{ report, rounds, seconds, folder },
      places: [
        { name: 'the disk', folder },
        ...(memory === undefined ? [] : [{ name: 'tmpfs' as const, folder: memory }]),
      ],
      images: () => (made ??= makeImages(folder)),
    };
    for (const part of options.only ?? Object.keys(parts)) await parts[part]!(run); // checked above
    const judged = report.rows.filter((row) => row.aim);
    const short = judged.filter((row) => !row.aim!.met); // those that have one
    console.log(
      short.length === 0
        ? '\nEvery aim is met.'
        : `\n${short.length} of ${judged.length} aims are not met:\n${short.map(({ heading, name }) => `  ${heading}: ${name}`).join('\n')}`,
    );
    console.log(`load after: ${loadNow()}`);
    const results: Results = { environment: machine, rounds, rows: report.rows };
    if (options.json !== undefined) writeFileSync(options.json, `${JSON.stringify(results, null, 2)}\n`);
    if (before)
      console.log(['', `since ${before.environment.date}:`, ...changes(before, results)].join('\n'));
  } finally {
    for (const made of [folder, memory])
      if (made !== undefined) rmSync(made, { recursive: true, force: true });
  }
}

try {
  await main();
} catch (error) {
  console.error(`bench: ${error instanceof Error ? error.message : String(error)}`);
  process.exitCode = 1;
}
