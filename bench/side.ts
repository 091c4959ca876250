/**
 * The two sides of a comparison: the same command given to blockyard and, where it is installed, to QEMU.
 *
 * Every measurement is of a whole child process or of a span within one; sides alternate round by round, so that both
 * meet the same machine. Ratios are medians of the rounds' ratios.
 */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { resolve } from 'node:path';

export const blockyard = resolve(import.meta.dirname, 'blockyard.cjs');

export interface Command {
  program: string;
  args: string[];
}

/** `blockyard img …` and the like. */
export function ours(...args: string[]): Command {
  return { program: process.execPath, args: [blockyard, ...args] };
}

/** Undefined where the tool is not installed. */
export function theirs(tool: string, ...args: string[]): Command | undefined {
  return spawnSync(tool, ['--version'], { stdio: 'ignore' }).status === 0
    ? { program: tool, args }
    : undefined;
}

export interface Finished {
  seconds: number;
  stdout: string;
  /** Peak resident memory in MiB, as last seen while the process ran. */
  peakMiB: number;
}

const pollMs = 5;

/** Runs a command to its end. Throws when it fails. */
export async function run({ program, args }: Command): Promise<Finished> {
  const start = process.hrtime.bigint();
  const child = spawn(program, args, { stdio: ['ignore', 'pipe', 'pipe'] });
  let stdout = '';
  let stderr = '';
  child.stdout.on('data', (chunk) => (stdout += chunk));
  child.stderr.on('data', (chunk) => (stderr += chunk));
  let peakMiB = 0;
  const poll = setInterval(() => (peakMiB = Math.max(peakMiB, peakOf(child))), pollMs);
  const status = await new Promise<number | null>((done) => child.on('exit', done));
  const seconds = Number(process.hrtime.bigint() - start) / 1e9;
  clearInterval(poll);
  if (status !== 0) throw new Error(`${program} ${args.join(' ')} failed (${status}): ${stderr}${stdout}`);
  return { seconds, stdout, peakMiB };
}

function peakOf(child: ChildProcess): number {
  try {
    const status = readFileSync(`/proc/${child.pid}/status`, 'utf8');
    return Number(/VmHWM:\s+(\d+) kB/.exec(status)?.[1] ?? 0) / 1024;
  } catch {
    // Gone between two looks, or no /proc here.
    return 0;
  }
}

export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.floor(sorted.length / 2)] ?? Number.NaN;
}
