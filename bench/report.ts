/**
 * Rows of a benchmark run, printed as they come and kept for JSON. A row that falls short of its aim says so.
 */
export interface Row {
  name: string;
  unit: string;
  ours: number;
  /** Undefined where the other side is not installed or there is none. */
  theirs?: number | undefined;
  /** How many times better ours is (> 1: better); the median over the rounds. */
  ratio?: number | undefined;
  aim?: { text: string; met: boolean } | undefined;
}

export class Report {
  readonly rows: Row[] = [];

  heading(text: string): void {
    console.log(`\n${text}`);
  }

  add(row: Row): void {
    this.rows.push(row);
    const cells = [
      row.name.padEnd(44),
      `${format(row.ours)} ${row.unit}`.padStart(18),
      row.theirs === undefined ? ''.padStart(18) : `${format(row.theirs)} ${row.unit}`.padStart(18),
      row.ratio === undefined ? ''.padStart(8) : `${row.ratio.toFixed(2)} ×`.padStart(8),
      row.aim === undefined ? '' : `${row.aim.met ? 'meets' : 'FALLS SHORT OF'} ${row.aim.text}`,
    ];
    console.log(cells.join('  ').trimEnd());
  }
}

function format(value: number): string {
  if (value >= 1000) return Math.round(value).toLocaleString('en-US');
  return value.toPrecision(3);
}
