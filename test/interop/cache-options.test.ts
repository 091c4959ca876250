/**
 * Options of the caches of a qcow2 image, generated, and what QEMU says of them: when a node is added, when it is reopened, as a drive,
 * and as options of an image. CACHE_CASES sets how many seeds there are, each of 40 cases; CACHE_SEED the first.
 */
import { execFileSync } from 'node:child_process';
import { mkdirSync } from 'node:fs';
import { describe, expect } from 'vitest';
import { bundle } from '../support/cli.ts';
import { type Message, runScript, startProgram, startQemu } from '../support/qmp-sessions.ts';
import { scratchDirectory } from '../support/scratch.ts';
import { Seeded } from '../support/seeded.ts';
import { testSeeds } from '../support/seeds.ts';
import { haveQemuSystem } from '../support/tools.ts';

const count = Number(process.env['CACHE_CASES'] ?? 2);
const first = Number(process.env['CACHE_SEED'] ?? 1);
const casesPerSeed = 40;

const options = ['-machine', 'none'];

const sizes = [
  0,
  1,
  511,
  512,
  4095,
  65_536,
  131_072,
  ...[262_143, 262_144, 262_145, 524_288, 1 << 20],
  ...[2 ** 31 - 1, 2 ** 31, 2 ** 32],
  // What nobody has.
  ...[2 ** 40, 2 ** 47, 2 ** 53, 2 ** 62],
  -1,
];
const entrySizes = [
  0,
  1,
  256,
  511,
  512,
  513,
  768,
  1024,
  4096,
  8192,
  65_535,
  65_536,
  131_072,
  2 ** 31,
  2 ** 32 + 512,
  -1,
];
const intervals = [0, 1, 600, 2 ** 31, 2 ** 32 - 1, 2 ** 32, 2 ** 62, -1];

const choices: readonly (readonly [string, readonly number[]])[] = [
  ['cache-size', sizes],
  ['l2-cache-size', sizes],
  ['refcount-cache-size', sizes],
  ['l2-cache-entry-size', entrySizes],
  ['cache-clean-interval', intervals],
];

function steps(random: Seeded): Message[] {
  const given = Object.fromEntries(
    choices.flatMap(([name, values]) => (random.oneIn(2) ? [[name, random.pick(values)]] : [])),
  );
  const node = { driver: 'qcow2', 'node-name': 'n', file: 'f', backing: null };
  const del = { execute: 'blockdev-del', arguments: { 'node-name': 'n' } };
  const hmp = (line: string): Message => ({
    execute: 'human-monitor-command',
    arguments: { 'command-line': line },
  });
  switch (random.below(3)) {
    case 0:
      return [{ execute: 'blockdev-add', arguments: { ...node, ...given } }, del];
    case 1: {
      const reopen = { execute: 'blockdev-reopen', arguments: { options: [{ ...node, ...given }] } };
      return [{ execute: 'blockdev-add', arguments: node }, reopen, del];
    }
    default: {
      const text = Object.entries(given).map(([name, value]) => `,${name}=${Math.abs(value)}`);
      return [hmp(`drive_add 0 if=none,id=d,file=f,driver=qcow2${text.join('')}`), hmp('drive_del d')];
    }
  }
}

describe.skipIf(!haveQemuSystem)('options of caches are taken and refused as by QEMU', () => {
  const scratch = scratchDirectory();

  testSeeds({ first, count, batch: 1 }, async (seed) => {
    const random = new Seeded(seed);
    const file = { driver: 'file', 'node-name': 'f', filename: 'a.qcow2' };
    const script: Message[] = [{ execute: 'blockdev-add', arguments: file }];
    for (let i = 0; i < casesPerSeed; i++) script.push(...steps(random));
    const answers = await Promise.all(
      ['real', 'ours'].map(async (side) => {
        const folder = scratch(`${side}${seed}`);
        mkdirSync(folder);
        const make = ['create', '-q', '-f', 'qcow2', 'a.qcow2', '1M'];
        execFileSync('qemu-img', make, { cwd: folder, stdio: 'pipe', timeout: 20_000 });
        const ours = [bundle, 'system', '-nodefaults', '-display', 'none', '-qmp', 'stdio', ...options];
        const session =
          side === 'real' ? startQemu(folder, options) : startProgram(process.execPath, ours, folder);
        try {
          return (await runScript(session, script)).filter(({ event }) => event === undefined);
        } finally {
          await session.close();
        }
      }),
    );
    // The first answer is the capabilities'.
    const [theirs, ours] = answers.map((messages) =>
      messages.slice(1).map((message, i) => [script[i], message]),
    );
    expect(ours).toEqual(theirs);
  });
});
