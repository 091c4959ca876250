/**
 * quorum against the real one: what is told of children that fail or say something else than most, and what becomes of
 * requests. How a copy job splits its reads is its own affair, so sectors are not compared there.
 */
import { execFileSync } from 'node:child_process';
import { cpSync, mkdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeEach, describe, expect, test } from 'vitest';
import { TwoFolders } from '../support/cli.ts';
import { ioCommands } from '../support/qemu.ts';
import {
  type QmpSession,
  runScript,
  startOurs,
  startStorageDaemon,
  statusOf,
} from '../support/qmp-sessions.ts';
import { scratchDirectory } from '../support/scratch.ts';
import { haveQemu } from '../support/tools.ts';
import { run } from './transcripts/scenario.ts';

const scratch = scratchDirectory();

type Child = { failing?: object[]; pattern?: number };

/** A child on its own file; `pattern` is what it has at 64 KiB, where others have zeros. */
function childOptions(index: number, { failing }: Child): object {
  const image = { driver: 'file', filename: `${index}.raw` };
  return failing
    ? { driver: 'blkdebug', 'node-name': `n${index}`, image, 'inject-error': failing }
    : { ...image, 'node-name': `n${index}` };
}

interface Case {
  children: readonly Child[];
  threshold: number;
  options?: object;
  /** Copies made one after another. */
  copies?: number;
}

const cases: Record<string, Case> = {
  'all agree': { children: [{}, {}, {}], threshold: 3 },
  'one is outvoted': { children: [{}, { pattern: 1 }, {}], threshold: 2 },
  'one is outvoted and corrected': {
    children: [{}, { pattern: 1 }, {}],
    threshold: 2,
    options: { 'rewrite-corrupted': true },
    copies: 2,
  },
  'two against two': { children: [{}, { pattern: 1 }, {}, { pattern: 1 }], threshold: 2 },
  'two against two, corrected': {
    children: [{}, { pattern: 1 }, {}, { pattern: 1 }],
    threshold: 2,
    options: { 'rewrite-corrupted': true },
  },
  'nobody wins': { children: [{}, { pattern: 1 }, { pattern: 2 }], threshold: 2 },
  'one cannot be read': { children: [{ failing: [{ event: 'none', errno: 28 }] }, {}, {}], threshold: 2 },
  'one cannot be read and one is wrong': {
    children: [{ failing: [{ event: 'none', errno: 28 }] }, {}, { pattern: 1 }],
    threshold: 1,
  },
  'too many cannot be read': {
    children: [{ failing: [{ event: 'none', errno: 28 }] }, { failing: [{ event: 'none', errno: 1 }] }, {}],
    threshold: 2,
  },
  'none can be read': {
    children: [1, 28, 28].map((errno) => ({ failing: [{ event: 'none', errno }] })),
    threshold: 1,
  },
  'the first that can be read counts': {
    children: [{ failing: [{ event: 'none', errno: 28 }] }, { pattern: 1 }, {}],
    threshold: 2,
    options: { 'read-pattern': 'fifo' },
  },
  'none can be read in order': {
    children: [28, 1].map((errno) => ({ failing: [{ event: 'none', errno }] })),
    threshold: 1,
    options: { 'read-pattern': 'fifo' },
  },
};

/** What a copy of the quorum to a file ends with, and what was told meanwhile of each child. */
async function copyOutcome(
  session: QmpSession,
  { children, threshold, options, copies = 1 }: Case,
): Promise<object> {
  const jobs = Array.from({ length: copies }, (_, index) => `j${index}`);
  const transcript = await runScript(session, [
    run('blockdev-add', { driver: 'file', filename: 'copy.raw', 'node-name': 'copy' }),
    run('blockdev-add', {
      driver: 'quorum',
      'node-name': 'q',
      'vote-threshold': threshold,
      children: children.map((child, index) => childOptions(index, child)),
      ...options,
    }),
    ...jobs.flatMap((id) => [
      run('blockdev-backup', {
        'job-id': id,
        device: 'q',
        target: 'copy',
        sync: 'full',
        'auto-dismiss': false,
      }),
      { wait: statusOf(id, 'concluded') },
      run('query-jobs'),
      run('job-dismiss', { id }),
    ]),
  ]);
  await session.close();
  const told = transcript
    .filter(({ event }) => event?.startsWith('QUORUM'))
    .map(({ event, data }) => {
      const { 'sector-num': _, 'sectors-count': __, ...rest } = data as Record<string, unknown>;
      return JSON.stringify({ event, ...rest });
    });
  const answers = transcript
    .filter((message) => 'return' in message || 'error' in message)
    .map((message) =>
      JSON.stringify(message, (key, value) => (key.endsWith('progress') ? undefined : value)),
    );
  return { told: [...new Set(told)].sort(), answers };
}

describe.skipIf(!haveQemu)('quorum copies as the real one does when', () => {
  test.each(Object.entries(cases))('%s', async (name, one) => {
    const [real, ours] = [scratch(`${name}.real`), scratch(`${name}.ours`)];
    mkdirSync(real);
    const make = (command: string): void =>
      void execFileSync('sh', ['-c', command], { cwd: real, stdio: 'pipe' });
    make('qemu-img create -q -f raw copy.raw 1M');
    one.children.forEach(({ pattern }, index) => {
      make(`qemu-img create -q -f raw ${index}.raw 1M`);
      if (pattern !== undefined) make(`qemu-io -f raw -c 'write -P ${pattern} 64k 4k' ${index}.raw`);
    });
    cpSync(real, ours, { recursive: true });
    const theirs = await copyOutcome(startStorageDaemon(real), one);
    expect(await copyOutcome(startOurs(ours), one)).toEqual(theirs);
    for (const file of ['copy.raw', ...one.children.map((_, index) => `${index}.raw`)]) {
      const [a, b] = [real, ours].map((folder) => readFileSync(join(folder, file)));
      expect({ file, same: Buffer.compare(a!, b!) }).toEqual({ file, same: 0 });
    }
  });
});

