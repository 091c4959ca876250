/**
 * `npm run bench [-- --json FILE] [--rounds N] [--seconds N] [--only PART]`: everything that blockyard claims about speed, measured
 * side by side with QEMU's tools in one run. PART is one of io, nbd, convert, backup, guest, emulator,
 * http-boot, start, size, core.
 *
 * Images are 1 GiB, freshly written and so in the page cache; results hold for that case.
 */
import { mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { benchSeconds, comparison } from './compare.ts';
import { benchCore } from './core.ts';
import { benchEmulator } from './emulator.ts';
import { ask, benchGuest } from './guest.ts';
import { benchHttpBoot } from './http-boot.ts';
import { makeImages } from './images.ts';
import { benchNbd } from './nbd.ts';
import { benchNbdClient } from './nbd-client.ts';
import { benchNbdGuest } from './nbd-guest.ts';
import { QmpChild } from './qmp.ts';
import { Report } from './report.ts';
import { type Command, median, ours, run, theirs } from './side.ts';

const { values: options } = parseArgs({
  options: {
    help: { type: 'boolean', short: 'h' },
    json: { type: 'string' },
    rounds: { type: 'string', default: '5' },
    seconds: { type: 'string', default: '60' },
    only: { type: 'string' },
    // How this program starts its own client: see guest.ts.
    ask: { type: 'string' },
  },
});
if (options.help) {
  console.log(`Usage: npm run bench -- [OPTIONS]

Measures what blockyard claims about speed, side by side with QEMU's tools where they are installed.

  --only PART    io, nbd, convert, backup, guest, emulator, http-boot, start, size or core
  --rounds N     measure each N times and take the median (5)
  --seconds N    how long a guest over NBD is measured, alone and with a backup (60)
  --json FILE    write the results to a file, too`);
  process.exit();
}
const rounds = Number(options.rounds);
const report = new Report();
const compare = comparison(report, rounds);
const folder = options.ask === undefined ? mkdtempSync(join(tmpdir(), 'blockyard-bench-')) : '';

async function benchIo(images: { qcow2: string; raw: string }): Promise<void> {
  report.heading('4 KiB requests across the whole 1 GiB image, in no order the page cache could guess');
  // A stride coprime to the number of blocks visits every one, far from the one before.
  const stride = String(4096 * 98_317);
  for (const [format, path] of [
    ['qcow2', images.qcow2],
    ['raw', images.raw],
  ] as const) {
    for (const write of [false, true]) {
      for (const depth of [1, 32]) {
        const count = depth === 1 ? 60_000 : 200_000;
        const args = ['bench', '-f', format, '-c', `${count}`, '-d', `${depth}`, '-s', '4096', '-S', stride];
        if (write) args.push('-w');
        const rate = (command: Command) => async (): Promise<number> =>
          count / benchSeconds((await run(command)).stdout);
        const engine = depth === 1 ? 'threads' : 'io_uring';
        for (const aio of depth === 1 ? ['threads', 'io_uring'] : [engine]) {
          const qemu = theirs('qemu-img', ...args, '-i', aio, path);
          await compare(
            `${format} ${write ? 'write' : 'read'}, depth ${depth} (QEMU: ${aio})`,
            'IOPS',
            'higher',
            {
              ours: rate(ours('img', ...args, path)),
              theirs: qemu && rate(qemu),
              ...(!write && aio === 'io_uring' ? { aim: 1.2 } : {}),
            },
          );
        }
      }
    }
  }
}

async function benchConvert(images: { qcow2: string; raw: string }): Promise<void> {
  report.heading('convert, 1 GiB of data');
  const out = join(folder, 'out');
  for (const [from, to, source] of [
    ['raw', 'qcow2', images.raw],
    ['qcow2', 'raw', images.qcow2],
  ] as const) {
    const args = ['convert', '-f', from, '-O', to, source, out];
    let peakMiB = 0;
    const time =
      (command: Command, note = false) =>
      async (): Promise<number> => {
        rmSync(out, { force: true });
        const finished = await run(command);
        if (note) peakMiB = Math.max(peakMiB, finished.peakMiB);
        return finished.seconds;
      };
    const qemu = theirs('qemu-img', ...args);
    await compare(`${from} → ${to}`, 's', 'lower', {
      ours: time(ours('img', ...args), true),
      theirs: qemu && time(qemu),
      aim: 0.9,
    });
    report.add({
      name: `${from} → ${to}, peak resident memory`,
      unit: 'MiB',
      ours: peakMiB,
      aim: { text: 'under 200 MiB', met: peakMiB < 200 },
    });
  }
  rmSync(out, { force: true });
}

async function benchBackup(images: { qcow2: string; second: string }): Promise<void> {
  report.heading('one transaction, two drive-backups of 1 GiB each');
  const targets = [join(folder, 'backup0.qcow2'), join(folder, 'backup1.qcow2')];
  const time = (command: Command) => async (): Promise<number> => {
    for (const target of targets) rmSync(target, { force: true });
    const qmp = await QmpChild.start(command);
    for (const [i, filename] of [images.qcow2, images.second].entries()) {
      await qmp.run('blockdev-add', {
        driver: 'qcow2',
        'node-name': `drive${i}`,
        file: { driver: 'file', filename },
      });
    }
    const done = qmp.jobsCompleted(2);
    const start = process.hrtime.bigint();
    await qmp.run('transaction', {
      actions: targets.map((target, i) => ({
        type: 'drive-backup',
        data: { device: `drive${i}`, target, sync: 'full', format: 'qcow2', 'job-id': `job${i}` },
      })),
    });
    await done;
    const seconds = Number(process.hrtime.bigint() - start) / 1e9;
    await qmp.quit();
    return seconds;
  };
  const machine = ['-machine', 'none', '-nodefaults', '-display', 'none', '-qmp', 'stdio'];
  const qemu = theirs('qemu-system-x86_64', ...machine);
  await compare('two-drive transaction backup', 's', 'lower', {
    ours: time(ours('storage-daemon', '--chardev', 'stdio,id=c', '--monitor', 'chardev=c')),
    theirs: qemu && time(qemu),
    aim: 0.9,
  });
  for (const target of targets) rmSync(target, { force: true });
}

async function benchStart(images: { qcow2: string }): Promise<void> {
  report.heading('cold start');
  const seconds = (command: Command) => async (): Promise<number> => (await run(command)).seconds;
  const qemu = theirs('qemu-img', 'info', images.qcow2);
  const empty: number[] = [];
  const info: number[] = [];
  for (let round = 0; round < rounds * 3; round++) {
    empty.push(await seconds({ program: process.execPath, args: ['-e', '0'] })());
    info.push(await seconds(ours('img', 'info', images.qcow2))());
  }
  const factor = median(info) / median(empty);
  report.add({
    name: 'img info against an empty Node start',
    unit: 's',
    ours: median(info),
    theirs: median(empty),
    ratio: median(empty) / median(info),
    aim: { text: 'within 2 × of an empty start', met: factor <= 2 },
  });
  await compare('img info', 's', 'lower', {
    ours: seconds(ours('img', 'info', images.qcow2)),
    theirs: qemu && seconds(qemu),
  });
}

async function benchSize(images: { qcow2: string }): Promise<void> {
  report.heading('size');
  const bytes = statSync(resolve(import.meta.dirname, '../build/core.wasm')).size;
  report.add({
    name: 'core.wasm',
    unit: 'KiB',
    ours: bytes / 1024,
    aim: { text: '≤ 64 KiB', met: bytes <= 65_536 },
  });
  const huge = join(folder, 'huge.qcow2');
  await run(ours('img', 'create', '-q', '-f', 'qcow2', huge, '64T'));
  for (const [name, path] of [
    ['1 GiB', images.qcow2],
    ['64 TiB', huge],
  ] as const) {
    const times: number[] = [];
    let peakMiB = 0;
    for (let round = 0; round < rounds; round++) {
      const finished = await run(ours('io', '-f', 'qcow2', '-r', '-c', 'read -q 0 4k', path));
      times.push(finished.seconds);
      peakMiB = Math.max(peakMiB, finished.peakMiB);
    }
    report.add({ name: `open a ${name} image and read 4 KiB`, unit: 's', ours: median(times) });
    report.add({ name: `  peak resident memory`, unit: 'MiB', ours: peakMiB });
  }
}

async function main(): Promise<void> {
  if (options.ask === undefined) await measure();
  else await ask(options.ask);
}

async function measure(): Promise<void> {
  try {
    const wanted = (part: string): boolean => options.only === undefined || options.only === part;
    console.log('                                              blockyard               QEMU');
    if (wanted('core')) await benchCore(report);
    if (wanted('nbd')) {
      await benchNbd(report, rounds);
      await benchNbdClient(report, rounds);
    }
    if (wanted('guest')) {
      await benchGuest(report, folder);
      await benchNbdGuest(report, Number(options.seconds));
    }
    if (wanted('emulator')) await benchEmulator(report, folder);
    if (wanted('http-boot')) await benchHttpBoot(report, folder);
    if (!['core', 'nbd', 'guest', 'emulator', 'http-boot'].includes(options.only ?? '')) {
      const images = await makeImages(folder);
      if (wanted('io')) await benchIo(images);
      if (wanted('convert')) await benchConvert(images);
      if (wanted('backup')) await benchBackup(images);
      if (wanted('start')) await benchStart(images);
      if (wanted('size')) await benchSize(images);
    }
    const short = report.rows.filter((row) => row.aim && !row.aim.met);
    console.log(
      short.length === 0
        ? '\nEvery aim is met.'
        : `\n${short.length} of ${report.rows.filter((row) => row.aim).length} aims are not met.`,
    );
    if (options.json !== undefined) writeFileSync(options.json, `${JSON.stringify(report.rows, null, 2)}\n`);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

await main();
