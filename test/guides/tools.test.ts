/**
 * The page about the tools, host/cli/README.md: its recipes are run as printed, one after the other, and what they make is judged;
 * the messages that it explains are messages that there are.
 */
import { spawnSync } from 'node:child_process';
import { mkdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { proveOneInstant } from '../../host/emulator/guest/linked-records.ts';
import { bundle } from '../support/cli.ts';
import { recordDiskOf } from '../support/record-disk.ts';
import { scratchDirectory } from '../support/scratch.ts';
import { haveQemu } from '../support/tools.ts';
import { installedV86 } from '../support/v86.ts';
import { host, withoutComments } from '../tidy/sources.ts';

const scratch = scratchDirectory();
const [binaries, folder] = [scratch('bin'), scratch('work')];
const root = resolve(import.meta.dirname, '../..');
const page = readFileSync(join(root, 'host/cli/README.md'), 'utf8');

/** Node with no right but to load the program. */
const permission = process.allowedNodeEnvironmentFlags.has('--permission') ? '' : 'experimental-';
const bounds = `--${permission}permission --no-warnings --allow-fs-read=${root}/ --allow-fs-read=${binaries}/`;

/** The text of each block under a heading, in order. */
function blocksOf(heading: string): string[] {
  const [, section = ''] = page.split(`\n## ${heading}\n`);
  const blocks = section.replace(/^## [\s\S]*/m, '').matchAll(/^```\w*\n([\s\S]*?)^```$/gm);
  return [...blocks].map(([, text]) => text!); // the group is no option
}

/** Everything that the lines print. */
function shell(lines: string): { status: number | null; text: string } {
  const { status, stdout, stderr } = spawnSync('sh', ['-e'], {
    cwd: folder,
    input: `PATH='${binaries}':$PATH\nexec 2>&1\n${lines}\n`,
    env: { ...process.env, BOUNDS: bounds },
    encoding: 'utf8',
    timeout: 60_000,
  });
  return { status, text: stdout + stderr };
}

beforeAll(() => {
  for (const made of [binaries, folder]) mkdirSync(made);
  symlinkSync(bundle, join(binaries, 'blockyard'));
});

// Those that a test which failed has left in the background.
afterAll(() => shell('for file in *.pid; do kill $(cat $file) || true; done'));

describe.skipIf(!installedV86 || !haveQemu)('the recipe', () => {
  const nightly = 'Back up running disks every night, and restore one';

  test('of nightly backups copies running disks at one instant, and restores them', async () => {
    const [machine, program, nights, printed, restore, restored] = blocksOf(nightly);
    writeFileSync(join(folder, 'nightly.mjs'), program!); // the six blocks are there, or nothing of this holds
    expect(shell(machine!)).toEqual({ status: 0, text: '' });
    shell('until grep -qs found guest.log; do sleep 0.2; done\nsleep 1');
    expect(shell(nights!)).toEqual({ status: 0, text: printed });
    expect(shell(restore!)).toEqual({ status: 0, text: restored });
    const disks = ['a', 'b'].map((name) => recordDiskOf(join(folder, `${name}.restored.qcow2`)));
    const { records, violations } = await proveOneInstant([disks[0]!, disks[1]!]); // of two names
    expect(violations).toEqual([]);
    expect(records[0]).toBeGreaterThan(0);
  }, 90_000);

  test('of nightly backups goes on after a restart of the machine, and begins anew when a backup is lost', () => {
    const [machine] = blocksOf(nightly);
    const started = machine!.split('\n').at(-2)!; // its last line
    const night = 'node nightly.mjs qmp.sock backups';
    const outcome = (what: string, number: number): string =>
      [0, 1].map((disk) => `ide0-hd${disk}-${number}.qcow2: ${what}\n`).join('');
    const restarted = `while [ -e vm.pid ]; do sleep 0.1; done\n${started}\ntouch backups/ide0-hd0-3.qcow2.part`;
    expect(shell(`${restarted}\n${night}`).text).toBe(outcome('what has changed', 3));
    // Without its last backup a bitmap is worth nothing.
    expect(shell(`rm backups/*-3.qcow2\n${night}\nkill $(cat vm.pid)`).text).toBe(outcome('full', 3));
  }, 90_000);

  test('of disks that stay finds what was written before', () => {
    const [lines, printed] = blocksOf('v86 with disks that stay');
    expect(shell(lines!)).toEqual({ status: 0, text: printed }); // both are there, or this fails
  }, 90_000);
});

test("the recipe of links in place of QEMU's tools prints what is said", () => {
  const [lines, printed] = blocksOf("In place of QEMU's tools");
  expect(shell(lines!)).toEqual({ status: 0, text: printed }); // both are there, or this fails
});

test('the recipe of disks that run from their backups prints what is said', () => {
  const [lines, printed] = blocksOf('Run a disk from its backup before it is restored');
  expect(shell(lines!)).toEqual({ status: 0, text: printed }); // both are there, or this fails
});

test('the recipe of measuring prints what is said', () => {
  const [lines, printed] = blocksOf('Measure it yourself');
  const masked = (text: string): string => text.replace(/[\d.]+(?= seconds)/, 'N');
  const { status, text } = shell(lines!); // the block is there, or the next line fails
  expect({ status, text: masked(text) }).toEqual({ status: 0, text: masked(printed!) });
});

describe('the messages', () => {
  /** Those of other programs, which the page explains too. */
  const notOurs = [
    "Cannot find package '@cloudpss/zstd'",
    'SignatureDoesNotMatch',
    'NoSuchBucket',
    'AccessDenied',
  ];
  const messages = [...page.matchAll(/^\| (`.*?`) \| /gm)].flatMap(([, cell]) =>
    [...cell!.matchAll(/`([^`]+)`/g)].map(([, message]) => message!),
  );
  /** What prints the messages that are put together of several. */
  const runs = `
    blockyard img create -q -f raw base.raw 1M
    blockyard img create -q -f qcow2 -b base.raw -F raw overlay.qcow2
    blockyard img create -q -f qcow2 busy.qcow2 1M
    blockyard system -drive file=busy.qcow2,format=qcow2 -daemonize -pidfile busy.pid
    blockyard img info busy.qcow2 || true
    blockyard io -c 'read 0 512' busy.qcow2 || true
    kill $(cat busy.pid)
    NODE_OPTIONS="$BOUNDS" blockyard img info base.raw || true
    blockyard img create -q -f qcow2 -o cluster_size=512 small.qcow2 1M
    blockyard img rebase -u -b base.raw small.qcow2 || true
    blockyard img rebase -u -b $(printf '%0500d' 0) -F raw small.qcow2 || true
    mv base.raw gone.raw
    blockyard io -c 'read 0 512' overlay.qcow2 || true`;

  const isPartOf =
    (text: string) =>
    (message: string): boolean =>
      message
        .split('…')
        .map((part) => part.trim())
        .every((part) => text.includes(part));

  test('are printed by a tool, or stand in the sources', () => {
    const { text: printed, status } = shell(runs);
    expect(status, printed).toBe(0);
    const texts = [printed, ...host.map(({ text }) => withoutComments(text).replaceAll("\\'", "'"))];
    const unknown = messages.filter((message) => !texts.some((text) => isPartOf(text)(message)));
    expect(unknown).toEqual(notOurs);
    expect(messages.length).toBeGreaterThan(40);
  }, 60_000);
});
