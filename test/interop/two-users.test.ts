/**
 * Two users of one node, drawn from seeds: devices, exports, jobs, nodes above it and what is done to it once. Whether the second
 * is let in, and the words if it is not, are QEMU's. TWO_USERS sets how many seeds there are, TWO_USERS_SEED the first; each
 * has 12 pairs, every one with nodes of its own.
 */
import { mkdirSync } from 'node:fs';
import { describe, expect } from 'vitest';
import { bundle } from '../support/cli.ts';
import {
  type Message,
  type QmpSession,
  runScript,
  startProgram,
  startQemu,
} from '../support/qmp-sessions.ts';
import { scratchDirectory } from '../support/scratch.ts';
import { Seeded } from '../support/seeded.ts';
import { testSeeds } from '../support/seeds.ts';
import { haveQemuSystem } from '../support/tools.ts';

const count = Number(process.env['TWO_USERS'] ?? 2);
const first = Number(process.env['TWO_USERS_SEED'] ?? 1);
const pairsPerSeed = 12;

const scratch = scratchDirectory();
const machine = ['-S', '-machine', 'pc', '-device', 'virtio-scsi-pci'];

const run = (execute: string, args: object): Message => ({ execute, arguments: args });

interface Place {
  readonly node: string;
  /** Of the same length, and nobody else's. */
  readonly other: string;
  /** Begins every name that the user gives. */
  readonly id: string;
  readonly random: Seeded;
}

/** Only now and then, so that both what holds and what does not is said of it. */
function some(random: Seeded, options: object): object {
  return Object.fromEntries(Object.entries(options).filter(() => random.oneIn(2)));
}

type User = (place: Place) => Message;

const device =
  (driver: string): User =>
  ({ node, id, random }) =>
    run('device_add', { driver, id, drive: node, ...some(random, { 'share-rw': true }) });

/** Slow, so that it is there when the next one comes. */
const job =
  (execute: string, options: object): User =>
  ({ node, other, id, random }) => {
    const [device, target] = random.oneIn(3) ? [other, node] : [node, other];
    return run(execute, { 'job-id': id, device, target, sync: 'full', speed: 1, ...options });
  };

const above =
  (driver: string): User =>
  ({ node, id, random }) =>
    run('blockdev-add', { driver, 'node-name': id, file: node, ...some(random, { 'read-only': true }) });

const users: readonly User[] = [
  device('virtio-blk-pci'),
  device('scsi-hd'),
  device('scsi-cd'),
  ({ node, id, random }) =>
    run('block-export-add', {
      type: 'nbd',
      id,
      name: id,
      'node-name': node,
      ...some(random, { writable: true }),
    }),
  job('blockdev-backup', {}),
  job('blockdev-mirror', {}),
  above('raw'),
  above('copy-on-read'),
  ({ node, id }) => run('blockdev-add', { driver: 'blkdebug', 'node-name': id, image: node }),
  ({ node, other, id }) =>
    run('blockdev-add', { driver: 'copy-before-write', 'node-name': id, file: node, target: other }),
  ({ node, id }) =>
    run('blockdev-add', { driver: 'throttle', 'node-name': id, file: node, 'throttle-group': 'g' }),
  ({ node, id }) =>
    run('blockdev-add', { driver: 'quorum', 'node-name': id, children: [node], 'vote-threshold': 1 }),
  ({ node, id }) => run('block-dirty-bitmap-add', { node, name: id }),
  ({ node }) => run('block_resize', { 'node-name': node, size: 512 }),
  ({ node }) => run('blockdev-del', { 'node-name': node }),
  ({ node, random }) =>
    run('blockdev-reopen', {
      options: [{ driver: 'null-co', 'node-name': node, ...some(random, { 'read-only': true }) }],
    }),
  ({ node }) => run('x-blockdev-set-iothread', { 'node-name': node, iothread: null }),
];

function pair(random: Seeded, number: number): Message[] {
  const [node, other] = [`n${number}`, `o${number}`];
  const add = (name: string, options: object): Message =>
    run('blockdev-add', { driver: 'null-co', 'node-name': name, 'read-zeroes': true, ...options });
  const places = ['a', 'b'].map((letter) => ({ node, other, id: `${letter}${number}`, random }));
  return [
    add(node, random.oneIn(4) ? { 'read-only': true } : {}),
    add(other, {}),
    ...places.map((place) => random.pick(users)(place)),
  ];
}

const setup = [
  run('object-add', { 'qom-type': 'throttle-group', id: 'g' }),
  run('nbd-server-start', { addr: { type: 'unix', data: { path: 'nbd' } } }),
];

async function answers(session: QmpSession, steps: readonly Message[]): Promise<Message[]> {
  try {
    const messages = await runScript(session, steps);
    // What happens to jobs is for other tests.
    return messages.filter(({ event }) => event === undefined).slice(1);
  } finally {
    await session.close();
  }
}

describe.skipIf(!haveQemuSystem)('two users of one node get on, or do not, as with QEMU', () => {
  testSeeds({ first, count, batch: 1 }, async (seed) => {
    const random = new Seeded(seed);
    const folder = (name: string): string => {
      const path = scratch(`${seed}.${name}`);
      mkdirSync(path);
      return path;
    };
    const steps = [...setup, ...Array.from({ length: pairsPerSeed }, (_, i) => pair(random, i)).flat()];
    const [theirs, ours] = await Promise.all([
      answers(startQemu(folder('theirs'), machine), steps),
      answers(
        startProgram(
          process.execPath,
          [bundle, 'system', '-nodefaults', '-qmp', 'stdio', ...machine],
          folder('ours'),
        ),
        steps,
      ),
    ]);
    const told = (messages: readonly Message[]): object[] =>
      steps.map((step, i) => ({ step: JSON.stringify(step), ...messages[i] }));
    expect(told(ours)).toEqual(told(theirs));
  });
});
