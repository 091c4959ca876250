/**
 * The rows of a run: printed as they come, kept for JSON.
 *
 * A row that falls short of its aim says so. One whose other side differed from itself by more than `steadyShare` says that, and
 * claims nothing: neither a ratio nor an aim is judged by it.
 */
import type { Environment } from './environment.ts';

/** What one side did in one round. */
export interface Sample {
  readonly value: number;
  /** Processor time, of the kernel too. */
  readonly cpuSeconds?: number;
  readonly peakMiB?: number;
}

/** What one side did in all rounds: medians. */
export interface Summary extends Sample {
  /** How far the middle half of the rounds reaches, as a share of the median. */
  readonly spread?: number;
}

export interface Row {
  readonly name: string;
  readonly unit: string;
  readonly ours: Summary;
  /** Absent where the other side is not installed or there is none. */
  readonly theirs?: Summary | undefined;
  /** Who that is; absent: QEMU. */
  readonly rival?: string | undefined;
  /** What nobody can do faster on this machine, and what that was: `cp`, for one. */
  readonly floor?: (Summary & { readonly name: string }) | undefined;
  /** How many times better ours is (> 1: better); the median over the rounds. */
  readonly ratio?: number | undefined;
  readonly aim?: { readonly text: string; readonly met: boolean } | undefined;
  /** How the README calls this row, if it shows it. */
  readonly headline?: string | undefined;
}

/** A row as it is kept: with the heading that it stood under. */
export interface KeptRow extends Row {
  readonly heading: string;
}

/** What `--json` writes. */
export interface Results {
  readonly environment: Environment;
  readonly rounds: number;
  readonly rows: readonly KeptRow[];
}

/** A row of which there are single figures. */
interface Figure extends Omit<Row, 'ours' | 'theirs'> {
  readonly ours: number;
  readonly theirs?: number | undefined;
}

/** Half of a side's rounds may differ by so much of their median. */
const steadyShare = 0.15;

export class Report {
  readonly rows: KeptRow[] = [];
  private title = '';

  heading(text: string): void {
    this.title = text;
    console.log(`\n${text}`);
  }

  /** A row of single figures. */
  add({ ours, theirs, ...rest }: Figure): void {
    this.addRow({
      ...rest,
      ours: { value: ours },
      theirs: theirs === undefined ? undefined : { value: theirs },
    });
  }

  /** A row of medians. */
  addRow(row: Row): void {
    const unsteady = (row.theirs?.spread ?? 0) > steadyShare;
    const kept = { ...row, heading: this.title, ...(unsteady ? { ratio: undefined, aim: undefined } : {}) };
    this.rows.push(kept);
    const verdict = unsteady
      ? `claims nothing: ${rivalOf(row)} differed from itself by ${percent(row.theirs?.spread)}`
      : row.aim && `${row.aim.met ? 'meets' : 'FALLS SHORT OF'} ${row.aim.text}`;
    const cells = [
      row.name.padEnd(46),
      withUnit(row.ours, row).padStart(16),
      (row.theirs ? withUnit(row.theirs, row) : '').padStart(16),
      (kept.ratio === undefined ? '' : `${kept.ratio.toFixed(2)} ×`).padStart(8),
      verdict ?? '',
    ];
    console.log(cells.join('  ').trimEnd());
    const details = [...detailsOf(row)].join('; ');
    if (details !== '') console.log(`    ${details}`);
  }
}

/** What stands under a row: blockyard's figure first, then the other's. */
function* detailsOf({ ours, theirs, rival, floor, unit }: Row): Generator<string> {
  if (rival !== undefined && theirs) yield `the other is ${rival}`;
  if (floor) yield `${floor.name} ${withUnit(floor, { unit })}`;
  if (ours.spread !== undefined)
    yield `spread ${pair(percent(ours.spread), theirs?.spread && percent(theirs.spread))}`;
  if (ours.cpuSeconds !== undefined)
    yield `processor ${pair(ours.cpuSeconds.toFixed(2), theirs?.cpuSeconds?.toFixed(2))} s`;
  if (ours.peakMiB !== undefined)
    yield `memory ${pair(ours.peakMiB.toFixed(0), theirs?.peakMiB?.toFixed(0))} MiB`;
}

function pair(mine: string, other: string | number | undefined): string {
  return other === undefined ? mine : `${mine} and ${other}`;
}

function percent(share = 0): string {
  return `${(share * 100).toFixed(0)} %`;
}

export function rivalOf({ rival = 'QEMU' }: { readonly rival?: string | undefined }): string {
  return rival;
}

export function withUnit({ value }: Sample, { unit }: { readonly unit: string }): string {
  return `${formatted(value)} ${unit}`.trimEnd();
}

function formatted(value: number): string {
  if (value >= 1000) return Math.round(value).toLocaleString('en-US');
  return value.toPrecision(3);
}