describe.skipIf(!haveQemu)('quorum and blkverify answer qemu-io as the real ones do', () => {
  const folders = haveQemu ? new TwoFolders() : undefined;
  afterAll(() => folders?.remove());

  beforeEach(() => {
    for (const [index, pattern] of [1, 2, 3].entries()) {
      folders!.prepare('qemu-img', 'create', '-q', '-f', 'raw', `${index}.raw`, '1M');
      folders!.prepare('qemu-io', '-f', 'raw', '-c', `write -P ${pattern} 64k 4k`, `${index}.raw`);
    }
    folders!.prepare('qemu-img', 'create', '-q', '-f', 'qcow2', 'disk.qcow2', '1M');
    folders!.prepare('qemu-img', 'create', '-q', '-f', 'raw', 'long.raw', '2M');
  });

  const children = (count: number): string =>
    Array.from({ length: count }, (_, i) => `children.${i}.driver=file,children.${i}.filename=${i}.raw`).join(
      ',',
    );
  const quorum = (count: number, threshold: number, more = ''): string =>
    `driver=quorum,vote-threshold=${threshold},${children(count)}${more}`;
  const all = ioCommands(
    'length',
    'read -P 0 0 64k',
    'read -v 64k 16',
    'read -P 0 60k 1000',
    'read 60k 8k',
    'write -P 5 100 1000',
    'read -P 5 100 1000',
    'write -z 0 512',
    'write -z -u 64k 512',
    'read -P 0 64k 512',
    'discard 0 64k',
    'flush',
    'truncate 2M',
    'map',
    'alloc 0 1M',
    'read 1M 1',
  );

  const compare = async (args: string[]): Promise<void> => {
    const { ours, theirs } = await folders!.both('qemu-io', args);
    expect(ours).toEqual(theirs);
  };

  test.each([
    quorum(3, 1),
    quorum(3, 2),
    quorum(3, 3),
    quorum(3, 1, ',rewrite-corrupted=on'),
    quorum(3, 2, ',read-pattern=fifo'),
    quorum(1, 1),
    quorum(2, 2, ',blkverify=on'),
    quorum(3, 4),
    quorum(3, 0),
    quorum(0, 1),
    quorum(2, 1, ',blkverify=on'),
    quorum(2, 2, ',blkverify=on,rewrite-corrupted=on'),
    quorum(1, 1, ',children.2.driver=null-co'),
    quorum(1, 1, ',children.1.driver=file,children.1.filename=long.raw'),
    quorum(1, 1, ',children.1=zz'),
    quorum(1, 1, ',children.1.driver=file,children.1.filename=absent.raw'),
    quorum(1, 1, ',foo=1'),
    quorum(1, 2, ',children.1.driver=blkdebug,children.1.image.driver=file,children.1.image.filename=1.raw'),
    `driver=quorum,${children(1)}`,
  ])('%s', async (options) => {
    await compare([...all, '--image-opts', options]);
  });

  const faulty = (which: string, rule: string): string =>
    `${which}.driver=blkdebug,${which}.image.driver=file,${which}.image.filename=0.raw,${which}.inject-error.0.event=none${rule}`;

  test.each([
    ['read 0 512', 'write 64k 4k', 'read 64k 4k', 'flush', 'length', 'map'],
    ['read 64k 4k'],
    ['read 60k 5000'],
    ['discard 0 64k', 'read 0 64k'],
  ])('blkverify of two raw files: %s', async (...lines) => {
    const raw = 'driver=blkverify,raw.driver=file,raw.filename=0.raw,test.driver=file,test.filename=1.raw';
    await compare([...ioCommands(...lines), '--image-opts', raw]);
  });

  test.each([
    'blkverify:long.raw:disk.qcow2',
    'blkverify:0.raw:disk.qcow2',
    'blkverify:disk.qcow2',
    'blkverify:absent:0.raw',
    'blkverify:0.raw:absent',
    'blkverify:',
    'blkverify::',
  ])('%s', async (name) => {
    await compare([
      ...ioCommands('length', 'write -P 1 0 64k', 'read -P 1 0 64k', 'read 60k 8k'),
      '-f',
      'raw',
      name,
    ]);
    const { ours, theirs } = await folders!.both('qemu-img', ['info', name]);
    expect(ours).toEqual(theirs);
  });

  test.each([
    `${faulty('test', '')},raw.driver=file,raw.filename=1.raw`,
    `${faulty('test', ',test.inject-error.0.once=on')},raw.driver=file,raw.filename=1.raw`,
    `${faulty('raw', ',raw.inject-error.0.errno=28')},test.driver=file,test.filename=1.raw`,
    `${faulty('raw', ',raw.inject-error.0.iotype=write')},test.driver=file,test.filename=1.raw`,
    `${faulty('raw', ',raw.inject-error.0.iotype=flush')},test.driver=file,test.filename=1.raw`,
    `test.driver=null-co,${faulty('raw', '')}`,
    `test.driver=file,test.filename=1.raw`,
    `raw.driver=file,raw.filename=1.raw`,
  ])('blkverify with failing children: %s', async (options) => {
    await compare([
      ...ioCommands('read 0 512', 'write 0 512', 'flush'),
      '--image-opts',
      `driver=blkverify,${options}`,
    ]);
  });
});
