/** fio as an NBD client: one load for some seconds, and what became of it. */
import { run } from './side.ts';

interface FioSide {
  iops: number;
  total_ios: number;
  clat_ns: { max: number; percentile?: Record<string, number> };
}

export interface Load {
  /** Requests in a second. */
  readonly rate: number;
  readonly requests: number;
  readonly p99Ms: number;
  readonly longestMs: number;
}

/** `options`: of reads or of writes, not both. Errors: fio's. */
export async function runFio(uri: string, options: readonly string[], seconds: number): Promise<Load> {
  const fixed = ['--name=guest', '--ioengine=nbd', '--time_based', '--randrepeat=0', '--output-format=json'];
  const { stdout } = await run({
    program: 'fio',
    args: [...fixed, `--uri=${uri}`, `--runtime=${seconds}`, ...options],
  });
  // A line about the connection comes before.
  const { jobs } = JSON.parse(stdout.slice(stdout.indexOf('{'))) as {
    jobs: Record<'read' | 'write', FioSide>[];
  };
  const { read, write } = jobs[0]!; // one was run
  const { iops, total_ios, clat_ns } = read.total_ios > 0 ? read : write;
  return {
    rate: iops,
    requests: total_ios,
    p99Ms: (clat_ns.percentile?.['99.000000'] ?? Number.NaN) / 1e6,
    longestMs: clat_ns.max / 1e6,
  };
}
