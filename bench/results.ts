/** What is made of the files that `--json` writes: the README's table, and what changed between two runs. */
import { readFileSync } from 'node:fs';
import { type KeptRow, type Results, rivalOf, withUnit } from './report.ts';

/** Changes below that are noise on most machines. */
const notableShare = 0.05;

/** Errors: of reading, and of files that are no results. */
export function readResults(path: string): Results {
  const results = JSON.parse(readFileSync(path, 'utf8')) as Partial<Results>;
  if (!Array.isArray(results.rows) || !results.environment)
    throw new Error(`${path} holds no results of this benchmark`);
  return results as Results;
}

/** In Markdown: every row that has a headline. Ratios below 1 are bold; a run that claims nothing shows none. */
export function table({ rows }: Results): string {
  const lines = rows.flatMap((row) => {
    if (row.headline === undefined) return [];
    const floor = row.floor ? `${withUnit(row.floor, row)} (${row.floor.name})` : '';
    const ratio = row.ratio === undefined ? 'not steady' : `${row.ratio.toFixed(2)} ×`;
    const cells = [
      row.headline,
      row.theirs ? withUnit(row.theirs, row) : '',
      withUnit(row.ours, row),
      floor,
      row.ratio !== undefined && row.ratio < 1 ? `**${ratio}**` : ratio,
    ];
    return [`| ${cells.join(' | ')} |`];
  });
  const head = ['| work | QEMU | blockyard | floor | blockyard against QEMU |', '|---|---|---|---|---|'];
  return [...head, ...lines].join('\n');
}

/** A line for each row of both runs whose figure, or whose ratio to the other side, changed notably. */
export function changes(before: Results, after: Results): string[] {
  const nameOf = (row: KeptRow): string => [row.heading, row.name, rivalOf(row)].join(': ');
  const old = new Map(before.rows.map((row) => [nameOf(row), row]));
  return after.rows.flatMap((row) => {
    const past = old.get(nameOf(row));
    if (!past) return [];
    const share = row.ours.value / past.ours.value - 1;
    const isNotable =
      Math.abs(share) > notableShare ||
      Math.abs((row.ratio ?? 0) - (past.ratio ?? row.ratio ?? 0)) > notableShare;
    if (!isNotable) return [];
    const ratio = (value: number | undefined): string =>
      value === undefined ? 'no ratio' : `${value.toFixed(2)} ×`;
    const sign = share < 0 ? '' : '+';
    const figures = `${withUnit(past.ours, past)} → ${withUnit(row.ours, row)} (${sign}${(share * 100).toFixed(0)} %)`;
    return [`${row.heading}: ${row.name}: ${figures}, ${ratio(past.ratio)} → ${ratio(row.ratio)}`];
  });
}
