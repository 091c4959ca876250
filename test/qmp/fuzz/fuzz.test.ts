/**
 * Random valid and nearly valid commands in the simulator (fuzzer.ts). FUZZ_RUNS sets how many sequences, FUZZ_SEED the
 * first of their seeds; FUZZ_KIND takes one kind of server alone, with all of them.
 */
import { describe } from 'vitest';
import { testSeeds } from '../../support/seeds.ts';
import { fuzzedDaemon } from './daemon.ts';
import { type Fuzzed, fuzz } from './fuzzer.ts';
import { fuzzedMachine } from './machine.ts';

const runs = Number(process.env['FUZZ_RUNS'] ?? 1000);
const firstSeed = Number(process.env['FUZZ_SEED'] ?? 1);
const onlyKind = process.env['FUZZ_KIND'];
const batches = 10;

const all: Readonly<Record<string, () => Fuzzed>> = { daemon: fuzzedDaemon, machine: fuzzedMachine };
const kinds = Object.entries(all).filter(([name]) => onlyKind === undefined || name === onlyKind);

describe.each(kinds)('a %s answers, stays sound and leaves nothing', (_name, makeFuzzed) => {
  const count = Math.ceil(runs / kinds.length);
  testSeeds({ first: firstSeed, count, batch: Math.ceil(count / batches) }, (seed) =>
    fuzz(makeFuzzed(), seed),
  );
});
