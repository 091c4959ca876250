/**
 * The two sides of a comparison: the same command given to blockyard and, where it is installed, to QEMU.
 *
 * Every measurement is of a whole child process or of a span within one; sides alternate round by round, so that both
 * meet the same machine. Ratios are medians of the rounds' ratios.
 */
import { spawn, spawnSync } from 'node:child_process';
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
  /** Processor time that it took, of the kernel too; as exact as the kernel's ticks. */
  cpuSeconds: number;
  /** Peak resident memory in MiB, as last seen while the process ran. */
  peakMiB: number;
}

const pollMs = 10;
/** Kernel's clock ticks, in which /proc counts processor time. */
const ticksPerSecond = 100;

/** Runs a command to its end. Throws when it fails. */
export async function run({ program, args }: Command): Promise<Finished> {
  const cpuBefore = cpuSecondsOfChildren();
  const start = process.hrtime.bigint();
  const child = spawn(program, args, { stdio: ['ignore', 'pipe', 'pipe'] });
  let stdout = '';
  let stderr = '';
  child.stdout.on('data', (chunk) => (stdout += chunk));
  child.stderr.on('data', (chunk) => (stderr += chunk));
  let peakMiB = 0;
  const poll = setInterval(() => (peakMiB = Math.max(peakMiB, peakMiBOf(child.pid ?? 0))), pollMs);
  const status = await new Promise<number | null>((done) => child.on('exit', done));
  const seconds = Number(process.hrtime.bigint() - start) / 1e9;
  clearInterval(poll);
  if (status !== 0) throw new Error(`${program} ${args.join(' ')} failed (${status}): ${stderr}${stdout}`);
  return { seconds, stdout, cpuSeconds: cpuSecondsOfChildren() - cpuBefore, peakMiB };
}

/** Processor time so far, in seconds, of a process that runs. Errors: of reading /proc. */
export function cpuSecondsOf(pid: number): number {
  const [user, kernel] = ticksOf(pid);
  return (user + kernel) / ticksPerSecond;
}

/** Of all children that have ended. 0 without /proc. */
function cpuSecondsOfChildren(): number {
  try {
    const [, , user, kernel] = ticksOf('self');
    return (user + kernel) / ticksPerSecond;
  } catch {
    return 0;
  }
}

/** Own user and kernel time, and that of ended children: the 14th to 17th field. */
function ticksOf(pid: number | 'self'): [number, number, number, number] {
  const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
  // Behind the name, which may hold anything.
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return fields.slice(11, 15).map(Number) as [number, number, number, number];
}

/** Peak resident memory of a process so far; 0 when it is gone, or there is no /proc here. */
export function peakMiBOf(pid: number): number {
  try {
    const status = readFileSync(`/proc/${pid}/status`, 'utf8');
    return Number(/VmHWM:\s+(\d+) kB/.exec(status)?.[1] ?? 0) / 1024;
  } catch {
    return 0;
  }
}

export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.floor(sorted.length / 2)] ?? Number.NaN;
}
