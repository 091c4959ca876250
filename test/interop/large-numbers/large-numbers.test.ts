/**
 * Numbers beyond 2^53, on command lines and in QMP: ours reads, refuses and shows them as QEMU does. NUMBERS sets how many seeds
 * there are, NUMBERS_SEED the first; each has 40 lines, and 10 conversations with a monitor.
 */
import { readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect } from 'vitest';
import { main as storageDaemon } from '../../../host/cli/storage-daemon/main.ts';
import { masked, type Outcome, runProgram, TwoFolders } from '../../support/cli.ts';
import { runOwn } from '../../support/own-tools.ts';
import { type QmpSession, startOurs, startStorageDaemon } from '../../support/qmp-sessions.ts';
import { Seeded } from '../../support/seeded.ts';
import { testSeeds } from '../../support/seeds.ts';
import { haveQemu } from '../../support/tools.ts';
import { type Answers, isExplained } from './differences.ts';
import { randomConversation, randomLine, type ToolLine } from './random-line.ts';

const count = Number(process.env['NUMBERS'] ?? 2);
const first = Number(process.env['NUMBERS_SEED'] ?? 1);
const linesPerSeed = 40;
const conversationsPerSeed = 10;

describe.skipIf(!haveQemu)('large numbers are what they are to QEMU', () => {
  let folders: TwoFolders;
  const images = new Map<string, Buffer>();

  beforeAll(() => {
    folders = new TwoFolders();
    folders.img('create -q -f raw r.raw 128k');
    folders.img('create -q -f qcow2 a.qcow2 128k');
    folders.img('create -q -f qcow2 -b a.qcow2 -F qcow2 over.qcow2');
    for (const name of readdirSync(folders.theirs))
      images.set(name, readFileSync(join(folders.theirs, name)));
  });
  afterAll(() => folders?.remove());

  function restore(): void {
    for (const folder of [folders.ours, folders.theirs]) {
      for (const name of readdirSync(folder)) if (!images.has(name)) rmSync(join(folder, name));
      for (const [name, content] of images) writeFileSync(join(folder, name), content);
    }
  }

  /** What was printed, and how long the files are that it left. */
  function told({ status, stdout, stderr }: Outcome, folder: string): string {
    const lengths = readdirSync(folder).map((name) => `${name} ${statSync(join(folder, name)).size}`);
    return [status, stdout, stderr, ...lengths].join('\n');
  }

  async function compareLine({ tool, args }: ToolLine): Promise<Answers> {
    restore();
    const cwd = process.cwd();
    const real = runProgram(tool, args, folders.theirs);
    process.chdir(folders.ours);
    try {
      const own = tool === 'qemu-storage-daemon' ? runOwnDaemon(args) : runOwn(tool, args);
      const [ours, theirs] = await Promise.all([own, real]);
      return {
        line: [tool, ...args].join(' '),
        ours: told(masked(ours), folders.ours),
        theirs: told(masked(theirs), folders.theirs),
      };
    } finally {
      process.chdir(cwd);
    }
  }

  testSeeds({ first, count, batch: 1 }, async (seed) => {
    const random = new Seeded(seed);
    const answers: Answers[] = [];
    for (let i = 0; i < linesPerSeed; i++) answers.push(await compareLine(randomLine(random)));
    restore();
    for (let i = 0; i < conversationsPerSeed; i++) {
      const texts = randomConversation(random);
      const [ours, theirs] = await Promise.all([
        converse(startOurs(folders.ours), texts),
        converse(startStorageDaemon(folders.theirs), texts),
      ]);
      answers.push({ line: texts.join('\n'), ours: ours.join('\n'), theirs: theirs.join('\n') });
    }
    const unexplained = answers.filter((one) => one.ours !== one.theirs && !isExplained(one));
    expect(unexplained).toEqual([]);
  });
});

async function runOwnDaemon(args: string[]): Promise<Outcome> {
  let stdout = '';
  let stderr = '';
  const terminal = {
    out: (part: string) => void (stdout += part),
    error: (part: string) => void (stderr += part),
  };
  const status = await storageDaemon(args, 'qemu-storage-daemon', terminal);
  return { status, stdout, stderr };
}

/** What a session gives when its program has ended. */
const gone = '{"gone": true}';

const nodes = [
  '{"execute":"qmp_capabilities"}',
  '{"execute":"blockdev-add","arguments":{"driver":"null-co","node-name":"z"}}',
  '{"execute":"blockdev-add","arguments":{"driver":"qcow2","node-name":"q","file":{"driver":"file","filename":"a.qcow2"}}}',
];

/** The answers as text, in which all digits are. A program that has gone answers so for the rest. */
async function converse(session: QmpSession, texts: readonly string[]): Promise<string[]> {
  try {
    await session.next(); // the greeting
    for (const text of nodes) await answer(session, text);
    const answers: string[] = [];
    for (const text of texts) answers.push(answers.includes(gone) ? gone : await answer(session, text));
    return answers;
  } finally {
    await session.close();
  }
}

async function answer(session: QmpSession, text: string): Promise<string> {
  session.send(text);
  for (;;) {
    const line = await session.next();
    if (line === gone) return line;
    if (!/"event": /.test(line)) return line.replace(/#block\d+/g, '#block');
  }
}
