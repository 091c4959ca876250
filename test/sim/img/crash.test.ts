/**
 * What a crash can do to an image that a subcommand of `img` changes: at any moment it reads as before or as afterwards,
 * through the backing file that it names then, and so does the base; both are sound but for clusters that nothing uses; and
 * a dirty bitmap that counts as consistent misses nothing. An image that is being repaired can be repaired.
 *
 * CRASH_STATES is how many states there are of each change, CRASH_SEED the first seed of the images.
 */
import { describe, expect, test } from 'vitest';
import type { CreateValues } from '../../../host/block/driver.ts';
import { crashStates, createSimulation, type SimStorage } from '../../../host/platform/sim/index.ts';
import { changesFor, type ImageChange, prepare, shapes } from './changes.ts';
import { runImg } from './simulated-img.ts';
import {
  Checker,
  contentOf,
  digest,
  instantly,
  look,
  makeStorage,
  names,
  repaired,
  type Shown,
} from './subject.ts';

const wantedStates = Number(process.env['CRASH_STATES'] ?? 172);
const firstSeed = Number(process.env['CRASH_SEED'] ?? 1);
/** Of one run of the change. */
const statesPerRun = 60;

interface Ends {
  before: Shown;
  after: Shown;
}

function isContent({ before, after }: Ends, { size }: ImageChange, content: Buffer): boolean {
  if (content.equals(before.content) || content.equals(after.content)) return true;
  // What is cut off is lost bit by bit.
  const isShorter = size !== undefined && size < before.content.length;
  return (
    isShorter && content.length === before.content.length && content.subarray(0, size).equals(after.content)
  );
}

/** As it was, as it is to be, or with all that there was and more. */
function isBitmap({ before, after }: Ends, name: string, bits: Buffer): boolean {
  const [from, to] = [before.bitmaps.get(name), after.bitmaps.get(name)];
  if (from?.equals(bits) || to?.equals(bits)) return true;
  return from?.length === bits.length && bits.every((byte, at) => (from[at]! & ~byte) === 0); // of one length
}

/** What is wrong with a state. `opens`: it is looked at as users do, too. */
async function examine(
  storage: SimStorage,
  change: ImageChange,
  ends: Ends,
  { checker, opens }: { checker: Checker; opens: boolean },
): Promise<string[]> {
  const wrong: string[] = [];
  const content = contentOf(storage, names.disk);
  if (!isContent(ends, change, content)) wrong.push('contents');
  if (change.repairs) {
    storage.writeFile(names.disk, await repaired(storage.readFile(names.disk)));
    if (!contentOf(storage, names.disk).equals(content)) wrong.push('contents, when it is repaired');
    return [...wrong, ...(await checker.findings(storage, names.disk))];
  }
  for (const name of [names.disk, names.base]) {
    const errors = (await checker.findings(storage, name)).filter((line) => !line.startsWith('Leaked'));
    wrong.push(...errors.map((line) => `${name}: ${line}`));
  }
  if (!opens) return wrong;
  const shown = await look(storage, names.disk);
  if (!shown.content.equals(content)) wrong.push('contents, when it is opened');
  for (const [name, bits] of shown.bitmaps) if (!isBitmap(ends, name, bits)) wrong.push(`bitmap ${name}`);
  return wrong;
}

/** One run, and what a crash may leave of it: how many states were looked at, and what was wrong with some. */
async function explore(
  original: SimStorage,
  change: ImageChange,
  seed: number,
  maxStates: number,
): Promise<{ states: number; wrong: string[] }> {
  const { storage, before } = await prepare(original, change, seed);
  // The simulator's clock does not wait for parts of the program that are being loaded.
  await runImg(instantly(storage.clone()), change.line);

  const simulation = createSimulation(seed, { storage });
  const { status, stderr } = await simulation.run(() => runImg(simulation, change.line));
  // One that may only free what is leaked leaves the rest.
  if (!change.repairs) expect([status, stderr]).toEqual([0, '']);
  const ends = { before, after: await look(storage, names.disk) };
  const { size = before.content.length } = change;
  const shared = Math.min(size, before.content.length);
  expect(ends.after.content.length).toBe(size);
  expect(ends.after.content.subarray(0, shared).equals(before.content.subarray(0, shared))).toBe(true);
  if (change.commits) expect((await look(storage, names.base)).content).toEqual(before.content);

  const wrong: string[] = [];
  const checker = new Checker();
  const counted = new Set<string>();
  const examined = new Set<string>();
  const journal = simulation.journal!; // it records
  for (const { storage: state, description } of crashStates(journal, { maxStates, randomPerCut: 6, seed })) {
    counted.add(description);
    // Much of what was not flushed makes no difference.
    const key = digest(state);
    if (examined.has(key)) continue;
    examined.add(key);
    const opens = change.line.startsWith('bitmap') || examined.size % 10 === 0;
    const found = await examine(state, change, ends, { checker, opens });
    wrong.push(...found.map((line) => `seed ${seed}, ${description}: ${line}`));
  }
  return { states: counted.size, wrong };
}

describe.each(shapes)('of an image with %j', (options: CreateValues) => {
  const originals = new Map<number, SimStorage>();
  const named = changesFor(options).map((change) => ({ name: change.line, ...change }));

  test.each(named)('a crash leaves the contents: $name', { timeout: 600_000 }, async (change) => {
    const wrong: string[] = [];
    for (let seed = firstSeed, left = wantedStates; left > 0; seed++) {
      const original = originals.get(seed) ?? (await makeStorage(options, seed));
      originals.set(seed, original);
      const explored = await explore(original, change, seed, Math.min(statesPerRun, left));
      left -= explored.states;
      wrong.push(...explored.wrong);
    }
    expect(wrong.slice(0, 5)).toEqual([]);
  });
});
