/**
 * Runs the same command line with a real QEMU tool and with ours, in two folders that start out equal, and gives what
 * each printed in a form that can be compared: the program's name, times and speeds are masked.
 */
import { spawn, spawnSync } from 'node:child_process';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { ioCommands } from './qemu.ts';

/** Another build than the usual one can be tested with BLOCKYARD_BUNDLE. */
export const bundle =
  process.env['BLOCKYARD_BUNDLE'] ?? resolve(import.meta.dirname, '../../dist/blockyard.cjs');

export type ToolName = 'qemu-img' | 'qemu-io';

export interface Outcome {
  status: number | null;
  stdout: string;
  stderr: string;
}

export class TwoFolders {
  private readonly root = mkdtempSync(join(tmpdir(), 'blockyard-cli-'));
  readonly ours = join(this.root, 'ours');
  readonly theirs = join(this.root, 'theirs');
  private readonly bin = join(this.root, 'bin');

  constructor() {
    if (!existsSync(bundle)) throw new Error('dist/blockyard.cjs is missing: run `npm run build` first');
    for (const folder of [this.ours, this.theirs, this.bin]) mkdirSync(folder);
    for (const tool of ['qemu-img', 'qemu-io']) symlinkSync(bundle, join(this.bin, tool));
  }

  /** Prepares both folders with the real tool. */
  prepare(tool: ToolName, ...args: string[]): void {
    for (const cwd of [this.ours, this.theirs]) {
      const { status, stderr } = spawnSync(tool, args, { cwd, encoding: 'utf8' });
      if (status !== 0) throw new Error(`${tool} ${args.join(' ')}: ${stderr}`);
    }
  }

  /** A line of qemu-img, in both folders. */
  readonly img = (line: string): void => this.prepare('qemu-img', ...words(line));

  /** Commands of qemu-io on an image, in both folders. */
  readonly io = (file: string, ...commands: string[]): void =>
    this.prepare('qemu-io', ...ioCommands(...commands), file);

  /** Both at once. `input` goes to standard input. */
  async both(tool: ToolName, args: string[], input = ''): Promise<{ ours: Outcome; theirs: Outcome }> {
    const [ours, theirs] = await Promise.all([
      runProgram(process.execPath, [join(this.bin, tool), ...args], this.ours, input),
      runProgram(tool, args, this.theirs, input),
    ]);
    return { ours: masked(ours), theirs: masked(theirs) };
  }

  write(name: string, content: string): void {
    for (const folder of [this.ours, this.theirs]) writeFileSync(join(folder, name), content);
  }

  patch(name: string, change: (content: Buffer) => Buffer): void {
    for (const folder of [this.ours, this.theirs]) {
      writeFileSync(join(folder, name), change(readFileSync(join(folder, name))));
    }
  }

  ourTool(tool: ToolName, ...args: string[]): Promise<Outcome> {
    return runProgram(process.execPath, [join(this.bin, tool), ...args], this.ours, '');
  }

  /** The real tool in its own folder, as one half of a comparison. */
  async theirTool(tool: ToolName, ...args: string[]): Promise<Outcome> {
    return masked(await runProgram(tool, args, this.theirs, ''));
  }

  realTool(tool: ToolName, ...args: string[]): Promise<Outcome> {
    return runProgram(tool, args, this.ours, '');
  }

  remove(): void {
    rmSync(this.root, { recursive: true, force: true });
  }
}

/** A command line of words without spaces; `''` is an empty word. */
export function words(line: string): string[] {
  return line.split(' ').map((word) => (word === "''" ? '' : word));
}

export function runProgram(command: string, args: string[], cwd: string, input = ''): Promise<Outcome> {
  return new Promise((settle, fail) => {
    const child = spawn(command, args, { cwd });
    let stdout = '';
    let stderr = '';
    child.stdout.setEncoding('utf8').on('data', (text: string) => {
      stdout += text;
    });
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      stderr += text;
    });
    child.on('error', fail);
    child.on('close', (status) => settle({ status, stdout, stderr }));
    child.stdin.on('error', () => {});
    child.stdin.end(input);
  });
}

export function masked({ status, stdout, stderr }: Outcome): Outcome {
  const mask = (text: string): string =>
    text
      .replace(/(\d+ ops; )[\d:.]+( sec)? \(.*\/sec and [\d.]+ ops\/sec\)/g, '$1TIME')
      .replace(/^(\d+,\d+),\d+:\d\d:\d\d\.\d\d,[\d.]+,[\d.]+$/gm, '$1,TIME')
      .replace(/#block\d+/g, '#block')
      .replace(/Run completed in [\d.]+ seconds/g, 'Run completed in TIME')
      .replace(/\n$/, '');
  return { status, stdout: mask(stdout), stderr: mask(stderr) };
}

/** How often progress is told is a matter of time. */
export function withoutProgress({ status, stdout, stderr }: Outcome): Outcome {
  return { status, stdout: stdout.replace(/( {4}\([\d.]+\/100%\)\r)+/g, '<progress>'), stderr };
}
