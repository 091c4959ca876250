/** Two sides of a comparison, in turn: rows of medians, with the median of the ratios of each round. */
import type { Report, Row, Sample, Summary } from './report.ts';
import { type Command, median, run } from './side.ts';

type Measure = () => Promise<Sample>;

interface Sides {
  readonly ours: Measure;
  /** Absent where it is not installed. */
  readonly theirs: Measure | undefined;
  /** Who that is; absent: QEMU. */
  readonly rival?: string;
  /** What nobody can do faster here, once a round as well. */
  readonly floor?: { readonly name: string; readonly measure: Measure };
  /** How many times better ours is to be. */
  readonly aim?: number | undefined;
  /** How many times the floor's figure ours may be: an aim where there is no other. */
  readonly mostOfFloor?: number;
  readonly headline?: string | undefined;
}

export type Compare = (name: string, unit: string, better: 'higher' | 'lower', sides: Sides) => Promise<void>;

/** Runs all sides `rounds` times in turn. Each gives a number of which `better` says where it should go. */
export function comparison(report: Report, rounds: number): Compare {
  return async (name, unit, better, { ours, theirs, rival, floor, aim, mostOfFloor, headline }) => {
    const mine: Sample[] = [];
    const others: Sample[] = [];
    const floors: Sample[] = [];
    for (let round = 0; round < rounds; round++) {
      mine.push(await ours());
      if (theirs) others.push(await theirs());
      if (floor) floors.push(await floor.measure());
    }
    const [own, lowest] = [summary(mine), floor && { ...summary(floors), name: floor.name }];
    report.addRow({
      name,
      unit,
      ours: own,
      theirs: theirs && summary(others),
      rival,
      floor: lowest,
      ...judged(mine, theirs && others, better, rival ?? 'QEMU', aim),
      ...(lowest && mostOfFloor ? { aim: againstFloor(own, lowest, mostOfFloor) } : {}),
      headline,
    });
  };
}

function againstFloor(ours: Sample, floor: Sample & { name: string }, most: number): NonNullable<Row['aim']> {
  const times = ours.value / floor.value;
  return { text: `≤ ${most} × ${floor.name} (${times.toFixed(2)} ×)`, met: times <= most };
}

/** The median of the ratios of the rounds, and what it means for the aim. */
export function judged(
  mine: readonly Sample[],
  theirs: readonly Sample[] | undefined,
  better: 'higher' | 'lower',
  rival: string,
  aim: number | undefined,
): { ratio?: number; aim?: { text: string; met: boolean } } {
  if (!theirs) return {};
  const ratios = theirs.map(({ value }, round) => {
    const ours = mine[round]!.value; // as many rounds
    return better === 'higher' ? ours / value : value / ours;
  });
  const ratio = median(ratios);
  if (aim === undefined) return { ratio };
  return { ratio, aim: { text: `≥ ${aim} × ${rival}`, met: ratio >= aim } };
}

export function summary(samples: readonly Sample[]): Summary {
  const of = (figure: (sample: Sample) => number | undefined): number[] =>
    samples.map(figure).filter((value) => value !== undefined);
  const values = of(({ value }) => value).sort((a, b) => a - b);
  const quarter = Math.floor(values.length / 4);
  const [cpu, memory] = [of(({ cpuSeconds }) => cpuSeconds), of(({ peakMiB }) => peakMiB)];
  return {
    value: median(values),
    ...(values.length > 3
      ? { spread: (values[values.length - 1 - quarter]! - values[quarter]!) / median(values) } // both within
      : {}),
    ...(cpu.length > 0 ? { cpuSeconds: median(cpu) } : {}),
    ...(memory.length > 0 ? { peakMiB: Math.max(...memory) } : {}),
  };
}

/** A whole command, from start to end, in seconds. `prepare` comes before each, unmeasured. */
export function timed(command: Command, prepare: () => unknown = () => {}): Measure {
  return async () => {
    await prepare();
    const { seconds, cpuSeconds, peakMiB } = await run(command);
    return { value: seconds, cpuSeconds, peakMiB };
  };
}

/** What a `bench` command gives by its own clock, in requests a second. */
export function rated(command: Command, requests: number): Measure {
  return async () => {
    const { stdout, cpuSeconds, peakMiB } = await run(command);
    const seconds = Number(/Run completed in ([\d.]+) seconds/.exec(stdout)![1]); // it ends with that
    return { value: requests / seconds, cpuSeconds, peakMiB };
  };
}
