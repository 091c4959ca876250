/** Two sides of a comparison, in turn: rows of medians, with the median of the ratios of each round. */
import type { Report } from './report.ts';
import { median } from './side.ts';

interface Sides {
  ours: () => Promise<number>;
  /** Absent where it is not installed. */
  theirs: (() => Promise<number>) | undefined;
  /** How many times better ours is to be. */
  aim?: number;
}

type Compare = (name: string, unit: string, better: 'higher' | 'lower', sides: Sides) => Promise<void>;

/** Runs both sides `rounds` times in turn. Each gives a number of which `better` says where it should go. */
export function comparison(report: Report, rounds: number): Compare {
  return async (name, unit, better, sides) => {
    const a: number[] = [];
    const b: number[] = [];
    const ratios: number[] = [];
    for (let round = 0; round < rounds; round++) {
      const mine = await sides.ours();
      a.push(mine);
      if (!sides.theirs) continue;
      const other = await sides.theirs();
      b.push(other);
      ratios.push(better === 'higher' ? mine / other : other / mine);
    }
    const ratio = sides.theirs ? median(ratios) : undefined;
    const aim =
      sides.aim === undefined || ratio === undefined
        ? undefined
        : { text: `≥ ${sides.aim} × QEMU`, met: ratio >= sides.aim };
    report.add({ name, unit, ours: median(a), theirs: sides.theirs ? median(b) : undefined, ratio, aim });
  };
}

/** What `bench` prints of the time that it took. */
export function benchSeconds(stdout: string): number {
  return Number(/Run completed in ([\d.]+) seconds/.exec(stdout)![1]); // it ends with that
}
